"""The JSON Schema of a spec, for editors: specs/spec.schema.json, and what `pullbench schema` prints."""

import json

from pullbench.model.spec import Spec

TITLE = "pullbench spec"


def spec_schema() -> str:
    """The JSON Schema (draft 2020-12) of a spec as it may be written, as an indented document that ends in a newline.

    Its descriptions are the docstrings of the spec. It refuses what `read_spec` refuses, except what only a reading can
    tell, such as a name that nothing declares.
    """
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
