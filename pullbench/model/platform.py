"""Platforms of the OCI image index: os/architecture[/variant]."""

import re
from dataclasses import dataclass

_PART = re.compile(r"[a-z0-9][a-z0-9._-]*")
_MACHINES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm/v7",
    "i686": "386",
}
_DEFAULT_VARIANTS = {"arm": "v7", "arm64": "v8"}


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
        return cls.parse(f"linux/{_MACHINES.get(machine, machine.lower())}")

    def accepts(self, other: "Platform") -> bool:
        """Whether an image of `other` satisfies a request for this platform: a variant counts only if requested."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        return self.variant is None or self.equals(other)

    def equals(self, other: "Platform") -> bool:
        """Whether both are the same platform: arm64 is arm64/v8, and arm is arm/v7 (containerd's platforms.Normalize)."""
        return self._normal() == other._normal()

    def _normal(self) -> tuple[str, str, str | None]:
        variant = self.variant or _DEFAULT_VARIANTS.get(self.architecture)
        return self.os, self.architecture, variant

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
