"""Kinds of parameters that Prefect's form shows in a way of its own, or not at all."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from pullbench.store.shipped import shipped

DEFAULT_SPEC = "specs/first.yaml"


def spec_files() -> list[str]:
    """The specs that a run finds by name: those of the current directory's `specs/`, and the ready ones."""
    folders = (Path("specs"), shipped("specs"))
    return sorted({f"specs/{path.name}" for folder in folders for path in folder.glob("*.yaml")})


SpecFile = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [
                {"title": "A spec of this project", "type": "string", "enum": spec_files() or [DEFAULT_SPEC]},
                {"title": "Another file", "type": "string"},
            ]
        }
    ),
]
"""A path; the form lists the specs that there were when the deployment was made."""
HiddenText = Annotated[str, SkipJsonSchema()]
"""A parameter of deployments and commands that the form does not show."""
HiddenOption = Annotated[str | None, SkipJsonSchema()]
"""The same, where it may be absent."""
OptionalText = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A plain text field that may stay empty; without the schema the form asks first for its type."""
OptionalNumber = Annotated[int | None, Field(ge=0), WithJsonSchema({"type": "integer", "minimum": 0})]
"""A plain field for a whole number, where 0 or nothing leaves the choice to the flow."""
