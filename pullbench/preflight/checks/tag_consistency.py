"""`tag-consistency`: a tag points to the same image at every registry and mirror, and in the local Docker daemon."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from pullbench.daemon.local import answers_quickly
from pullbench.errors import ErrorCode, PullbenchError
from pullbench.model.addresses import image_name
from pullbench.model.finding import Finding, Status
from pullbench.model.image_config import parse_instant
from pullbench.model.manifest import Index
from pullbench.model.reference import Reference
from pullbench.model.route import DIRECT, Route
from pullbench.preflight.check import Check, FindingKind, Local, ObservedFault, Room, failed, passed, skipped, warned
from pullbench.preflight.context import CheckContext

ID = "tag-consistency"
OTHER_MANIFEST = "tag-consistency-other-manifest"
STALE_MIRROR = "tag-consistency-stale-mirror"
STALE_DAEMON = "tag-consistency-stale-daemon"
EXPECTED = "the tag has the same digest everywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagLocation:
    """One location of a tag, and the image there."""

    name: str
    """The name in findings: `eu`, `eu via cache`, `the Docker daemon`."""
    kind: Literal["registry", "mirror", "daemon"]
    reference: str
    """The image name for Docker and skopeo."""
    plain_http: bool = False
    digest: str | None = None
    """None if the request failed, and for a daemon's image that did not come from a registry."""
    manifests: Mapping[str, str] = field(default_factory=dict)
    """Digest by platform of the matrix; read only if the locations' digests differ."""
    configs: Mapping[str, str] = field(default_factory=dict)
    """Config digest by platform: equal for equal content, regardless of manifest and compression."""
    created: datetime | None = None
    """The latest creation time in its platforms' configs."""
    is_current: bool = False
    """For a daemon: whether it has the image that the registry has under the tag."""
    fault: ObservedFault | None = None

    @property
    def is_index(self) -> bool:
        """Whether the digest is an index, as far as its platforms were read."""
        return bool(self.manifests) and self.digest not in self.manifests.values()

    def is_part_of(self, other: "TagLocation") -> bool:
        """Whether `other` has all the content of this location."""
        return bool(self.configs) and self.configs.items() <= other.configs.items()


def targets(context: CheckContext) -> list[Local]:
    """Each image, over all locations."""
    return [Local(name=image) for image in context.spec.images]


def skips(target: Local) -> str | None:
    if Reference.parse(target.name).digest is not None:
        return "the spec gives the digest, which is the same everywhere"
    return None


def probe(context: CheckContext, target: Local) -> tuple[TagLocation, ...]:
    return (*registry_locations(context, target.name), *daemon_locations(context, target.name))


def registry_locations(context: CheckContext, image: str) -> list[TagLocation]:
    """The digest on each route; if they differ, also the platforms behind each."""
    found = [(route, _location_of(context, route, image)) for route in context.routes]
    different = {place.digest for _, place in found if place.fault is None}
    if len(different) < 2:
        return [place for _, place in found]
    return [place if place.fault else described(context, route, image, place) for route, place in found]


def _location_of(context: CheckContext, route: Route, image: str) -> TagLocation:
    place = TagLocation(
        name=route.name,
        kind="registry" if route.proxy == DIRECT or route.forward_url else "mirror",
        reference=image_name(route, Reference.parse(image)),
        plain_http=route.plain_http,
    )
    try:
        return replace(place, digest=context.digest(route, image))
    except PullbenchError as error:
        return replace(place, fault=ObservedFault.of(error))


def described(context: CheckContext, route: Route, image: str, place: TagLocation) -> TagLocation:
    """The location with its platforms' digests and the creation date, as far as they can be read."""
    manifests, configs = dict[str, str](), dict[str, str]()
    for platform in context.platforms:
        try:
            found = context.platform_image(route, image, platform)
        except PullbenchError:
            continue
        if found is not None:
            manifests[platform] = found.digest
            configs[platform] = found.manifest.config.digest
    return replace(place, manifests=manifests, configs=configs, created=context.newest_creation(route, image))


def daemon_locations(context: CheckContext, image: str) -> Iterator[TagLocation]:
    """The local daemons' images under each registry's and mirror's image name; nothing if they have none."""
    names = {image_name(route, Reference.parse(image)): route for route in reversed(context.routes)}
    for host in _hosts(context):
        daemon = context.daemon(host)
        called = "the Docker daemon" + (f" at {host}" if host else "")
        for name, route in names.items():
            place = TagLocation(name=called, kind="daemon", reference=name)
            try:
                held = daemon.find(name)
            except PullbenchError as error:
                yield replace(place, fault=ObservedFault.of(error))
                break
            if held is None:
                continue
            digests = [str(entry).rpartition("@")[2] for entry in held.get("RepoDigests") or ()]
            yield replace(
                place,
                digest=digests[0] if digests else None,
                created=parse_instant(held.get("Created")),
                is_current=_is_current(context, route, image, frozenset(digests), str(held.get("Id"))),
            )


