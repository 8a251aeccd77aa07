"""The storage that a product reports. Free of IO."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A limited storage for images: a project's quota, a volume, a blob store."""

    name: str
    """The name for display: `the quota of project 'library'`."""
    used_bytes: int | None = None
    free_bytes: int | None = None
    """None without a limit."""
    over_quota: str = ""
    """The product's own message if a soft quota is exceeded: it warns, and continues to write."""
    remedy: str = field(default="", repr=False)
    """How to free space."""

    @property
    def used_share(self) -> float | None:
        """From 0 to 1; None without a limit, or if the use is unknown."""
        if self.free_bytes is None or self.used_bytes is None:
            return None
        total = self.used_bytes + self.free_bytes
        return self.used_bytes / total if total > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """A component of the product that is not healthy."""

    name: str
    text: str
    remedy: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The storage of a product. `hidden` lists values that it did not report, each with the missing permission."""

    product: str
    version: str = ""
    spaces: tuple[Space, ...] = ()
    ailments: tuple[Ailment, ...] = ()
    read_only: bool | None = None
    """None if it does not report it."""
    read_only_remedy: str = field(default="", repr=False)
    fills_by_pulls: bool = False
    """Whether the spec's repositories are a cache here, which pulls write to."""
    hidden: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.product} {self.version}".strip()
