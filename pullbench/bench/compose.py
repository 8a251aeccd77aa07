"""Reads the images of compose files as `docker compose config` does (Compose specification).

Only what decides about images is read: `image`, `build`, `pull_policy`, `profiles` and image volumes, through `extends`,
`include`, override files and variables. What is left out is a mention with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pullbench.bench.found_image import Mention
from pullbench.bench.interpolation import env_file, interpolated
from pullbench.bench.yaml_documents import RESET, Replacement, documents_of

MOST_BYTES = 50_000_000
_TOP = {"name", "version", "services", "networks", "volumes", "secrets", "configs", "include", "models"}
_KEYS = ("image", "build", "pull_policy", "profiles", "provider", "volumes")
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = tuple(
    name.replace("compose.y", "compose.override.y") for name in ("compose.yml", "compose.yaml", *_NAMES[2:])
)
_MOST_DEEP = 30


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A value that cannot be known, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a compose file stands: its directory, the variables there, and the files and services that led to it."""

    directory: Path
    environ: Mapping[str, str]
    chain: tuple[object, ...] = ()
    left_out: list[Mention] = field(default_factory=list)

    def through(self, step: object) -> "_Place":
        """The place one step further; ValueError for a circle."""
        if step in self.chain or len(self.chain) > _MOST_DEEP:
            raise ValueError("leads back to itself" if step in self.chain else "is nested too deeply")
        return replace(self, chain=(*self.chain, step))


def is_compose(document: Any) -> bool:
    """Whether it is a compose file: services or includes, and no other key at the top."""
    if not isinstance(document, Mapping):
        return False
    has_any = isinstance(document.get("services"), Mapping) or isinstance(document.get("include"), list)
    return has_any and all(key in _TOP or str(key).startswith("x-") for key in document)


def images_of_compose(
    documents: Sequence[Mapping[Any, Any]], environ: Mapping[str, str], file: Path | None = None
) -> Iterator[Mention]:
    """The image of each service of a compose file; without `file` it stands in the current directory.

    An override file beside it is read too if compose would read it. Raises ValueError if that one is no YAML.
    """
    directory = Path() if file is None else file.parent
    place = _Place(directory=directory, environ=_environ_of(directory, environ))
    beside = _override(file)
    overrides = [] if beside is None else [document for document in _documents(beside) if isinstance(document, Mapping)]
    services = _services([*documents, *overrides], place)
    profiles = {name.strip() for name in place.environ.get("COMPOSE_PROFILES", "").split(",")}
    for name, service in services.items():
        yield from _mentions(f"service {name}", service, profiles)
    yield from place.left_out


