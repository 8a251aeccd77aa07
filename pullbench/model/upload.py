"""Images that can be sent to a registry: what the one who makes them and the one who sends them agree on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pullbench.model.manifest import Descriptor
from pullbench.model.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A config or a layer. `pieces` gives the content from its start each time it is called, a piece at a time."""

    descriptor: Descriptor
    pieces: Callable[[], Iterable[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest or an index as it is sent: its bytes hash to the descriptor's digest."""

    descriptor: Descriptor
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """All that one image is made of, in the order in which a registry takes it: blobs, manifests, what is tagged."""

    blobs: tuple[Blob, ...]
    """Each digest once."""
    manifests: tuple[Document, ...]
    """Those that an index names; none where the tag names a manifest itself."""
    tagged: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticImage:
    """An image that need not exist yet: `build` makes its documents, which takes as long as hashing its layers.

    `recipe` stands in its annotations and decides its bytes, so an image in a registry is known without building.
    """

    reference: Reference
    recipe: str
    size_bytes: int
    """Layers of all platforms; those that it shares with other images included."""
    build: Callable[[], BuiltImage] = field(repr=False)
