"""Interprets an HTTP answer, free of IO: its error code, the server that gave it, its challenges, the wait before a retry.

The control plane (httpx) and the wire engine (libcurl) both turn a response into an Answer, so that the same answer has the
same code in preflight and in a pull.
"""

import email.utils
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pullbench.errors import RETRYABLE, ErrorCode, RegistryError, Responder, code_of_status
from pullbench.model.text import clean
from pullbench.registry.auth import redact_url
from pullbench.registry.redaction import redacted

MAX_ERROR_BYTES = 64 * 1024
"""The limit for reading an error's body; the rest is not read."""
MAX_PROBLEMS = 10
MAX_RETRY_AFTER_S = 86_400.0
_NOT_IMPLEMENTED = 501  # a server error that a retry does not fix
_MAY_PASS = frozenset({408, 425})  # request timeout, too early (RFC 9110, section 15.5.9; RFC 8470, section 5.2)
_MOST_BACKOFF_S = 8.0

_HTTPS_PORT = re.compile(r"HTTP request (was sent )?to (an )?HTTPS (port|server)", re.IGNORECASE)
_TOKEN_EXPIRED = "token has expired"  # Amazon ECR sends it with DENIED
_STORAGE_CODE = re.compile(r"<Code>(\w{1,64})</Code>")  # S3 and compatible storage
_SLOW_DOWN = re.compile(r"<Code>(SlowDown|RequestLimitExceeded|ServerBusy)</Code>")  # S3, Azure
_NGINX_503 = re.compile(r"503 Service Temporarily Unavailable.*<center>(nginx|openresty|Tengine|angie)", re.DOTALL)
_TOO_MANY = re.compile(r"too ?many ?requests|rate limit(ed)?( exceeded|\b)", re.IGNORECASE)
_REMAINING = ("ratelimit-remaining", "x-ratelimit-remaining")
_STORAGE_MESSAGE = re.compile(r"<Message>([^<]{1,300})")
_MAY_BE_SIGNED = re.compile(r"\b\w+://\S+|\S+=\S+")
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,300})", re.IGNORECASE)
_GATEWAY = (502, 503, 504)
_BLOCKED = (403, 451, 511)
# Software in front of registries, in Server and in its own pages; text is what HAProxy, Envoy and Traefik send.
_FRONTS = re.compile(
    r"nginx|openresty|haproxy|varnish|apache|envoy|awselb|cloudflare|cloudfront|traefik|caddy|akamai|Application-Gateway|"
    r"Google Frontend|BigIP",
    re.IGNORECASE,
)
_FRONT_TEXT = re.compile(
    r"No server is available to handle this request|Request forbidden by administrative rules|upstream connect error|"
    r"no healthy upstream|RBAC: access denied|no available server|Backend fetch failed|^(Bad Gateway|Gateway Timeout)\s*$",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"\b(ip|ips|address|addresses|network|location|country|region)\b.{0,120}\b(not allowed|denied|blocked|forbidden|restricted|"
    r"not permitted)\b",
    re.IGNORECASE,
)
_KIND_OF_PATH = re.compile(r"/(manifests|blobs|tags|referrers)/")
_PROXY_ERROR = re.compile(r";\s*error\s*=")
_TEXTS = ("text/plain", "application/json")
# OCI distribution spec 1.1, "Error Codes": used if the status alone is ambiguous.
_PROBLEM_CODES = {
    "UNAUTHORIZED": ErrorCode.UNAUTHORIZED,
    "DENIED": ErrorCode.FORBIDDEN,
    "TOOMANYREQUESTS": ErrorCode.RATE_LIMITED,
    "MANIFEST_UNKNOWN": ErrorCode.NOT_FOUND,
    "NAME_UNKNOWN": ErrorCode.NOT_FOUND,
    "BLOB_UNKNOWN": ErrorCode.NOT_FOUND,
    "NAME_INVALID": ErrorCode.NOT_FOUND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One entry of a registry's error body: `{"errors": [{"code", "message", "detail"}]}` (OCI distribution spec)."""

    code: str
    message: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class AnswerError(RegistryError):
    """An answer with an error status, with the problems in its body."""

    def __init__(
        self,
        code: ErrorCode,
        where: str,
        detail: str,
        *,
        status: int,
        problems: tuple[Problem, ...] = (),
        retry_after_s: float | None = None,
        answered_by: Responder | None = None,
        host: str | None = None,
        content_type: str = "",
    ) -> None:
        super().__init__(
            code, where, detail, status=status, retry_after_s=retry_after_s, answered_by=answered_by, host=host
        )
        self.problems = problems
        self.content_type = content_type

    def but(self, *, code: ErrorCode | None = None, detail: str | None = None) -> "AnswerError":
        """The same error with another code or detail."""
        return AnswerError(
            code or self.code,
            self.where,
            detail or self.detail,
            status=self.status or 0,
            problems=self.problems,
            retry_after_s=self.retry_after_s,
            answered_by=self.answered_by,
            host=self.host,
            content_type=self.content_type,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The final answer after all redirects. `headers` has lower-case names; `challenges` all WWW-Authenticate lines."""

    method: str
    url: str
    """The last URL that was requested."""
    status: int
    headers: Mapping[str, str] = field(repr=False)
    challenges: tuple[str, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    """The content, or the beginning of an error's body."""
    sent: tuple[str, ...] = field(default=(), repr=False)
    """Secrets in the request; no error may repeat them."""
    address: str | None = None
    """IP and port of the server that answered: the forward proxy's if there is one."""
    asked: Responder = Responder.REGISTRY
    """The server that the first URL belongs to."""
    at_home: bool = True
    """Whether no redirect led away from the first URL's origin."""
    others_answered: bool = False
    """Whether the registry has answered another request of this client for such a path: then it runs."""

    @property
    def where(self) -> str:
        """Method and URL for display, redacted."""
        return f"{self.method} {redact_url(self.url)}"

    @property
    def answered_by(self) -> Responder:
        """The server that gave this answer.

        A proxy marks its own answers: 407, squid's header, or Proxy-Status with `error` (RFC 9209, section 2.1.1). A Proxy-Status
        without `error` means that it passed the answer on. A page in the registry's place is another server's.
        """
        own = "x-squid-error" in self.headers or _PROXY_ERROR.search(self.headers.get("proxy-status", ""))
        if self.status == 407 or (self.status >= 400 and own):
            return Responder.PROXY
        if not self.at_home:
            return Responder.REDIRECT
        return (_in_its_place(self) if self.asked is Responder.REGISTRY else None) or self.asked

    @property
    def content_type(self) -> str:
        """Content-Type without parameters, for display; empty if there is none."""
        return clean(self.headers.get("content-type", "").partition(";")[0].strip(), 120)

    @property
    def is_page(self) -> bool:
        """Whether the content is a page for a browser, by its type or its beginning."""
        kind = self.headers.get("content-type", "").lower()
        return kind.startswith("text/html") or self.body[:200].lstrip()[:9].lower().startswith((b"<html", b"<!doctype"))

    @property
    def shows_the_registry(self) -> bool:
        """Whether the registry itself answered, so that it runs: with JSON, a digest or its version; a proxy's own 200 has none."""
        told = "docker-distribution-api-version" in self.headers or "docker-content-digest" in self.headers
        is_own = self.at_home and self.asked is Responder.REGISTRY
        return is_own and (self.status < 300 or self.status == 401) and (told or "json" in self.content_type.lower())

    def error_of(self, code: ErrorCode, detail: str) -> RegistryError:
        """An error that the status does not show, such as content with a wrong digest."""
        by = self.answered_by
        host = None if by is Responder.PROXY else host_of(self.url)
        return RegistryError(code, self.where, detail, status=self.status, answered_by=by, host=host)

    def fault(self) -> AnswerError:
        """The error of an answer with a status of 300 or more; secrets that the server echoes are redacted."""
        headers = {name: redacted(value, sent=self.sent) for name, value in self.headers.items()}
        text = redacted(self.body.decode("utf-8", "replace"), sent=self.sent)
        by = self.answered_by
        problems = _of_storage(text) if by is Responder.REDIRECT else read_problems(text)
        message = str(problems[0]) if by is Responder.REDIRECT and problems else _message(problems, headers, text, by)
        if by is Responder.IN_FRONT and (front := _FRONTS.search(headers.get("server", ""))):
            message = f"{message} from {front[0]}".strip()
        code = _code(self.status, by, problems, text)
        if code is ErrorCode.SERVER_ERROR and self.status == 503 and (limit := self._limit(headers, text)):
            code, message = ErrorCode.RATE_LIMITED, f"{message}: {limit}".removeprefix(": ")
        wait_s = retry_after_s(headers.get("retry-after"))
        waiting = f" (Retry-After {wait_s:.0f} s)" if wait_s is not None else ""
        return AnswerError(
            code,
            self.where,
            f"{self.status} {message}".strip() + waiting,
            status=self.status,
            problems=problems,
            retry_after_s=wait_s,
            answered_by=by,
            host=None if by is Responder.PROXY else host_of(self.url),
            content_type=self.content_type,
        )

    def _limit(self, headers: Mapping[str, str], text: str) -> str:
        """What shows that a 503 is a rate limit; empty for a failure. Retry-After alone may be an outage's.

        nginx sends the same page for `limit_req` and `limit_conn`, for maintenance, and (ingress-nginx) for a service without
        endpoints. It is a limit only if other requests of this kind reach the registry. A HEAD has no body to tell.
        """
        own_page = self.method == "HEAD" and self.is_page and headers.get("server", "").startswith("nginx")
        if self.others_answered and (_NGINX_503.search(text[:2000]) or own_page):
            return "other requests were answered, so this is a rate limit of nginx (limit_req or limit_conn)"
        if found := next((name for name in _REMAINING if headers.get(name, "").partition(";")[0].strip() == "0"), None):
            return f"{found} is 0"
        if self.answered_by is Responder.REDIRECT:
            return "the storage limits requests" if _SLOW_DOWN.search(text) else ""
        return "a rate limit" if _TOO_MANY.search(text) else ""


def kind_of_path(url: str) -> str:
    """What a URL of the API is about, `manifests` or `blobs`; a proxy in front may treat each in its own way."""
    path = urlsplit(url).path
    found = _KIND_OF_PATH.search(path)
    return found[1] if found else path


def host_of(url: str) -> str:
    """Host name and port of a URL."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _in_its_place(answer: Answer) -> Responder | None:
    """The server that answered instead of the registry; None for an answer that a registry may give.

    502 and 504 are a gateway's by definition (RFC 9110, section 15.6). A body of the registry's own form is the registry's. A 401
    with a challenge is for a login, whoever sends it. Where a registry may send a page too, the page itself has to name its server.
    """
    if answer.status < 400 or "docker-distribution-api-version" in answer.headers:
        return None
    text = answer.body[:2000].decode("utf-8", "replace")
    if read_problems(answer.body) or (answer.status == 401 and answer.challenges):
        return None
    by_header = answer.status in (*_GATEWAY, *_BLOCKED) or not answer.body
    told = text + answer.headers.get("server", "") if by_header else text
    named = _FRONT_TEXT.search(text) or (answer.is_page and _FRONTS.search(told))
    if answer.status in _GATEWAY:
        return Responder.IN_FRONT if named or answer.is_page or answer.status != 503 else None
    if named and answer.status != 511:
        return Responder.IN_FRONT
    return Responder.BOX_BETWEEN if answer.is_page and answer.status in _BLOCKED else None


def _code(status: int, by: Responder, problems: tuple[Problem, ...], text: str) -> ErrorCode:
    """The code from the status; if the status is ambiguous, from the registry's own code."""
    if by is Responder.PROXY:
        return ErrorCode.PROXY
    if any(one.code == "TOOMANYREQUESTS" for one in problems):
        return ErrorCode.RATE_LIMITED
    if by is Responder.TOKEN_SERVICE and status in (400, 401, 403):  # wrong credentials
        return ErrorCode.FORBIDDEN if status == 403 and _NETWORK.search(text[:2000]) else ErrorCode.UNAUTHORIZED
    if status in (400, 403) and _TOKEN_EXPIRED in text.lower():  # a new login fixes it
        return ErrorCode.UNAUTHORIZED
    if status == 400 and _HTTPS_PORT.search(text[:2000]):
        return ErrorCode.NOT_A_REGISTRY
    code = code_of_status(status)
    if status < 500 and code in (ErrorCode.NOT_A_REGISTRY, ErrorCode.SERVER_ERROR):
        return next((_PROBLEM_CODES[one.code] for one in problems if one.code in _PROBLEM_CODES), code)
    return code


def _message(problems: tuple[Problem, ...], headers: Mapping[str, str], text: str, by: Responder) -> str:
    """The server's message; of a redirect's host only the type or the title of a page, as it may quote a signed URL."""
    if problems:
        return "; ".join(str(problem) for problem in problems[:3])
    if _HTTPS_PORT.search(text[:2000]):
        return "this port uses https: write https:// in the URL"
    content_type = headers.get("content-type", "")
    if not content_type or content_type.startswith(_TEXTS):
        return "" if by is Responder.REDIRECT else clean(text)
    title = _TITLE.search(text[:4000])
    if title is not None and (shown := clean(title[1], 120)):
        return f"with a page '{shown}' ({clean(content_type, 60)})"
    return f"with a body of {clean(content_type, 60)}" if text else ""


def _of_storage(text: str) -> tuple[Problem, ...]:
    """Its first code and message, of JSON or XML, without URLs and parameters: storage services quote signed URLs."""
    found = next(iter(read_problems(text)), None)
    if found is None:
        code, message = _STORAGE_CODE.search(text), _STORAGE_MESSAGE.search(text)
        if code is None:
            return ()
        found = Problem(code=code[1], message=message[1] if message else "")
    return (Problem(code=found.code, message=clean(_MAY_BE_SIGNED.sub("…", found.message), 160)),)


def read_problems(body: bytes | str) -> tuple[Problem, ...]:
    """The entries of an error body, at most MAX_PROBLEMS; empty for any other body."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    entries = document.get("errors") if isinstance(document, dict) else None
    return tuple(_problems(entries[:MAX_PROBLEMS])) if isinstance(entries, list) else ()


def _problems(entries: list[object]) -> Iterator[Problem]:
    for entry in entries:
        if isinstance(entry, dict):
            code, message, detail = (entry.get(key) or "" for key in ("code", "message", "detail"))
            yield Problem(code=clean(code or "UNKNOWN", 60).upper(), message=clean(message), detail=clean(detail))


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """The wait in Retry-After, in seconds up to one day: a number or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - (now or datetime.now(UTC))).total_seconds()), MAX_RETRY_AFTER_S)


def may_pass(error: RegistryError) -> bool:
    """Whether a retry may succeed. A proxy's refusal by its rules, and a kind of request that is not taken, are final."""
    refused = error.code is ErrorCode.PROXY and error.status is not None and error.status < 500
    return error.code in RETRYABLE and error.status != _NOT_IMPLEMENTED and not refused and not is_untaken(error)


def is_untaken(error: RegistryError) -> bool:
    """Whether a server takes no such request: a 4xx that is not about a login, a right, a name or a rate."""
    status = error.status or 0
    return error.code is ErrorCode.SERVER_ERROR and 400 <= status < 500 and status not in _MAY_PASS


def backoff_s(attempt: int, retry_after_s: float | None = None) -> float:
    """The wait after a failed attempt (counted from 1): the server's, else 0.5 s, doubled each time up to 8 s.

    `Retry-After: 0` gives the default wait.
    """
    return retry_after_s or min(_MOST_BACKOFF_S, 0.5 * 2 ** (attempt - 1))
