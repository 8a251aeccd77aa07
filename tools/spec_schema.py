"""The spec's JSON Schema, for editors: `python -m tools.spec_schema > specs/spec.schema.json`."""

import json
import sys

from pullbench.model.spec import Spec


def spec_schema() -> str:
    """The JSON Schema (draft 2020-12) of a spec as it may be written, as an indented document that ends in a newline.

    Its `description`s are the spec's own docstrings; what only a reading can tell (names that exist, URLs without
    credentials) is not in it.
    """
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(spec_schema())
