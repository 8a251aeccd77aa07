"""`schema`: the JSON Schema of a spec."""

import typer

from pullbench.cli.terminal.safe_text import print_lines

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def schema() -> int:
    """Print the JSON Schema of a spec, for editors and CI.

    An editor with a YAML language server reads it if a spec begins with this line; `pullbench init` writes it:

    \b
    # yaml-language-server: $schema=spec.schema.json
    """
    from pullbench.model.spec_schema import spec_schema

    print_lines(spec_schema())
    return 0
