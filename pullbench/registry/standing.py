"""What a tag holds before a push: nothing, this very image, another of ours, or something that is not ours to touch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.manifest import Index, Manifest
from pullbench.model.text import clean
from pullbench.model.upload import SyntheticImage
from pullbench.model.workload import RECIPE_ANNOTATION, WORKLOAD_ANNOTATION
from pullbench.registry.client import FetchedManifest, RegistryClient
from pullbench.registry.upload import has_blob, pushing


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An image and what its tag holds. `says` is the workload that another image of ours belongs to."""

    image: SyntheticImage
    kind: Literal["absent", "same", "ours", "foreign"]
    fetched: FetchedManifest | None = None
    says: str = ""


def look(client: RegistryClient, image: SyntheticImage) -> Standing:
    """Ask for the tag: by HEAD, and where something is there, for its annotations."""
    try:
        with pushing():
            client.head_manifest(image.reference)
            fetched = client.manifest(image.reference)
    except RegistryError as error:
        if error.status == 404:
            return Standing(image=image, kind="absent")
        if error.code is ErrorCode.NOT_A_REGISTRY and error.status == 200:  # content that is no image that we know
            return Standing(image=image, kind="foreign")
        raise
    annotations = _annotations(fetched.content)
    says = clean(annotations.get(WORKLOAD_ANNOTATION, ""), 60)
    if not says:
        return Standing(image=image, kind="foreign", fetched=fetched)
    same = annotations.get(RECIPE_ANNOTATION) == image.recipe
    return Standing(image=image, kind="same" if same else "ours", fetched=fetched, says=says)


def is_ours(fetched: FetchedManifest) -> bool:
    """Whether an image says of itself that pullbench made it."""
    return bool(_annotations(fetched.content).get(WORKLOAD_ANNOTATION))


def refuse(host: str, standing: Sequence[Standing], *, replace: bool) -> None:
    """Raise UsageError where a tag may not be overwritten: never what is not ours, another workload only if asked."""
    foreign = [entry for entry in standing if entry.kind == "foreign"]
    others = [entry for entry in standing if entry.kind == "ours" and not replace]
    if foreign:
        why = f"is not an image of pullbench (no annotation {WORKLOAD_ANNOTATION}): name another repository or tag"
    elif others:
        why = f"holds another workload ({others[0].says}; its options or its seed differ): name another tag, or overwrite it with --replace"
    else:
        return
    found = foreign or others
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise UsageError(f"{host}/{found[0].image.reference}{more} {why}; nothing was pushed")


def is_whole(client: RegistryClient, image: SyntheticImage, fetched: FetchedManifest) -> bool:
    """Whether all that the tagged image names is there too; a registry may have lost what a manifest points at."""
    repository = client.route.repository(image.reference)
    try:
        manifests = [fetched.document]
        if isinstance(fetched.document, Index):
            entries = fetched.document.manifests
            manifests = [client.manifest(image.reference.pinned(entry.digest)).document for entry in entries]
    except RegistryError as error:
        if error.status == 404:
            return False
        raise
    blobs = {blob.digest for one in manifests if isinstance(one, Manifest) for blob in one.blobs}
    return all(has_blob(client, repository, digest) for digest in sorted(blobs))


def _annotations(content: bytes) -> dict[str, object]:
    """The annotations of a manifest or an index, which parsed as one before."""
    found = json.loads(content).get("annotations")
    return found if isinstance(found, dict) else {}
