"""Images for a push: the interface between the code that generates them and the code that sends them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pullbench.model.manifest import Descriptor
from pullbench.model.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A config or a layer. Each call of `pieces` returns the content from its start, in pieces."""

    descriptor: Descriptor
    pieces: Callable[[], Iterable[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest or an index as it is sent: the descriptor's digest is the hash of its bytes."""

    descriptor: Descriptor
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """The parts of one image in the order for a registry: blobs, manifests, the tagged document."""

    blobs: tuple[Blob, ...]
    """Each digest once."""
    manifests: tuple[Document, ...]
    """The manifests of an index; empty if the tag points to a manifest."""
    tagged: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticImage:
    """An image that need not exist yet: `build` generates its documents, which takes as long as hashing its layers.

    `recipe` is in its annotations and determines its bytes, so an image at a registry is recognized without building it.
    """

    reference: Reference
    recipe: str
    size_bytes: int
    """Layers of all platforms, including those shared with other images."""
    build: Callable[[], BuiltImage] = field(repr=False)
