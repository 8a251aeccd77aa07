"""Finds images in compose files, Kubernetes manifests and Helm values, for a first spec."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pullbench.bench.compose import images_of_compose, is_compose
from pullbench.bench.found_image import Mention

_POD_SPEC_LISTS = {
    "initContainers": "init container",
    "containers": "container",
    "ephemeralContainers": "ephemeral container",
}
_NO_TEXT = "its image is no text: write it in quotes"


def images_in(documents: Iterable[Any], environ: Mapping[str, str], file: Path | None = None) -> Iterator[Mention]:
    """Every image in documents of compose files, Kubernetes manifests and Helm values, and what is left out.

    Compose services are read as `docker compose config` does. In a Kubernetes object of any kind, or a List, every container of
    every pod template counts, and so do image volumes. Other documents are searched for `image:` keys. `file` is where the
    documents come from; None is stdin. Raises ValueError for a second file of compose that is no YAML.
    """
    services: list[Mapping[Any, Any]] = []
    others: list[Any] = []
    for document in documents:
        (services if is_compose(document) else others).append(document)
    if services:
        yield from images_of_compose(services, environ, file)
    for document in others:
        yield from _walk(document, "", set())


def _walk(node: Any, where: str, seen: set[int]) -> Iterator[Mention]:
    """`seen` are the visited containers: an anchor may occur in many places, and in itself."""
    if not isinstance(node, Mapping | list) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, list):
        for entry in node:
            yield from _walk(entry, where, seen)
        return
    named = _named(node)
    here = named or where
    is_object = isinstance(node.get("kind"), str)
    for key, value in node.items():
        if key == "image":
            yield from _image(value, node, here, seen)
        elif key in _POD_SPEC_LISTS and isinstance(value, list):
            for container in value:
                yield from _container(container, here, _POD_SPEC_LISTS[key], seen)
        elif key != "metadata" and not (
            key == "status" and is_object
        ):  # a status has what was pulled, not what is wanted
            yield from _walk(value, here, seen)


def _container(container: Any, where: str, kind: str, seen: set[int]) -> Iterator[Mention]:
    name = container.get("name") if isinstance(container, Mapping) else None
    here = ", ".join(part for part in (where, f"{kind} {name}" if name else kind) if part)
    if isinstance(container, Mapping) and container.get("image") in (None, ""):
        yield Mention(where=here, why_not="it has no `image:`")
    yield from _walk(container, here, seen)


def _image(value: Any, owner: Mapping[Any, Any], where: str, seen: set[int]) -> Iterator[Mention]:
    """What stands under a key `image`: a reference, an image volume's, or the parts of Helm values."""
    if isinstance(value, str):
        if value:
            yield _pulled(where, value, owner.get("imagePullPolicy"))
    elif isinstance(value, Mapping) and isinstance(value.get("reference"), str):
        name = owner.get("name")
        volume = f"image volume {name}" if isinstance(name, str) else "image volume"
        here = ", ".join(part for part in (where, volume) if part)
        yield _pulled(here, value["reference"], value.get("pullPolicy"))
    elif isinstance(value, Mapping) and (parts := _parts(value)) is not None:
        yield _of_parts(parts, where)
    elif isinstance(value, Mapping | list):
        yield from _walk(value, where, seen)
    elif value is not None:
        yield Mention(where=where, why_not=f"{value}: {_NO_TEXT}")


def _pulled(where: str, image: str, policy: Any) -> Mention:
    if policy == "Never":
        return Mention(where=where, why_not=f"{image}: its pull policy is Never, so no registry may have it")
    return Mention(where=where, image=image)


def _parts(image: Mapping[Any, Any]) -> dict[str, Any] | None:
    """`registry`, `repository`, `tag` and `digest` of Helm values or a custom resource; None if it has no such parts.

    Some charts write `name` or `image` for the repository, beside one of the other parts.
    """
    others = {key: image[key] for key in ("registry", "tag", "digest") if key in image}
    repository = next((image[key] for key in ("repository", "name", "image") if isinstance(image.get(key), str)), None)
    if repository is None or not ("repository" in image or others):
        return None
    return {"repository": repository, **others}


def _of_parts(parts: Mapping[str, Any], where: str) -> Mention:
    """The image of Helm values; without tag and digest the chart chooses, in a template that is not here."""
    repository, registry, tag, digest = (_text(parts.get(key)) for key in ("repository", "registry", "tag", "digest"))
    name = f"{registry.rstrip('/')}/{repository}" if registry else repository
    if not repository:
        return Mention(where=where, why_not="its repository is empty: the chart chooses it")
    if tag and not tag.startswith("sha256:"):
        name = f"{name}:{tag}"
    digest = digest or (tag if tag.startswith("sha256:") else "")
    if digest:
        name = f"{name}@{digest}"
    elif not tag and ":" not in repository.rpartition("/")[2] and "@" not in repository:
        return Mention(where=where, why_not=f"{name}: it has no tag: render the chart with `helm template`")
    return Mention(where=where, image=name)


def _text(value: Any) -> str:
    """A part as a template prints it: a number without quotes stays a tag."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _named(node: Mapping[Any, Any]) -> str:
    """`Deployment web` for a Kubernetes object; empty for a List, whose items have names of their own."""
    kind, metadata = node.get("kind"), node.get("metadata")
    if not isinstance(kind, str) or kind.endswith("List"):
        return ""
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, Mapping) else None
    return f"{kind} {name}" if isinstance(name, str) else kind
