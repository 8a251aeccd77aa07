"""Command lines of examples and documents, read by the command line itself, and not run."""

import functools
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import typer

from pullbench.cli.main import app

_PROGRAM = "pullbench"
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def commands_in(lines: Iterable[str], variables: Mapping[str, str]) -> list[list[str]]:
    """The arguments of every call of pullbench in lines of shell; KeyError for a variable that nobody sets."""
    found = []
    for line in lines:
        for part in re.split(r"&&|\|\||;|\|", line):
            words = shlex.split(_VARIABLE.sub(lambda match: variables[match[1]], part), comments=True)
            if words and words[0] == _PROGRAM:
                found.append(words[1:])
    return found


@functools.cache
def program() -> Any:
    """The command line, built once: that takes longer than to read a call."""
    return typer.main.get_command(app)


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The command and its parameters; raises what the command line raises for a call that is wrong."""
    command = program()
    names: list[str] = []
    rest = arguments
    while True:
        context = command.make_context(_PROGRAM, list(rest))
        rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
        if not rest or not hasattr(command, "resolve_command"):
            return " ".join(names), context.params
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
