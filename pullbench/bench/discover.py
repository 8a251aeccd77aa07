"""Finds images in compose files and Kubernetes manifests, for a first spec."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pullbench.model.addresses import DOCKER_HUB_API, DOCKER_HUB_HOSTS
from pullbench.model.reference import Reference

# The innermost variable of compose's interpolation: $NAME, ${NAME}, and ${NAME} with :- - :? ? :+ + and a word.
_VARIABLE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-?+])(?P<word>[^${}]*))?\})")
_MOST_NESTED = 20
_POD_SPEC_LISTS = {
    "initContainers": "init container",
    "containers": "container",
    "ephemeralContainers": "ephemeral container",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """An image's place in a file, as written there; `why_not` is the reason if it cannot be pulled."""

    where: str
    image: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image as a container runtime resolves it: the registry's host, and the reference there."""

    host: str
    reference: Reference

    @property
    def url(self) -> str:
        """HTTPS, as runtimes use, but plain HTTP for a registry on this machine."""
        name = self.host.partition(":")[0]
        scheme = "http" if name == "localhost" or name.startswith("127.") else "https"
        return f"{scheme}://{self.host}"


def read_image(text: str) -> FoundImage:
    """Read `[host/]repository[:tag][@digest]` with Docker's defaults: no host is Docker Hub, no owner is `library`.

    Raises ValueError for anything that is not a reference, including templates such as `${IMAGE}`.
    """
    head, slash, rest = text.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        host, name = head, rest
    else:
        host, name = DOCKER_HUB_API, text
    host = serving_host(host)
    if host == DOCKER_HUB_API and "/" not in name:
        name = f"library/{name}"
    return FoundImage(host=host, reference=Reference.parse(name))


def serving_host(host: str) -> str:
    """The host that serves a registry's images: one for all names of Docker Hub."""
    return DOCKER_HUB_API if host in DOCKER_HUB_HOSTS else host


def read_image_at(host: str, text: str) -> FoundImage:
    """An image of the named registry; its host may stand before it, as in `docker pull`. Raises ValueError as read_image."""
    for name in DOCKER_HUB_HOSTS if host == DOCKER_HUB_API else (host,):
        text = text.removeprefix(f"{name}/")
    if host == DOCKER_HUB_API:
        return read_image(f"{host}/{text}")
    return FoundImage(host=host, reference=Reference.parse(text))


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """A compose file's text with its variables replaced, as by `docker compose config`; ValueError for a variable without
    value and default.
    """
    parts = text.split("$$")
    for _ in range(_MOST_NESTED):
        filled = [_VARIABLE.sub(lambda found: _value(found, environ), part) for part in parts]
        if filled == parts:
            break
        parts = filled
    if any("${" in part for part in parts):
        raise ValueError("its variables cannot be parsed")
    return "$".join(parts)


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    name, how, word = found["bare"] or found["name"], found["how"] or "", found["word"] or ""
    value = environ.get(name)
    there = bool(value) if how.startswith(":") else value is not None
    if how.endswith("+"):
        return word if there else ""
    if there:
        return value or ""
    if how.endswith("-"):
        return word
    raise ValueError(f"the variable {name} is not set and has no default; set it and run init again")


def images_in(documents: Iterable[Any], environ: Mapping[str, str]) -> Iterator[Mention]:
    """Every image in documents of compose files and Kubernetes manifests; ValueError for an invalid one.

    A compose service has one `image`. In a Kubernetes object of any kind, or a List, every container of every pod template
    counts, including init and ephemeral ones. Other documents are searched for `image:` keys.
    """
    for document in documents:
        services = document.get("services") if isinstance(document, Mapping) else None
        if isinstance(services, Mapping) and "kind" not in document:
            yield from _of_services(services, environ)
        else:
            yield from _walk(document, "", set())


def _of_services(services: Mapping[Any, Any], environ: Mapping[str, str]) -> Iterator[Mention]:
    for name, service in services.items():
        where = f"service {name}"
        image = service.get("image") if isinstance(service, Mapping) else None
        if isinstance(service, Mapping) and "build" in service:
            yield Mention(where=where, why_not="it has `build:`, so no registry may have its image")
        elif isinstance(image, str):
            try:
                yield Mention(where=where, image=interpolated(image, environ))
            except ValueError as error:
                yield Mention(where=where, why_not=f"{image}: {error}")


def _walk(node: Any, where: str, seen: set[int]) -> Iterator[Mention]:
    """`seen` are the visited containers: an anchor may occur in many places, and in itself."""
    if not isinstance(node, Mapping | list) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, list):
        for entry in node:
            yield from _walk(entry, where, seen)
        return
    here = _named(node) or where
    for key, value in node.items():
        if key == "image" and isinstance(value, str):
            yield Mention(where=here, image=value)
        elif key in _POD_SPEC_LISTS and isinstance(value, list):
            for container in value:
                yield from _walk(container, _container(container, here, _POD_SPEC_LISTS[key]), seen)
        elif key != "metadata":
            yield from _walk(value, here, seen)


def _container(container: Any, where: str, kind: str) -> str:
    name = container.get("name") if isinstance(container, Mapping) else None
    return ", ".join(part for part in (where, f"{kind} {name}" if name else kind) if part)


def _named(node: Mapping[Any, Any]) -> str:
    """`Deployment web` for a Kubernetes object; empty for a List, whose items have names of their own."""
    kind, metadata = node.get("kind"), node.get("metadata")
    if not isinstance(kind, str) or kind.endswith("List"):
        return ""
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, Mapping) else None
    return f"{kind} {name}" if isinstance(name, str) else kind


class _TolerantLoader(yaml.SafeLoader):
    """YAML with other programs' tags, such as compose's `!reset` and `!override`: the value counts, not the tag."""


def _untagged(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_TolerantLoader.add_multi_constructor("!", _untagged)


def documents_of(text: str) -> list[Any]:
    """The documents of a YAML (or JSON) text; ValueError, in one line, for any other text."""
    try:
        return list(yaml.load_all(text, Loader=_TolerantLoader))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-99-99 is a ValueError
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        helm = "; render the chart first: helm template CHART | pullbench init --from -" if "{{" in text else ""
        raise ValueError(f"is not YAML{where}: {problem}{helm}") from error