def _hosts(context: CheckContext) -> list[str | None]:
    """The daemons of the spec's engines; else this machine's, if it answers quickly."""
    entries = [context.spec.engine(name) for name in context.spec.matrix.engines]
    named = list(dict.fromkeys(entry.host for entry in entries if entry.kind == "docker"))
    return named or ([None] if answers_quickly(context.daemon(None).host) else [])


def _is_current(context: CheckContext, route: Route, image: str, digests: frozenset[str], image_id: str) -> bool:
    """Compare the tag's digest, the digests in its index, and the config digest, which is the image ID in Docker's store."""
    try:
        if context.digest(route, image) in digests:
            return True
        document = context.manifest(route, image).document
        if isinstance(document, Index) and digests & {entry.digest for entry in document.manifests}:
            return True
        found = [context.platform_image(route, image, platform) for platform in context.platforms]
    except PullbenchError:
        return True  # without a comparison it does not count as stale; the registry's location has the fault
    return image_id in {each.manifest.config.digest for each in found if each is not None}


def judge(evidence: tuple[TagLocation, ...], target: Local) -> list[Finding]:
    there = [place for place in evidence if place.fault is None and place.kind != "daemon"]
    held = [place for place in evidence if place.fault is None and place.kind == "daemon"]
    absent = "".join(f"; {place.name} is unknown: {place.fault}" for place in evidence if place.fault)
    if not there:
        return [skipped(ID, target, f"not run: no registry has the tag{absent}")]
    digests = {place.digest for place in there}
    if len(digests) > 1:
        return [_of_different(there, target, absent)]
    stale = [place for place in held if not place.is_current]
    if stale:
        return [_of_stale_daemon(stale[0], there[0], target, absent)]
    if len(there) + len(held) < 2:
        return [skipped(ID, target, f"only {there[0].name} has the tag: there is nothing to compare{absent}")]
    names = ", ".join(place.name for place in (*there, *held))
    return [passed(ID, target, f"{there[0].digest} at {names}{absent}", EXPECTED)]


def _of_different(there: Sequence[TagLocation], target: Local, absent: str) -> Finding:
    """The finding for different digests: another form, missing platforms, a stale mirror, or different images."""
    held = _by_digest(there) + absent
    whole = max(there, key=lambda place: (len(place.configs), place.is_index, place.kind == "registry"))
    parts = [place for place in there if place.digest != whole.digest]
    if all(part.is_part_of(whole) for part in parts):
        if all(part.configs == whole.configs for part in parts):
            why = "the same content under different manifests, such as a copy without its index"
            return warned(ID, target, f"{why}: {held}", EXPECTED, _copies(whole, parts), kind=OTHER_MANIFEST)
        lacking = "; ".join(
            f"{part.name} has only {', '.join(part.configs)}; {whole.name} has more platforms" for part in parts
        )
        fault = ObservedFault(
            code=ErrorCode.PLATFORM_MISSING, text=f"{lacking}: {held}", parameters={"image": target.name}
        )
        return failed(ID, target, fault, EXPECTED, _copies(whole, parts))
    newest = _newest(there)
    source = newest or next((place for place in there if place.kind == "registry"), there[0])
    others = [place for place in there if place.digest != source.digest]
    observed = f"{_who_is_stale(newest, others)}: {held}"
    if source.kind == "registry" and all(place.kind == "mirror" for place in others):
        return warned(ID, target, observed, EXPECTED, _refreshed(others), kind=STALE_MIRROR)
    cure = _copies(newest, others) if newest else _choice(source, others)
    fault = ObservedFault(code=ErrorCode.DIGEST_MISMATCH, text=observed, parameters={"image": target.name})
    return failed(ID, target, fault, EXPECTED, cure)


def _by_digest(there: Sequence[TagLocation]) -> str:
    groups: dict[str | None, list[TagLocation]] = {}
    for place in there:
        groups.setdefault(place.digest, []).append(place)
    return "; ".join(
        f"{', '.join(place.name for place in group)}: {digest}{_dated(group[0].created)}"
        for digest, group in groups.items()
    )


