"""`tag-consistency`: a tag means the same image at every registry and mirror, and in the local Docker daemon."""

from collections.abc import Sequence
from datetime import datetime

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.preflight.check import Check, Fault, Local, Room, failed, passed, skipped, warned
from pullbench.preflight.tag_places import Place, daemon_places, registry_places
from pullbench.preflight.world import World

ID = "tag-consistency"
EXPECTED = "the tag has one digest wherever it is"


def targets(world: World) -> list[Local]:
    """Each image, over all places."""
    return [Local(name=image) for image in world.spec.images]


def skips(target: Local) -> str | None:
    if Reference.parse(target.name).digest is not None:
        return "the spec holds it to a digest, which means the same everywhere"
    return None


def probe(world: World, target: Local) -> tuple[Place, ...]:
    return (*registry_places(world, target.name), *daemon_places(world, target.name))


def judge(evidence: tuple[Place, ...], target: Local) -> list[Finding]:
    there = [place for place in evidence if place.fault is None and place.kind != "daemon"]
    held = [place for place in evidence if place.fault is None and place.kind == "daemon"]
    absent = "".join(f"; {place.name} could not be asked: {place.fault}" for place in evidence if place.fault)
    if not there:
        return [skipped(ID, target, f"not run: no registry shows it{absent}")]
    digests = {place.digest for place in there}
    if len(digests) > 1:
        return [_of_different(there, target, absent)]
    stale = [place for place in held if not place.is_current]
    if stale:
        return [_of_stale_daemon(stale[0], there[0], target, absent)]
    if len(there) + len(held) < 2:
        return [skipped(ID, target, f"one place alone has it, {there[0].name}: nothing to compare it with{absent}")]
    names = ", ".join(place.name for place in (*there, *held))
    return [passed(ID, target, f"{there[0].digest} at {names}{absent}", EXPECTED)]


def _of_different(there: Sequence[Place], target: Local, absent: str) -> Finding:
    """Registries differ, or mirrors do: by form alone, by platforms that are missing, by a mirror's delay, or truly."""
    held = _by_digest(there) + absent
    whole = max(there, key=lambda place: (len(place.configs), place.is_index, place.kind == "registry"))
    parts = [place for place in there if place.digest != whole.digest]
    if all(part.is_part_of(whole) for part in parts):
        if all(part.configs == whole.configs for part in parts):
            why = "the same content in another form, such as a copy without its index"
            return warned(ID, target, f"{why}: {held}", EXPECTED, _copies(whole, parts))
        lacking = "; ".join(
            f"{part.name} has only {', '.join(part.configs)} of what {whole.name} has" for part in parts
        )
        fault = Fault(code=ErrorCode.PLATFORM_MISSING, text=f"{lacking}: {held}")
        return failed(ID, target, fault, EXPECTED, _copies(whole, parts))
    newest = _newest(there)
    source = newest or next((place for place in there if place.kind == "registry"), there[0])
    others = [place for place in there if place.digest != source.digest]
    observed = f"{_who_is_stale(newest, others)}: {held}"
    if source.kind == "registry" and all(place.kind == "mirror" for place in others):
        return warned(ID, target, observed, EXPECTED, _refreshed(others))
    cure = _copies(newest, others) if newest else _choice(source, others)
    return failed(ID, target, Fault(code=ErrorCode.DIGEST_MISMATCH, text=observed), EXPECTED, cure)


def _by_digest(there: Sequence[Place]) -> str:
    groups: dict[str | None, list[Place]] = {}
    for place in there:
        groups.setdefault(place.digest, []).append(place)
    return "; ".join(
        f"{', '.join(place.name for place in group)}: {digest}{_dated(group[0].created)}"
        for digest, group in groups.items()
    )


def _newest(there: Sequence[Place]) -> Place | None:
    """The place whose image is newer than every other one; None where the dates do not tell."""
    dates = {place.created for place in there}
    if None in dates or len(dates) < 2:
        return None
    latest = max(there, key=_date)
    rivals = {place.digest for place in there if place.created == latest.created}
    return latest if len(rivals) == 1 else None


def _date(place: Place) -> datetime:
    assert place.created is not None
    return place.created


def _who_is_stale(newest: Place | None, others: Sequence[Place]) -> str:
    if newest is None:
        return "different images under one tag, and their creation dates do not tell which is older"
    names = ", ".join(dict.fromkeys(place.name for place in others))
    return f"{names} {'is' if len(others) == 1 else 'are'} stale: the image at {newest.name} is newer"


def _dated(created: datetime | None) -> str:
    return f" created {created:%Y-%m-%d %H:%M:%S}Z" if created else " (no creation date)"


def _choice(one: Place, others: Sequence[Place]) -> str:
    looks = " and ".join(f"`{_skopeo('inspect', place)}`" for place in (one, others[0]))
    return f"see which is meant ({looks}), and have that one everywhere: {_copies(one, others)}"


def _copies(source: Place, others: Sequence[Place]) -> str:
    copied = [place for place in others if place.kind == "registry"]
    ways = []
    if copied:
        commands = "; ".join(dict.fromkeys(f"`{_skopeo('copy --all', source, place)}`" for place in copied))
        ways.append(f"copy it with all its platforms: {commands}")
    mirrors = [place for place in others if place.kind == "mirror"]
    if mirrors:
        ways.append(_refreshed(mirrors))
    return "; ".join(ways) + "; or hold the spec's image to one digest (`REPOSITORY@sha256:…`)"


def _refreshed(mirrors: Sequence[Place]) -> str:
    names = ", ".join(dict.fromkeys(place.reference for place in mirrors))
    return f"let the mirror forget the tag sooner (its TTL for manifests), or delete {names} there so that it is fetched anew"


def _skopeo(command: str, source: Place, destination: Place | None = None) -> str:
    """A command that works: over plain HTTP skopeo wants to be told."""
    if destination is None:
        return f"skopeo {command} {'--tls-verify=false ' if source.plain_http else ''}docker://{source.reference}"
    options = ("--src-tls-verify=false " if source.plain_http else "") + (
        "--dest-tls-verify=false " if destination.plain_http else ""
    )
    return f"skopeo {command} {options}docker://{source.reference} docker://{destination.reference}"


def _of_stale_daemon(held: Place, registry: Place, target: Local, absent: str) -> Finding:
    has = f"{held.digest or 'an image that came from no registry'}{_dated(held.created)}"
    observed = (
        f"{held.name} holds another image under {held.reference}: {has}; {registry.name} has {registry.digest}{absent}"
    )
    cure = f"`docker pull {held.reference}`: whoever runs it without pulling (`imagePullPolicy: IfNotPresent`) gets the local one"
    return warned(ID, target, observed, EXPECTED, cure)


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="The digest of each tag by every way (`HEAD`), and of what the local Docker daemons hold under the same "
    "name: those of the spec's docker engines, else this machine's if it answers at once. Where they differ, the "
    "platforms' manifests, and the creation dates in the configs.",
    statuses={
        Status.PASS: "one digest everywhere",
        Status.WARN: "the same content under different manifests (a copy without its index), a mirror behind its upstream, or "
        "another image in the daemon",
        Status.FAIL: "registries hold different images under the tag, so that a benchmark would compare different things; the "
        "older one is named by its creation date",
        Status.SKIP: "the spec holds the image to a digest, or one place alone has it",
    },
    advice="Copy the image that is meant: `skopeo copy --all docker://NEWER docker://OLDER`; or `docker pull` it.",
    targets=targets,
    probe=probe,
    judge=judge,
    skips=skips,
)
