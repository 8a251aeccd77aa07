"""Why a schedule waits: its spec still names the example registry that it ships with, or is a stress test."""

from pathlib import Path
from urllib.parse import urlsplit

from pullbench.bench.specfile import load_spec
from pullbench.errors import UsageError
from pullbench.store.shipped import shipped

_HOSTS = ("127.0.0.1:5000", "localhost:5000")
_DOMAINS = (".example.com", ".example.org", ".example.net")


def why_it_waits(spec: str, working_folder: Path) -> str | None:
    """Why a spec is not measured on a schedule yet, in a few words; None where it is."""
    path = working_folder / spec
    try:
        loaded = load_spec(path if path.exists() else shipped(spec)).spec
    except UsageError as error:
        return str(error)
    example = next((entry.url for entry in loaded.registries if _is_example(entry.url)), None)
    if example is not None:
        return f"{spec} names the example registry {example}"
    if loaded.stress is not None:
        return f"{spec} overloads its registry: agree with its operators, then switch the schedule on in the UI"
    return None


def _is_example(url: str) -> bool:
    host = urlsplit(url).netloc
    return host in _HOSTS or f".{host.partition(':')[0]}".endswith(_DOMAINS)
