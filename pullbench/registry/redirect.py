"""Where a registry may send a client: one rule for the control plane and for the engine that measures."""

from urllib.parse import urljoin, urlsplit

from pullbench.errors import ErrorCode
from pullbench.model.text import clean
from pullbench.registry.auth import redact_url

_SHOWN = 120


class RedirectRefusedError(Exception):
    """A Location that nobody should go to; `str` says what it is, to be put after a verb."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def destination(url: str, location: str) -> str:
    """Where a Location leads, taken from the URL that answered with it (RFC 9110, section 10.2.2).

    Raises RedirectRefusedError where it leads nowhere, brings user information of its own, or leads from https to http.
    """
    try:
        target = urljoin(url, location.strip()) if location.strip() else ""
        parts = urlsplit(target)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc:
        raise RedirectRefusedError(ErrorCode.NOT_A_REGISTRY, f"to {clean(redact_url(location), _SHOWN) or 'nowhere'}")
    if parts.scheme == "http" and urlsplit(url).scheme == "https":
        text = f"from https to {clean(redact_url(target), _SHOWN)}: not followed"
        raise RedirectRefusedError(ErrorCode.PLAIN_HTTP, text)
    return target
