"""The JSON Schema of `preflight --json`: `python -m tools.preflight_schema > specs/preflight.schema.json`."""

import json
import sys

from pydantic import ConfigDict, TypeAdapter, with_config

from pullbench.model.finding import FindingsDocument


@with_config(ConfigDict(use_attribute_docstrings=True, title="pullbench preflight"))
class PreflightDocument(FindingsDocument):
    """The document that `pullbench preflight SPEC --json` prints."""

    planned_out: dict[str, int]
    """Reasons why configurations of the spec's matrix are excluded, with their number; these are not checked."""


def preflight_schema() -> str:
    """The schema (draft 2020-12), generated from the document's types."""
    schema = TypeAdapter(PreflightDocument).json_schema()
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(preflight_schema())
