"""What a product tells of the room that it has left. Free of IO."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Something that images fill: a project's quota, a volume, a blob store."""

    name: str
    """For people: `the quota of project 'library'`."""
    used_bytes: int | None = None
    free_bytes: int | None = None
    """None where no limit is set."""
    over_quota: str = ""
    """The product's own words where a soft quota is exceeded: it warns then, and goes on writing."""
    remedy: str = field(default="", repr=False)
    """How to make room."""

    @property
    def used_share(self) -> float | None:
        """From 0 to 1; None where no limit is set, or the use is not known."""
        if self.free_bytes is None or self.used_bytes is None:
            return None
        total = self.used_bytes + self.free_bytes
        return self.used_bytes / total if total > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """A part of the product that is not well."""

    name: str
    text: str
    remedy: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """All that a product tells; `hidden` are the things that it would not, each with the right that is missing."""

    product: str
    version: str = ""
    spaces: tuple[Space, ...] = ()
    ailments: tuple[Ailment, ...] = ()
    read_only: bool | None = None
    """None where it does not say."""
    read_only_remedy: str = field(default="", repr=False)
    fills_by_pulls: bool = False
    """Whether what the spec pulls is a cache here, which pulls write to."""
    hidden: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.product} {self.version}".strip()
