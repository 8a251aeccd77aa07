"""A proxy of the spec: a way to reach a registry, and how its store is made cold."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pullbench.model.capability import ProxyKind
from pullbench.model.route import DIRECT
from pullbench.model.spec_fields import (
    Credentials,
    CredentialSource,
    Name,
    PlainHttpCredentials,
    ProductName,
    RepositoryText,
    Strict,
    Url,
)


class ColdCache(Strict):
    """How a trial finds a mirror cold: by images that it has never seen, or by a command that empties it."""

    push: RepositoryText | None = None
    """A repository at the mirror's upstream, such as pullbench/cold, into which a run may push: before each cold trial
    synthetic images that nobody has seen, with as many layers of the same sizes as the spec's. They are deleted again
    where the registry allows that; a run says what it left."""
    credentials: Credentials | None = None
    """Of one who may push there; default: the upstream's."""
    reset: list[Annotated[str, Field(min_length=1)]] | None = Field(default=None, min_length=1)
    """A command and its arguments, run without a shell before each cold trial; it has emptied the mirror when it ends
    with 0. A program with a slash in its name is looked for beside the spec."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """How long `reset` may take."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.push is None) == (self.reset is None):
            raise ValueError(
                "give one way: `push: REPOSITORY` (synthetic images, pushed upstream) or `reset: [COMMAND, ARGUMENT]`"
            )
        if self.push is None and self.credentials is not None:
            raise ValueError("`credentials` are for `push`")
        if self.reset is None and "timeout_s" in self.model_fields_set:
            raise ValueError("`timeout_s` is for `reset`")
        return self


class ProxyEntry(Strict):
    """A way to reach a registry: a pull-through mirror, or a forward HTTP proxy."""

    name: Name
    kind: ProxyKind
    url: Url
    upstream: Name | None = None
    """The registry that a mirror mirrors; a forward proxy without one serves every registry."""
    prefix: str = Field(default="", pattern=r"^[a-z0-9._/-]*$")
    """What the mirror puts before the repository's name, such as a Harbor proxy project."""
    credentials: CredentialSource = "docker"
    """Where they are kept: docker (config.json, helpers), env:PREFIX, block:NAME, anonymous. A forward proxy's are a user
    name and a password from env:PREFIX or block:NAME; docker keeps logins to registries alone, so it means none there."""
    plain_http_credentials: PlainHttpCredentials = "refuse"
    """Whether they may go over plain http to another machine, where anybody on the way can read them: refuse or send."""
    ca_file: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    """Extra request headers, such as X-Dragonfly-Registry."""
    product: ProductName = "auto"
    """mirror: whose own API tells its storage: auto finds out by itself; none: do not ask."""
    product_url: Url | None = None
    """Where that API is, if not at `url`: scheme://host[:port] of Nexus's UI, which serves Docker at ports of their own."""
    cold: ColdCache | None = None
    """How a mirror's store is made cold, for `proxy_cache: [cold]`."""

    @model_validator(mode="after")
    def _mirror_names_its_upstream(self) -> Self:
        if self.name == DIRECT:
            raise ValueError("'direct' is the name of no proxy; give this one another")
        if self.kind == "mirror" and self.upstream is None:
            raise ValueError("a mirror needs `upstream`: the name of the registry that it mirrors")
        if self.kind == "forward" and (self.prefix or self.headers or self.ca_file or self.cold):
            raise ValueError("`prefix`, `headers`, `ca_file` and `cold` belong to a mirror, not to a forward proxy")
        if self.kind == "forward" and (self.product_url or self.product != "auto"):
            raise ValueError("`product` and `product_url` belong to a mirror, not to a forward proxy")
        return self
