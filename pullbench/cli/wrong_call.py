"""Words for a call that is wrong: an unknown command or option, a missing argument, a value that cannot be."""

import re
from typing import Any

from pullbench.model.text import did_you_mean


def wording(error: Any) -> str:
    """One line for what typer raised: what is wrong, and what would be right."""
    context: Any = getattr(error, "ctx", None)
    path = "pullbench" if context is None else context.command_path
    more = f"see `{path} --help`"
    kind = type(error).__name__
    if kind == "NoSuchOption":
        known = [name for each in context.command.params for name in each.opts if name.startswith("--")]
        hint = did_you_mean(error.option_name, known)
        return f"unknown option {error.option_name}; {hint if 'did you mean' in hint else more}"
    if kind == "MissingParameter" and error.param is not None:
        name = error.param.opts[0] if error.param.param_type_name == "option" else error.param.metavar
        return f"{name} is missing; {more}"
    if kind == "BadParameter" and error.param is not None:
        name = error.param.opts[0] if error.param.opts[0].startswith("-") else error.param.metavar
        return f"{name}: {_value(error)}"
    text = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    if found := re.fullmatch(r"No such command '(.*?)'\..*", text, re.DOTALL):
        hint = did_you_mean(found[1], list(getattr(context.command, "commands", {})), most=0)
        return f"unknown command '{found[1]}'; {hint if 'did you mean' in hint else more}"
    if found := re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", text, re.DOTALL):
        return f"unexpected argument '{found[1]}'; {more}"
    if found := re.fullmatch(r"Option '(.+)' requires an argument\.", text):
        return f"{found[1]} needs a value"
    if found := re.fullmatch(r"Option '(.+)' does not take a value\.", text):
        return f"{found[1]} takes no value"
    return f"{text.rstrip('.')}; {more}"


def _value(error: Any) -> str:
    from pydantic import ValidationError  # typer reads values with it

    from pullbench.model.spec_errors import message_of

    cause = error.__cause__ or error.__context__
    if isinstance(cause, ValidationError):
        return message_of(cause.errors()[0])
    return str(error.message).rstrip(".")
