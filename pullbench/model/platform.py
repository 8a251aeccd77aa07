"""Platforms of the OCI image index: os/architecture[/variant], and how clients match them."""

import re
from dataclasses import dataclass, replace

_PART = re.compile(r"[a-z0-9][a-z0-9._-]*")
# containerd/platforms, normalizeArch: other names of an architecture, with the variant that the name implies.
_NAMES: dict[str, tuple[str, str | None]] = {
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_MACHINES = {"armv7l": "arm/v7", "i686": "386"}
"""Kernels' machine names that are no other name of an architecture."""
_IMPLIED = {"amd64": ("v1",), "arm64": ("v8", "8")}
"""The variants that the architecture's name alone stands for."""
_ARM_VARIANTS = ("v8", "v7", "v6", "v5")
_ARM_CONTAINERS_VARIANTS = ("v7", "v6", "v5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The platform of an image, as in the index's `platform` (OCI image spec, image-index)."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Read `linux/amd64` or `linux/arm/v7`; raises ValueError with the accepted form."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f"'{text}' is not a platform: os/architecture[/variant], such as linux/amd64")
        return cls(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else None)

    @classmethod
    def of_machine(cls, machine: str) -> "Platform":
        """The Linux platform of a kernel's machine name (`uname -m`); other kernels' images are not pulled."""
        return cls.parse(f"linux/{_MACHINES.get(machine, machine.lower())}").normal()

    def normal(self) -> "Platform":
        """The same platform as containerd writes it on Linux (`platforms.Normalize`): amd64/v1 is amd64, arm is arm/v7."""
        os, architecture, variant = self.os.lower(), self.architecture.lower(), (self.variant or "").lower() or None
        os = "darwin" if os == "macos" else os or "linux"
        if architecture == "i386":
            return Platform(os=os, architecture="386")
        architecture, implied = _NAMES.get(architecture, (architecture, None))
        variant = implied or variant
        if variant in _IMPLIED.get(architecture, ()):
            variant = None
        elif architecture == "arm":
            variant = f"v{variant}" if variant in ("5", "6", "7", "8") else variant or "v7"
        return Platform(os=os, architecture=architecture, variant=variant)

    def candidates(self) -> tuple["Platform", ...]:
        """The platforms that serve this one, best first (containerd's `platforms.Only`).

        A lower variant serves a higher one: arm/v7 runs images for arm/v6. arm64 runs arm, and amd64 runs 386.
        """
        own = self.normal()
        if own.architecture == "amd64":
            level = _level(own.variant)
            lower = (replace(own, variant=f"v{number}").normal() for number in range(level - 1, 0, -1))
            return (own, *lower, Platform(os=own.os, architecture="386"))
        if own.architecture == "arm64":
            return (own, *_lower_arm64(own), *_arm(own.os, "v8"))
        if own.architecture == "arm":
            return _arm(own.os, own.variant)
        return (own,)

    def containers_candidates(self) -> tuple["Platform", ...]:
        """The entries of an index that podman and skopeo accept, best first, if this platform's normal form is requested.

        Names and variants must be exactly these (containers/image, `internal/pkg/platform`).
        """
        own = self.normal()
        variants: tuple[str | None, ...] = (own.variant, None) if own.variant else (None,)
        if own.architecture == "arm" and own.variant in _ARM_CONTAINERS_VARIANTS:
            variants = (*_ARM_CONTAINERS_VARIANTS[_ARM_CONTAINERS_VARIANTS.index(own.variant) :], None)
        elif own.architecture == "arm64" and own.variant is None:
            variants = (None, "v8")
        return tuple(replace(own, variant=variant) for variant in variants)

    def accepts(self, other: "Platform") -> bool:
        """Whether an image of `other` satisfies a request for this platform."""
        return other.normal() in self.candidates()

    def accepts_unlisted(self, config: "Platform") -> bool:
        """Whether an image that no index lists for a platform fits, by the platform in its config.

        Clients pull it for any platform. A variant counts only if both name one: many configs do not.
        """
        has_variants = self.variant is not None and config.variant is not None
        return self.accepts(config) if has_variants else self.is_alike(config)

    def is_alike(self, other: "Platform") -> bool:
        """Whether both have the same os and architecture, whatever their variants."""
        own, named = self.normal(), other.normal()
        return (own.os, own.architecture) == (named.os, named.architecture)

    def equals(self, other: "Platform") -> bool:
        """Whether both are the same platform: arm64 is arm64/v8, and arm is arm/v7."""
        return self.normal() == other.normal()

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _level(variant: str | None) -> int:
    """The number of `v3` or `3`; 1 for anything else."""
    number = (variant or "").removeprefix("v")
    return int(number) if re.fullmatch(r"[0-9]{1,2}", number) else 1


def _arm(os: str, variant: str | None) -> tuple[Platform, ...]:
    variants = _ARM_VARIANTS[_ARM_VARIANTS.index(variant) :] if variant in _ARM_VARIANTS else (variant,)
    return tuple(Platform(os=os, architecture="arm", variant=each) for each in variants)


def _lower_arm64(own: Platform) -> tuple[Platform, ...]:
    """Lower minor versions; v9.0 contains v8.5 (containerd/platforms, compare.go)."""
    found = re.fullmatch(r"v([89])(?:\.([0-9]))?", own.variant or "v8")
    if found is None:
        return ()
    major, minor = int(found[1]), int(found[2] or 0)
    variants = [f"v{major}.{lower}" for lower in range(minor - 1, -1, -1)]
    if major == 9:
        variants += [f"v8.{lower}" for lower in range(minor + 5, -1, -1)]
    return tuple(replace(own, variant=variant.removesuffix(".0")).normal() for variant in variants)
