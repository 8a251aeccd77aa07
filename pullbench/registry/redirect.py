"""The target and headers of a request after redirects, free of IO: one rule for the control plane and the wire engine."""

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from pullbench import __version__
from pullbench.errors import ErrorCode
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.registry.auth import redact_url, same_origin

USER_AGENT = f"pullbench/{__version__}"
MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SHOWN = 120


class RedirectRefusedError(Exception):
    """A redirect that is not followed; `str` explains why."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Redirects:
    """The redirects of one request: `url` is the next URL.

    Our own headers (Authorization and the route's extra ones) go only to the first URL's origin. After a redirect to another
    host (`at_home` is False) they are not sent, even if a later redirect leads back, because another host chose that URL. Go's
    HTTP client, and so Docker, does the same (CVE-2024-45336).
    """

    def __init__(self, method: str, url: str, route: Route) -> None:
        self.url = route.named(url)
        self.at_home = True
        self._method = method
        self._route = route
        self._followed = 0

    def headers(self, given: Mapping[str, str], authorization: str | None) -> dict[str, str]:
        """The headers for `url`: the given ones, and our own where they may go.

        An extra header of the route never replaces a given header or Authorization, regardless of case.
        """
        ours = dict(given)
        if self.at_home and authorization is not None:
            ours["Authorization"] = authorization
        if self.at_home and self._route.headers and same_origin(self.url, self._route.url):
            taken = {name.lower() for name in ours}
            ours |= {name: value for name, value in self._route.headers.items() if name.lower() not in taken}
        named = any(name.lower() == "user-agent" for name in ours)
        return ours if named else {"User-Agent": USER_AGENT, **ours}

    def follow(self, status: int | None, location: str | None) -> bool:
        """Follow a redirect, if the answer is one; then `url` and `at_home` are the next request's.

        Raises RedirectRefusedError: redirect_loop after MAX_REDIRECTS, not_a_registry for a method that must not be repeated
        elsewhere, and the errors of `destination`.
        """
        if status not in _REDIRECTS or location is None:
            return False
        if self._method not in ("GET", "HEAD"):
            raise RedirectRefusedError(ErrorCode.NOT_A_REGISTRY, f"{status} redirects a {self._method}")
        if self._followed == MAX_REDIRECTS:
            raise RedirectRefusedError(ErrorCode.REDIRECT_LOOP, f"more than {MAX_REDIRECTS} redirects")
        try:
            target = destination(self.url, location)
        except RedirectRefusedError as refused:
            raise RedirectRefusedError(refused.code, f"{status} redirects {refused}") from refused
        self.at_home = self.at_home and same_origin(target, self.url)
        self.url, self._followed = target, self._followed + 1
        return True


def destination(url: str, location: str) -> str:
    """The absolute URL of a Location header, relative to the URL that sent it (RFC 9110, section 10.2.2).

    Raises RedirectRefusedError, whose text follows a verb, if the Location is invalid, contains user information, or leads
    from https to http.
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
