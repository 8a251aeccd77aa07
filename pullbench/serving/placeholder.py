"""Whether a spec still names the example registry that it ships with: a schedule waits until it names another."""

from pathlib import Path
from urllib.parse import urlsplit

from pullbench.bench.specfile import load_spec
from pullbench.errors import UsageError
from pullbench.store.shipped import shipped

_HOSTS = ("127.0.0.1:5000", "localhost:5000")
_DOMAINS = (".example.com", ".example.org", ".example.net")


def why_it_waits(spec: str, working_folder: Path) -> str | None:
    """Why a spec cannot be measured on a schedule yet, in a few words; None where it can."""
    path = working_folder / spec
    try:
        registries = load_spec(path if path.exists() else shipped(spec)).spec.registries
    except UsageError as error:
        return str(error)
    example = next((entry.url for entry in registries if _is_example(entry.url)), None)
    return None if example is None else f"{spec} names the example registry {example}"


def _is_example(url: str) -> bool:
    host = urlsplit(url).netloc
    return host in _HOSTS or f".{host.partition(':')[0]}".endswith(_DOMAINS)
