"""From an image's name in a spec to what a registry holds for it: digest, platforms, manifests."""

from collections.abc import Sequence
from dataclasses import replace

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.facts import ImageFacts, PlatformImage
from pullbench.model.image_config import parse_image_config
from pullbench.model.manifest import Descriptor, Index, Manifest
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.registry.client import RegistryClient


def image_facts(client: RegistryClient, registry: str, image: str, platforms: Sequence[str]) -> ImageFacts:
    """What the client's route holds of an image for each of the platforms; never raises for what is missing there.

    A platform that the image lacks is left out. A failure ends in `error_code` and `error`, beside what was found
    before it.
    """
    facts = ImageFacts(registry=registry, image=image)
    found: dict[str, PlatformImage] = {}
    try:
        reference = Reference.parse(image)
        top = client.manifest(reference)
        facts = replace(facts, digest=top.digest, is_index=isinstance(top.document, Index), platforms=found)
        if isinstance(top.document, Manifest):
            own = PlatformImage(digest=top.digest, manifest=top.document)
            stated = stated_platform(client, reference, top.document)
            found.update({text: own for text in platforms if stated and Platform.parse(text).accepts(stated)})
        else:
            for text in platforms:
                if (entry := top.document.select(Platform.parse(text))) is not None:
                    found[text] = image_of(client, reference, entry)
    except RegistryError as error:
        return replace(facts, error_code=error.code, error=f"{error.where}: {error.detail}")
    except UsageError as error:  # the source of the credentials failed
        return replace(facts, error_code=ErrorCode.UNAUTHORIZED, error=str(error))
    return facts


def image_of(client: RegistryClient, reference: Reference, entry: Descriptor) -> PlatformImage:
    """The manifest that an index's entry points at; RegistryError where that is no image's manifest."""
    child = client.manifest(reference.pinned(entry.digest))
    if isinstance(child.document, Index):
        where = f"GET {client.route.url}/v2/{client.route.repository(reference)}/manifests/{entry.digest}"
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where, f"{entry.platform} leads to an index within the index")
    return PlatformImage(digest=child.digest, manifest=child.document)


def stated_platform(client: RegistryClient, reference: Reference, manifest: Manifest) -> Platform | None:
    """The platform that an image's config states (OCI image spec, config); None where it states none."""
    return parse_image_config(client.config(client.route.repository(reference), manifest.config)).platform
