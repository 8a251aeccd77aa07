"""A registry's control plane over httpx: API, tokens, manifests, tags and catalog. The engines download layers."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from pullbench.errors import ROUTE_FAILURES, ErrorCode, RegistryError, Responder, UsageError
from pullbench.model.client_rules import LARGE_MANIFESTS
from pullbench.model.facts import HeadAnswer, ImageFacts, Listing, PlatformImage, ServedType
from pullbench.model.image_config import parse_image_config
from pullbench.model.manifest import (
    ACCEPT,
    MAX_MANIFEST_BYTES,
    MAX_NESTED_INDEXES,
    Descriptor,
    Index,
    Manifest,
    ManifestError,
    SchemaOneError,
    own_media_type,
    parse_manifest,
)
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference, is_digest
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.registry.answer import Answer
from pullbench.registry.auth import (
    MAX_TOKEN_BYTES,
    Challenge,
    Token,
    TokenRequest,
    parse_challenges,
    read_token,
    same_origin,
)
from pullbench.registry.exchange import Content, Exchanger, ExchangeRecord
from pullbench.registry.keychain import Keychain
from pullbench.registry.login import Authorizer
from pullbench.registry.pages import MAX_PAGE_BYTES, Page, list_pages, read_pages
from pullbench.registry.patience import PATIENCE_S, Patience, is_limit

MAX_CONFIG_BYTES = 8 * 1024 * 1024
MAX_PING_BYTES = 64 * 1024
_REPEATABLE = ("GET", "HEAD", "DELETE")
PAGE_SIZE = 1000
EXCHANGE_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """The answer to GET /v2/: 200, or a 401 with a challenge. `api_version` is Docker's header, often missing."""

    url: str
    status: int
    challenges: tuple[Challenge, ...] = ()
    content_type: str = ""
    api_version: str = ""
    server: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """All headers, by lower-case names."""
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestHead:
    """The answer to HEAD for a manifest; a registry may omit digest and size."""

    digest: str | None
    media_type: str
    size_bytes: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """All headers, by lower-case names, including those of rate limits and caches."""
    by_get: bool = False
    """Whether the registry refuses HEAD, so that the values come from GET."""
    refused: int | None = None
    """The status of the refused HEAD."""
    differs: bool = False
    """Whether HEAD was refused once and then answered: answers differ between requests."""

    @property
    def answer(self) -> HeadAnswer:
        """What clients see of it."""
        return HeadAnswer(
            status=self.refused or 200,
            content_type=self.media_type,
            size_bytes=self.size_bytes,
            has_digest=self.digest is not None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedManifest:
    """A manifest or an index with its bytes; `digest` is their hash."""

    digest: str
    content: bytes = field(repr=False)
    document: Manifest | Index
    content_type: str = ""
    """Of the answer, without parameters; empty if it had none."""
    type_by_digest: str | None = None
    """The Content-Type for its digest, if it was looked up by tag and that differs."""
    head: HeadAnswer | None = None
    """The answer to HEAD of its digest; None if it was not asked for, or if the answers differ."""

    @property
    def served(self) -> tuple[ServedType, ...]:
        types = (self.content_type, self.type_by_digest)
        own = own_media_type(self.content)
        return tuple(ServedType(content_type=given, media_type=own) for given in types if given is not None)


class NoImageError(RegistryError):
    """The content exists, but no client pulls it as an image; its remedy says what to do instead."""

    def __init__(self, where: str, detail: str, remedy: str) -> None:
        self._remedy = remedy
        super().__init__(ErrorCode.PLATFORM_MISSING, where, detail, status=200)

    @property
    def remedy(self) -> str:
        return self._remedy


class RegistryClient:
    """A client for one route's registry, with the route's credentials. Thread-safe; close it when done.

    Every failed exchange raises a RegistryError. Repository names are those at the endpoint (`Route.repository`).
    `on_exchange` receives the redacted record of each request. For pushes, set `actions` to "pull,push". Raises UsageError if
    the route's `ca_file` cannot be used, or its forward proxy's login cannot be read. `patience_s`: how long the client may
    pause in all after rate limits and after 502, 503 and 504.
    """

    def __init__(
        self,
        route: Route,
        keychain: Keychain,
        *,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
        exchange_timeout_s: float | None = None,
        transport: httpx.BaseTransport | None = None,
        on_exchange: Callable[[ExchangeRecord], None] | None = None,
        actions: str = "pull",
        patience_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.route = route
        self._patience = Patience(patience_s, monotonic=monotonic, sleep=sleep)
        self._exchanger = Exchanger(
            route,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            exchange_timeout_s=EXCHANGE_TIMEOUT_S if exchange_timeout_s is None else exchange_timeout_s,
            forward_login=keychain.forward_login(route),
            transport=transport,
            on_exchange=on_exchange,
        )
        self._authorizer = Authorizer(
            route, partial(keychain.login, route), monotonic=monotonic, logins=keychain.logins, actions=actions
        )

    def ping(self, *, authenticate: bool = True, patient: bool = True) -> Ping:
        """GET /v2/ (OCI distribution spec, "Determining Support"); without `authenticate` a 401 is a valid answer.

        Without `patient` it is sent once, without a pause, as for a measurement; after a rate limit the client's other requests wait.
        """
        if authenticate:
            answer = self.ask("GET", "/v2/", limit_bytes=MAX_PING_BYTES)
        else:
            send = partial(self._exchanger.send, "GET", f"{self.route.url}/v2/", limit_bytes=MAX_PING_BYTES)
            answer = self._patience.keep(send) if patient else send()
            if not patient and is_limit(answer):
                self._patience.note(answer)
            if answer.status >= 300 and answer.status != 401:
                raise self._authorizer.fault(answer)
        return Ping(
            url=answer.url,
            status=answer.status,
            challenges=parse_challenges(answer.challenges),
            content_type=clean(answer.headers.get("content-type", ""), 80),
            api_version=clean(answer.headers.get("docker-distribution-api-version", ""), 80),
            server=clean(answer.headers.get("server", ""), 80),
            headers=answer.headers,
            body=answer.body,
        )

    def head_manifest(self, reference: Reference) -> ManifestHead:
        """HEAD of a manifest, which most registries do not count against the rate limit."""
        answer = self.ask(
            "HEAD", _manifest_path(self.route, reference), repository=self.route.repository(reference), accept=ACCEPT
        )
        size = answer.headers.get("content-length", "")
        return ManifestHead(
            digest=stated_digest(answer),
            media_type=answer.content_type,
            size_bytes=int(size) if size.isdecimal() and len(size) < 16 else None,
            headers=answer.headers,
        )

    def get_lacks_length(self, reference: Reference) -> bool:
        """Whether GET of a manifest has Docker-Content-Digest and no Content-Length, for a client that accepts gzip, as Go's do.

        Go takes the length away from an answer that it unpacks. Raises RegistryError as every exchange.
        """
        answer = self.ask(
            "GET",
            _manifest_path(self.route, reference),
            repository=self.route.repository(reference),
            accept=ACCEPT,
            limit_bytes=MAX_MANIFEST_BYTES,
            headers={"Accept-Encoding": "gzip"},
        )
        is_packed = answer.headers.get("content-encoding", "").strip().lower() == "gzip"
        return stated_digest(answer) is not None and (is_packed or "content-length" not in answer.headers)

    def digest_at(self, reference: Reference) -> str | None:
        """The digest of what a tag points to now; None if there is no such tag. After a refused HEAD a GET decides."""
        with contextlib.suppress(RegistryError):
            head = self.head_manifest(reference)
            if head.digest is not None:
                return head.digest
        try:
            return self.manifest(reference).digest
        except RegistryError as error:
            if error.status == 404:
                return None
            raise

    def manifest(self, reference: Reference) -> FetchedManifest:
        """GET a manifest of at most MAX_MANIFEST_BYTES and verify the requested and the reported digest.

        Raises RegistryError: not_found, too_large, digest_mismatch, not_a_registry (no manifest), and all HTTP errors.
        """
        try:
            answer = self.ask(
                "GET",
                _manifest_path(self.route, reference),
                repository=self.route.repository(reference),
                accept=ACCEPT,
                limit_bytes=MAX_MANIFEST_BYTES,
            )
        except RegistryError as error:
            if error.code is ErrorCode.TOO_LARGE:
                raise RegistryError(error.code, error.where, f"{error.detail}; {LARGE_MANIFESTS}", status=200) from None
            raise
        stated = stated_digest(answer)
        for expected in (reference.digest, stated):
            if expected is not None:
                _verify(answer, expected)
        try:
            document = parse_manifest(answer.body, answer.headers.get("content-type", ""))
        except SchemaOneError as error:
            raise NoImageError(answer.where, clean(error), "push it anew with a client of today") from None
        except ManifestError as error:
            raise answer.error_of(ErrorCode.NOT_A_REGISTRY, clean(error)) from None
        digest = reference.digest or stated or _digest("sha256", answer.body)
        return FetchedManifest(digest=digest, content=answer.body, document=document, content_type=answer.content_type)

    def image(self, reference: Reference) -> FetchedManifest:
        """GET an image's manifest or index, and look at it by digest with HEAD: runs pull by digest, users by tag.

        Raises RegistryError as `manifest` does; only for the reference itself.
        """
        found = self.manifest(reference)
        pinned = reference.pinned(found.digest)
        head = head_answer(self, pinned)
        found = replace(found, head=head)
        if (
            reference.digest is not None
            or head is None
            or head.status != 200
            or head.content_type == found.content_type
        ):
            return found
        with contextlib.suppress(RegistryError):
            given = self.manifest(pinned).content_type
            return found if given == found.content_type else replace(found, type_by_digest=given)
        return found

    def config(self, repository: str, descriptor: Descriptor) -> bytes:
        """Download and verify a small blob, such as an image's config.

        Raises RegistryError: too_large if the descriptor's size is above MAX_CONFIG_BYTES, digest_mismatch …
        """
        path = _blob_path(repository, descriptor.digest)
        if descriptor.size_bytes > MAX_CONFIG_BYTES:
            detail = f"the config should have {descriptor.size_bytes} bytes; the limit is {MAX_CONFIG_BYTES}"
            raise RegistryError(ErrorCode.TOO_LARGE, f"GET {self.route.url}{path}", detail)
        answer = self.ask("GET", path, repository=repository, limit_bytes=descriptor.size_bytes)
        _verify(answer, descriptor.digest)
        return answer.body

    def head_blob(self, repository: str, digest: str) -> None:
        """HEAD of a blob; raises RegistryError, not_found if the registry does not have it."""
        self.ask("HEAD", _blob_path(repository, digest), repository=repository)

    def find_blob(self, repository: str, digest: str, *, get_after_404: bool = True) -> None:
        """As `head_blob`, but after a refused HEAD a GET of one byte decides: pulls send no HEAD of a blob.

        A 404 is an answer, too; without `get_after_404` it is final, as for a push or a mirror that would fetch the blob.
        """
        try:
            self.head_blob(repository, digest)
        except RegistryError as error:
            if not is_refused_head(error) or (error.status == 404 and not get_after_404):
                raise
            one_byte = {"Range": "bytes=0-0"}
            try:
                self.ask("GET", _blob_path(repository, digest), repository=repository, limit_bytes=1, headers=one_byte)
            except RegistryError as refused:
                if refused.code is not ErrorCode.TOO_LARGE:  # else it is the whole blob
                    raise

    def tags(self, repository: str) -> Iterator[str]:
        """The repository's tags, page by page (OCI distribution spec, "Listing Tags")."""
        return list_pages(
            lambda path: self.ask("GET", path, repository=repository, limit_bytes=MAX_PAGE_BYTES),
            f"/v2/{repository}/tags/list?n={PAGE_SIZE}",
            "tags",
        )

    def catalog(self) -> Iterator[str]:
        """The names of the repositories, page by page, if the registry lists them (Docker's `_catalog`)."""
        return (name for page in self.catalog_pages() for name in page.entries)

    def catalog_pages(self, page_size: int = PAGE_SIZE, *, after: str | None = None) -> Iterator[Page]:
        """The catalog's pages, in order; `after` starts after that name."""
        last = "" if after is None else f"&last={quote(after, safe='')}"
        return read_pages(
            lambda path: self.ask("GET", path, limit_bytes=MAX_PAGE_BYTES),
            f"/v2/_catalog?n={page_size}{last}",
            "repositories",
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        repository: str | None = None,
        accept: str | None = None,
        limit_bytes: int = 0,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
    ) -> Answer:
        """One exchange with the endpoint, with authentication on request; a 401 is answered once.

        `path` may be a whole URL, such as an upload's; a URL of another host receives no credentials. Raises RegistryError for a
        status of 300 or more, and for a body larger than `limit_bytes`.
        """
        url = f"{self.route.url}{path}" if path.startswith("/") else path
        is_own, authorizer = same_origin(url, self.route.url), self._authorizer
        once = partial(
            self._exchanger.send,
            method,
            url,
            limit_bytes=limit_bytes,
            headers={**({"Accept": accept} if accept else {}), **(headers or {})},
            content=content,
            asked=Responder.REGISTRY if is_own else Responder.REDIRECT,
        )
        renew, authorization = partial(authorizer.renew, repository, self._exchange_token), None
        if is_own:
            due, authorization = authorizer.due(repository), authorizer.current(repository)
            authorization = renew(sent=authorization, challenges=due) if due else authorization

        def send() -> Answer:
            request = partial(once, authorization=authorization)
            if method not in _REPEATABLE:
                return request()
            return self._patience.keep(request, limits=authorizer.is_proven(repository, authorization))

        answer = send()
        challenges = authorizer.offered(answer)
        if authorizer.can_answer(repository, challenges, authorization):
            authorization = renew(sent=authorization, challenges=challenges)
            with authorizer.attempt(repository, authorization) as conclude:
                answer = send()
                conclude(answer)
        if answer.status >= 300:
            raise authorizer.fault(answer, sent=authorization, repository=repository)
        return answer

    def _exchange_token(self, request: TokenRequest) -> Token:
        headers = dict(request.headers)
        authorization = headers.pop("Authorization", None)
        send = partial(
            self._exchanger.send,
            request.method,
            request.url,
            limit_bytes=MAX_TOKEN_BYTES,
            authorization=authorization,
            headers=headers,
            content=request.body,
            asked=Responder.TOKEN_SERVICE,
        )
        answer = self._patience.keep(send, limits=authorization is None and request.body is None)
        if answer.status >= 300:
            raise self._authorizer.fault(answer)
        try:
            return read_token(answer.body)
        except RegistryError as error:
            raise answer.error_of(error.code, error.detail) from None

    def granted(self, repository: str) -> tuple[str, ...] | None:
        """The scopes of the current token for a repository; None without a token, or if it does not list them."""
        return self._authorizer.granted(repository)

    def scheme(self, repository: str | None) -> str | None:
        """The scheme of the challenge that was answered for a repository, `basic` or `bearer`; None if there was none."""
        return self._authorizer.scheme(repository)

    def close(self) -> None:
        self._exchanger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_refused_head(error: RegistryError) -> bool:
    """Whether a registry that refuses a HEAD with this error may still answer GET: not after a rate limit or a proxy's refusal."""
    return (error.status or 0) >= 400 and error.code not in (ErrorCode.RATE_LIMITED, ErrorCode.PROXY)


def quick_client(route: Route, keychain: Keychain, actions: str = "pull") -> RegistryClient:
    """A client with short timeouts for small requests: before a run, a user waits for the answer."""
    return RegistryClient(
        route, keychain, read_timeout_s=20.0, exchange_timeout_s=30.0, actions=actions, patience_s=PATIENCE_S
    )


def _manifest_path(route: Route, reference: Reference) -> str:
    return f"/v2/{route.repository(reference)}/manifests/{quote(reference.locator, safe=':')}"


def _blob_path(repository: str, digest: str) -> str:
    return f"/v2/{repository}/blobs/{digest}"


def stated_digest(answer: Answer) -> str | None:
    """Docker-Content-Digest, which may be repeated; None if it is missing. Raises RegistryError for an invalid digest."""
    lines = {line.strip() for line in answer.headers.get("docker-content-digest", "").split(",")} - {""}
    stated = ", ".join(sorted(lines))
    if stated and not is_digest(stated):
        detail = f"Docker-Content-Digest is '{clean(stated, 80)}'"
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, detail)
    return stated or None


def _verify(answer: Answer, expected: str) -> None:
    found = _digest(expected.partition(":")[0], answer.body)
    if found != expected:
        if answer.is_page:
            raise answer.error_of(
                ErrorCode.NOT_A_REGISTRY, f"{answer.status} with a page ({answer.content_type}), not the content"
            )
        detail = f"the digest of the {len(answer.body)} bytes is {found}, not {expected}"
        if (encoding := answer.headers.get("content-encoding", "identity")).lower() != "identity":
            detail += (
                f"; a proxy compressed them ({clean(encoding, 40)}), although `Accept-Encoding: identity` was sent"
            )
        raise answer.error_of(ErrorCode.DIGEST_MISMATCH, detail)


def _digest(algorithm: str, content: bytes) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def image_facts(client: RegistryClient, registry: str, image: str, platforms: Sequence[str]) -> ImageFacts:
    """An image on the client's route, for each of the platforms; missing content raises nothing.

    A platform that the image lacks is left out. A failure is in `error_code` and `error`, next to the results before it.
    """
    facts = ImageFacts(registry=registry, image=image)
    found: dict[str, PlatformImage] = {}
    try:
        reference = Reference.parse(image)
        top = client.image(reference)
        is_index = isinstance(top.document, Index)
        facts = replace(facts, digest=top.digest, is_index=is_index, platforms=found, head=top.head)
        fetch = cache(lambda digest: client.manifest(reference.pinned(digest)))
        stated = cache(lambda config: stated_platform(client, reference, config))
        for text in platforms:
            chosen = find_platform(top, Platform.parse(text), fetch=fetch, stated=stated)
            if chosen is not None:
                found[text] = chosen
    except RegistryError as error:
        return replace(facts, error_code=error.code, error=f"{_place(error)}: {error.detail}")
    except UsageError as error:  # the credentials source failed
        return replace(facts, error_code=ErrorCode.UNAUTHORIZED, error=str(error))
    return facts


def head_answer(client: RegistryClient, reference: Reference) -> HeadAnswer | None:
    """The answer to HEAD of a manifest that GET finds; None if there is none, or if answers differ between requests."""
    refused = None
    try:
        head = client.head_manifest(reference)
    except RegistryError as error:
        if not is_refused_head(error):
            return None
        refused = error.status
    else:
        return head.answer
    if may_differ(refused):
        with contextlib.suppress(RegistryError):
            client.head_manifest(reference)
            return None
    return HeadAnswer(status=refused or 0)


def may_differ(status: int | None) -> bool:
    """Whether another replica may answer a HEAD that was refused so; a 403 or 405 is a rule of all of them."""
    return status is not None and (status == 404 or status >= 500)


def _place(error: RegistryError) -> str:
    """Where an exchange failed; only the server if it cannot be reached, since that concerns no image."""
    method, _, url = error.where.partition(" ")
    if error.code not in ROUTE_FAILURES or "://" not in url:
        return error.where
    return f"{method} {'/'.join(url.split('/', 3)[:3])}"


def find_platform(
    top: FetchedManifest,
    wanted: Platform,
    *,
    fetch: Callable[[str], FetchedManifest],
    stated: Callable[[Descriptor], Platform | None],
) -> PlatformImage | None:
    """The image for a platform, through the index or an index in it, as docker and containerd find it; None if it lacks it.

    An index's entry decides. Only where nothing names a platform, the config's counts, and a config without one fits. `fetch`
    returns a manifest by digest, `stated` the platform in a config. Raises RegistryError if the image is no image.
    """
    found, depth, entry, served = top, 0, None, [*top.served]
    while isinstance(found.document, Index):
        if depth == MAX_NESTED_INDEXES or (entry := found.document.select(wanted)) is None:
            return None
        found, depth = fetch(entry.digest), depth + 1
        served += found.served
    if (artifact := found.document.artifact) is not None:
        where = f"manifest {found.digest}"
        raise NoImageError(
            where, f"it is {artifact}, not an image", "remove it from `images`, or name the image that it deploys"
        )
    if entry is None or entry.platform is None:
        named = stated(found.document.config)
        if named is not None and not wanted.accepts_unlisted(named):
            return None
    listing = None
    if isinstance(top.document, Index) and entry is not None:
        other = top.document.containers_select(wanted)
        listing = Listing(
            platform=entry.platform, depth=depth, containers_digest=None if other is None else other.digest
        )
    return PlatformImage(digest=found.digest, manifest=found.document, listing=listing, served=tuple(served))


def stated_platform(client: RegistryClient, reference: Reference, config: Descriptor) -> Platform | None:
    """The platform in an image's config (OCI image spec, config); None if it has none."""
    return parse_image_config(client.config(client.route.repository(reference), config)).platform