def _newest(there: Sequence[TagLocation]) -> TagLocation | None:
    """The place whose image is newer than every other one; None where the dates do not tell."""
    dates = {place.created for place in there}
    if None in dates or len(dates) < 2:
        return None
    latest = max(there, key=_date)
    rivals = {place.digest for place in there if place.created == latest.created}
    return latest if len(rivals) == 1 else None


def _date(place: TagLocation) -> datetime:
    assert place.created is not None
    return place.created


def _who_is_stale(newest: TagLocation | None, others: Sequence[TagLocation]) -> str:
    if newest is None:
        return "the tag points to different images, and their creation dates do not show which is older"
    names = ", ".join(dict.fromkeys(place.name for place in others))
    return f"{names} {'is' if len(others) == 1 else 'are'} stale: the image at {newest.name} is newer"


def _dated(created: datetime | None) -> str:
    return f" created {created:%Y-%m-%d %H:%M:%S}Z" if created else " (no creation date)"


def _choice(one: TagLocation, others: Sequence[TagLocation]) -> str:
    looks = " and ".join(f"`{_skopeo('inspect', place)}`" for place in (one, others[0]))
    return f"decide which image is right ({looks}), then use it everywhere: {_copies(one, others)}"


def _copies(source: TagLocation, others: Sequence[TagLocation]) -> str:
    copied = [place for place in others if place.kind == "registry"]
    options = []
    if copied:
        commands = "; ".join(dict.fromkeys(f"`{_skopeo('copy --all', source, place)}`" for place in copied))
        options.append(f"copy it with all its platforms: {commands}")
    mirrors = [place for place in others if place.kind == "mirror"]
    if mirrors:
        options.append(_refreshed(mirrors))
    return "; ".join(options) + "; or use a digest in the spec (`REPOSITORY@sha256:…`)"


def _refreshed(mirrors: Sequence[TagLocation]) -> str:
    names = ", ".join(dict.fromkeys(place.reference for place in mirrors))
    return f"shorten the mirror's TTL for manifests, or delete {names} there so that the mirror fetches it again"


def _skopeo(command: str, source: TagLocation, destination: TagLocation | None = None) -> str:
    """A skopeo command that also works over plain HTTP."""
    if destination is None:
        return f"skopeo {command} {'--tls-verify=false ' if source.plain_http else ''}docker://{source.reference}"
    options = ("--src-tls-verify=false " if source.plain_http else "") + (
        "--dest-tls-verify=false " if destination.plain_http else ""
    )
    return f"skopeo {command} {options}docker://{source.reference} docker://{destination.reference}"


def _of_stale_daemon(held: TagLocation, registry: TagLocation, target: Local, absent: str) -> Finding:
    has = f"{held.digest or 'an image from no registry'}{_dated(held.created)}"
    observed = (
        f"{held.name} has another image as {held.reference}: {has}; {registry.name} has {registry.digest}{absent}"
    )
    cure = f"run `docker pull {held.reference}`; until then, containers with `imagePullPolicy: IfNotPresent` use the local image"
    return warned(ID, target, observed, EXPECTED, cure, kind=STALE_DAEMON)


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="Compares the digest of each tag on every route (`HEAD`), and in the local Docker daemons: those of the spec's "
    "docker engines, else this machine's if it answers quickly. If digests differ, it compares the platforms' manifests and "
    "the creation dates in the configs.",
    statuses={
        Status.PASS: "the tag has the same digest everywhere",
        Status.WARN: "the content is the same under different manifests (a copy without its index), a mirror is behind its "
        "upstream, or the daemon has another image",
        Status.FAIL: "registries have different images under the tag, so a benchmark would compare different content; the "
        "creation date shows the older one",
        Status.SKIP: "the spec gives the digest, or only one location has the tag",
    },
    advice="Copy the right image: `skopeo copy --all docker://NEWER docker://OLDER`; or run `docker pull`.",
    kinds={
        OTHER_MANIFEST: FindingKind(
            cause="The image was copied in another form, such as one platform without its index. The layers are the same.",
            remedy="Copy it whole: `skopeo copy --all docker://SOURCE docker://DESTINATION`.",
        ),
        STALE_MIRROR: FindingKind(
            cause="The tag was pushed again, and the mirror still serves the manifest that it has cached.",
            remedy="Shorten the mirror's TTL for manifests, or delete the image there so that the mirror fetches it again.",
        ),
        STALE_DAEMON: FindingKind(
            cause="The daemon pulled the tag before it was pushed again, or the image was built here under this name.",
            remedy="Run `docker pull HOST/IMAGE`. Until then containers with `imagePullPolicy: IfNotPresent` use the local image.",
        ),
    },
    targets=targets,
    probe=probe,
    judge=judge,
    skips=skips,
)
