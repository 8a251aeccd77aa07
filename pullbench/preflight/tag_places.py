"""Where an image's tag can be found, and what it holds there: registries, mirrors, local Docker daemons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from pullbench.daemon.local import answers_quickly
from pullbench.errors import PullbenchError
from pullbench.model.image_config import parse_instant
from pullbench.model.manifest import Index
from pullbench.model.reference import Reference
from pullbench.model.route import DIRECT, Route
from pullbench.preflight import docker_names
from pullbench.preflight.check import Fault
from pullbench.preflight.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place of a tag, and what it holds."""

    name: str
    """For people: `eu`, `eu via cache`, `the Docker daemon`."""
    kind: Literal["registry", "mirror", "daemon"]
    reference: str
    """As Docker and skopeo take it."""
    plain_http: bool = False
    digest: str | None = None
    """None where the place could not be asked, and of a daemon's image that came from no registry."""
    manifests: Mapping[str, str] = field(default_factory=dict)
    """Digest by platform of the matrix; looked up only where the digests of places differ."""
    configs: Mapping[str, str] = field(default_factory=dict)
    """Config digest by platform: equal for equal content, whatever manifest or compression it is stored under."""
    created: datetime | None = None
    """The newest of its platforms, as their configs state it."""
    is_current: bool = False
    """Of a daemon: what it holds is what the registry of this name has under the tag."""
    fault: Fault | None = None

    @property
    def is_index(self) -> bool:
        """Whether several platforms stand behind the digest, as far as was looked."""
        return bool(self.manifests) and self.digest not in self.manifests.values()

    def is_part_of(self, other: "Place") -> bool:
        """Whether all that this holds is held there too, and there is more there or in another form."""
        return bool(self.configs) and self.configs.items() <= other.configs.items()


def registry_places(world: World, image: str) -> list[Place]:
    """Each way's answer; where these differ, also what is behind each of them."""
    found = [(route, _place_of(world, route, image)) for route in world.routes]
    different = {place.digest for _, place in found if place.fault is None}
    if len(different) < 2:
        return [place for _, place in found]
    return [place if place.fault else described(world, route, image, place) for route, place in found]


def _place_of(world: World, route: Route, image: str) -> Place:
    place = Place(
        name=route.name,
        kind="registry" if route.proxy == DIRECT or route.forward_url else "mirror",
        reference=docker_names.name(route, Reference.parse(image)),
        plain_http=route.plain_http,
    )
    try:
        return replace(place, digest=world.digest(route, image))
    except PullbenchError as error:
        return replace(place, fault=Fault.of(error))


def described(world: World, route: Route, image: str, place: Place) -> Place:
    """With its platforms' digests and the date; without what cannot be had."""
    manifests, configs = dict[str, str](), dict[str, str]()
    for platform in world.platforms:
        try:
            found = world.platform_image(route, image, platform)
        except PullbenchError:
            continue
        if found is not None:
            manifests[platform] = found.digest
            configs[platform] = found.manifest.config.digest
    return replace(place, manifests=manifests, configs=configs, created=newest_creation(world, route, image))


def newest_creation(world: World, route: Route, image: str) -> datetime | None:
    """When the youngest of an image's platforms was made, as their configs state it; None where none does."""
    dates = list[datetime]()
    for platform in world.platforms:
        try:
            found = world.platform_image(route, image, platform)
            stated = None if found is None else world.config(route, image, found.manifest.config).created
        except PullbenchError:
            continue
        if stated is not None:
            dates.append(stated)
    return max(dates, default=None)


def daemon_places(world: World, image: str) -> Iterator[Place]:
    """What the local daemons hold under the name that each registry or mirror has there; nothing where they hold none."""
    names = {docker_names.name(route, Reference.parse(image)): route for route in reversed(world.routes)}
    for host in _hosts(world):
        daemon = world.daemon(host)
        called = "the Docker daemon" + (f" at {host}" if host else "")
        for name, route in names.items():
            place = Place(name=called, kind="daemon", reference=name)
            try:
                held = daemon.find(name)
            except PullbenchError as error:
                yield replace(place, fault=Fault.of(error))
                break
            if held is None:
                continue
            digests = [str(entry).rpartition("@")[2] for entry in held.get("RepoDigests") or ()]
            yield replace(
                place,
                digest=digests[0] if digests else None,
                created=parse_instant(held.get("Created")),
                is_current=_is_current(world, route, image, frozenset(digests), str(held.get("Id"))),
            )


def _hosts(world: World) -> list[str | None]:
    """The daemons of the spec's engines; else the one of this machine, if it answers at once."""
    entries = [world.spec.engine(name) for name in world.spec.matrix.engines]
    named = list(dict.fromkeys(entry.host for entry in entries if entry.kind == "docker"))
    return named or ([None] if answers_quickly(world.daemon(None).host) else [])


def _is_current(world: World, route: Route, image: str, digests: frozenset[str], image_id: str) -> bool:
    """By the tag's own digest, by one of its index's, or by the config: Docker's own store has that as the image's ID."""
    try:
        if world.digest(route, image) in digests:
            return True
        document = world.manifest(route, image).document
        if isinstance(document, Index) and digests & {entry.digest for entry in document.manifests}:
            return True
        found = [world.platform_image(route, image, platform) for platform in world.platforms]
    except PullbenchError:
        return True  # what cannot be compared is not called stale: the registry's place has the fault
    return image_id in {each.manifest.config.digest for each in found if each is not None}