def _environ_of(directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a project: those of the shell, else those of its `.env` file or of COMPOSE_ENV_FILES."""
    named = [Path(name.strip()) for name in environ.get("COMPOSE_ENV_FILES", "").split(",") if name.strip()]
    found = dict(environ)
    usual = [] if environ.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in ("1", "t", "true") else [directory / ".env"]
    for path in reversed(named or usual):
        if named or path.is_file():
            found = env_file(_read(path), found)
    return found


def _override(file: Path | None) -> Path | None:
    """The file that compose reads after one with a default name."""
    if file is None or file.name not in _NAMES:
        return None
    return next((path for path in map(file.with_name, _OVERRIDES) if path.is_file()), None)


def _read(path: Path) -> str:
    """The text of a file; ValueError if it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: is larger than {MOST_BYTES // 1_000_000} MB")
    return content.decode("utf-8-sig", "replace")


def _documents(path: Path) -> list[Any]:
    text = _read(path)
    try:
        return documents_of(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _services(documents: Sequence[Mapping[Any, Any]], place: _Place) -> dict[str, dict[str, Any]]:
    """The services of the documents of one file and its overrides, each merged over those before."""
    merged: dict[str, dict[str, Any]] = {}
    for document in documents:
        entries = document.get("include")
        for entry in entries if isinstance(entries, list) else ():
            merged |= _included(entry, place)
        written = document.get("services")
        known = written if isinstance(written, Mapping) else {}
        for name, service in known.items():
            merged[str(name)] = _merged(merged.get(str(name), {}), _extended(str(name), service, known, place))
    return merged


def _included(entry: Any, place: _Place) -> dict[str, dict[str, Any]]:
    """The services of an `include` entry; none, with a line, if it cannot be read."""
    given = entry if isinstance(entry, Mapping) else {"path": entry}
    paths = given.get("path") if isinstance(given.get("path"), list) else [given.get("path")]
    try:
        files = [_path(path, place) for path in paths or ()]
        at = _path(given["project_directory"], place) if given.get("project_directory") else files[0].parent
        inner = place.through(("include", *(file.resolve() for file in files)))
        named = given.get("env_file")
        environ = dict(place.environ)
        for name in reversed(named if isinstance(named, list) else [named]):
            path = at / ".env" if name is None else _path(name, place)
            if name is not None or path.is_file():
                environ = env_file(_read(path), environ)
        documents = [document for file in files for document in _documents(file) if isinstance(document, Mapping)]
        return _services(documents, replace(inner, directory=at, environ=environ))
    except (ValueError, IndexError) as error:
        shown = ", ".join(str(path) for path in paths or ())
        place.left_out.append(Mention(where=f"include {shown}", why_not=str(error) or "names no file"))
        return {}


def _path(text: Any, place: _Place) -> Path:
    """A file that a compose file names; ValueError for what is no text, and for what is not on this machine."""
    if not isinstance(text, str):
        raise ValueError("its path is no text")
    named = interpolated(text, place.environ)
    if "://" in named or named.startswith("git@"):
        raise ValueError("it is not on this machine: download it, and include the file")
    return place.directory / named


def _extended(name: str, service: Any, known: Mapping[Any, Any], place: _Place) -> dict[str, Any]:
    """What a service says of its image, over what the service says that it extends."""
    if not isinstance(service, Mapping):
        return {}
    own = {key: _filled(service[key], place.environ) for key in _KEYS if key in service}
    extends = service.get("extends")
    if extends is None or extends is RESET:
        return own
    given = extends if isinstance(extends, Mapping) else {"service": extends}
    try:
        return _merged(_base(name, given, known, place), own)
    except ValueError as error:
        return {"image": _Unknown(f"it extends another service, and that {error}")}


def _base(name: str, given: Mapping[Any, Any], known: Mapping[Any, Any], place: _Place) -> dict[str, Any]:
    """The service that one extends, of the same file or of another."""
    if not isinstance(given.get("service"), str):
        raise ValueError("has no name")
    wanted = interpolated(given["service"], place.environ)
    at = place.through(("service", str(place.directory), id(known), name))
    if given.get("file"):
        file = _path(given["file"], place)
        found = [document.get("services") for document in _documents(file) if isinstance(document, Mapping)]
        known = next((services for services in found if isinstance(services, Mapping) and wanted in services), {})
        at = replace(at.through(("file", file.resolve(), wanted)), directory=file.parent)
    if wanted not in known:
        raise ValueError(f"is not there: {wanted}")
    return _extended(wanted, known[wanted], known, at)


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """A value with its variables replaced."""
    if isinstance(value, str):
        try:
            return interpolated(value, environ)
        except ValueError as error:
            return _Unknown(f"{value}: {error}")
    if isinstance(value, list):
        return type(value)(_filled(entry, environ) for entry in value)
    if isinstance(value, Mapping):
        return {key: _filled(entry, environ) for key, entry in value.items() if key in ("type", "source")}
    return value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Compose's merge: lists are joined, other values are replaced, and `!reset` removes."""
    merged = dict(below)
    for key, value in above.items():
        if value is RESET:
            merged.pop(key, None)
        elif isinstance(value, list) and isinstance(merged.get(key), list) and not isinstance(value, Replacement):
            merged[key] = [*merged[key], *value]
        else:
            merged[key] = value
    return merged


def _mentions(where: str, service: Mapping[str, Any], profiles: set[str]) -> Iterator[Mention]:
    """The image of a service and those of its volumes, or why it has none to pull."""
    listed = service.get("profiles")
    wanted = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    if wanted and not profiles & {*wanted, "*"}:
        yield Mention(where=where, why_not=f"its profile is not active: set COMPOSE_PROFILES={wanted[0]}")
        return
    image, policy = service.get("image"), service.get("pull_policy")
    if isinstance(image, _Unknown):
        yield Mention(where=where, why_not=image.why)
    elif service.get("build") is not None:
        yield Mention(where=where, why_not="it has `build:`, so no registry may have its image")
    elif image in (None, ""):
        yield Mention(where=where, why_not="it has no `image:`")
    elif not isinstance(image, str):
        yield Mention(where=where, why_not=f"{image}: its image is no text: write it in quotes")
    elif policy in ("never", "build"):
        yield Mention(where=where, why_not=f"{image}: `pull_policy: {policy}`, so no registry may have it")
    else:
        yield Mention(where=where, image=image)
    volumes = service.get("volumes")
    for volume in volumes if isinstance(volumes, list) else ():
        if isinstance(volume, Mapping) and volume.get("type") == "image":
            source = volume.get("source")
            here = f"{where}, image volume"
            yield (
                Mention(where=here, image=source)
                if isinstance(source, str)
                else Mention(where=here, why_not=source.why if isinstance(source, _Unknown) else "it has no `source:`")
            )
