"""Writes all pages and schemas that are generated from the code: `python -m tools`, or `make docs`."""

from pullbench.model.spec_schema import spec_schema
from tools import promises
from tools.checks_page import checks_page
from tools.clients_page import clients_page
from tools.errors_page import errors_page
from tools.factors_page import factors_page
from tools.preflight_schema import preflight_schema

MADE = {
    "docs/checks.md": checks_page,
    "docs/clients.md": clients_page,
    "docs/errors.md": errors_page,
    "docs/factors.md": factors_page,
    "specs/preflight.schema.json": preflight_schema,
    "specs/spec.schema.json": spec_schema,
}
"""Each file and the function that generates its text."""

if __name__ == "__main__":
    for file, made in MADE.items():
        (promises.ROOT / file).write_text(made(), encoding="utf-8")
    promises.main()
