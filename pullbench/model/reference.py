"""Image references of the OCI distribution spec, as written in a spec: without a registry host."""

import re
from dataclasses import dataclass

# OCI distribution spec 1.1, "Pulling manifests": <name> and <reference>; image spec: digest grammar.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def is_digest(text: str) -> bool:
    """Whether the text is a complete sha256 or sha512 digest."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether the text is a tag."""
    return _TAG.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Whether the text is a repository's name."""
    return len(text) <= 255 and _REPOSITORY.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A repository with a tag, a digest or both; the registry comes from the spec's `registries`."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if not is_repository(self.repository):
            raise ValueError(
                f"'{self.repository}' is not a repository name: use lower case letters, digits, . _ - and / between parts"
            )
        if self.tag is not None and not is_tag(self.tag):
            raise ValueError(f"'{self.tag}' is not a tag: use letters, digits, . _ - and at most 128 characters")
        if self.digest is not None and not is_digest(self.digest):
            raise ValueError(f"'{self.digest}' is not a digest: sha256: and 64 hexadecimal digits")
        if self.tag is None and self.digest is None:
            raise ValueError(f"'{self.repository}' has neither a tag nor a digest")

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read `repository[:tag][@digest]`; the default tag is `latest`.

        Raises ValueError with the accepted form, also for a reference with a registry host.
        """
        name, _, digest = text.partition("@")
        if "@" in text and not digest:
            raise ValueError(f"'{text}' ends in @ without a digest")
        head, slash, _rest = name.partition("/")
        if slash and ("." in head or ":" in head or head == "localhost"):
            raise ValueError(f"'{text}' names the host '{head}': leave it out, hosts belong in `registries`")
        repository, colon, tag = name.partition(":")
        if colon and not tag:
            raise ValueError(f"'{text}' ends in ':' without a tag")
        if not tag and not digest:
            tag = "latest"
        return cls(repository=repository, tag=tag or None, digest=digest or None)

    @property
    def locator(self) -> str:
        """The last part of a manifest's URL: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def pinned(self, digest: str) -> "Reference":
        """The same repository and tag, with a digest."""
        return Reference(repository=self.repository, tag=self.tag, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"
