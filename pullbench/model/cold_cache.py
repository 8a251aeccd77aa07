"""How a mirror is made cold before a trial: an entry of the spec."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pullbench.model.schema_rules import COLD_RULES
from pullbench.model.spec_fields import Credentials, RepositoryText, Strict

RESET_S = 60.0
"""How long a command may take where the spec does not say it."""


class ColdCache(Strict):
    """How to make a mirror cold before a trial: images that it has never had, or a command that empties it."""

    model_config = ConfigDict(json_schema_extra=COLD_RULES)

    push: RepositoryText | None = None
    """A repository at the mirror's upstream that a run may push to, such as pullbench/cold. Before each cold trial, it pushes
    new synthetic images with layers of the same number and sizes as the images of the spec. It deletes them afterwards if
    the registry allows that, and reports what it left."""
    credentials: Credentials | None = None
    """The source of credentials that may push there. Default: that of the upstream."""
    reset: list[Annotated[str, Field(min_length=1)]] | None = Field(default=None, min_length=1)
    """A command and its arguments that empty the mirror, run without a shell before each cold trial. Exit code 0 means done.
    A program with a slash in its name is relative to the spec."""
    timeout_s: float = Field(default=RESET_S, gt=0, le=3600)
    """How long `reset` may take, in seconds."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.push is None) == (self.reset is None):
            raise ValueError(
                "give either `push: REPOSITORY` (synthetic images, pushed upstream) or `reset: [COMMAND, ARGUMENT]`"
            )
        if self.push is None and self.credentials is not None:
            raise ValueError("`credentials` are for `push`")
        if self.reset is None and "timeout_s" in self.model_fields_set:
            raise ValueError("`timeout_s` is for `reset`")
        return self

    @model_serializer(mode="wrap")
    def _without_what_it_refuses(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Every default is written out, but `timeout_s` where nothing resets: what is stored is read again."""
        document: dict[str, Any] = dump(self)
        if self.reset is None:
            document.pop("timeout_s", None)
        return document
