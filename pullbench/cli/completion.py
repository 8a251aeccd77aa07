"""`completion`: the script that teaches a shell the commands and options."""

from typing import Annotated

import typer

from pullbench.cli.terminal.safe_text import print_lines
from pullbench.errors import UsageError
from pullbench.model.text import did_you_mean

_SHELLS = ("bash", "zsh", "fish")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def completion(
    shell: Annotated[
        str,
        typer.Argument(metavar="bash|zsh|fish", help="The shell.", autocompletion=lambda: list(_SHELLS)),
    ],
) -> int:
    """Print the completion script of a shell: bash, zsh or fish.

    Put the first example into ~/.bashrc, and the second into ~/.config/fish/config.fish. For zsh, put the first with zsh
    into ~/.zshrc, after compinit. Then Tab completes commands, options, files and stored runs.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    if shell not in _SHELLS:
        raise UsageError(f"completion: '{shell}' is not known; {did_you_mean(shell, _SHELLS)}")
    print_lines(get_completion_script(prog_name="pullbench", complete_var="_PULLBENCH_COMPLETE", shell=shell))
    return 0
