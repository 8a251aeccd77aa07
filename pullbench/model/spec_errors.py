"""Words for a mistake in a spec: one line that names the key path and says what would be right.

`explain` takes what pydantic found. None of pydantic's own words reach a person: a kind of error that is not listed here
says that the value is not allowed, and a test looks for kinds that are missing.
"""

import typing
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any

from pydantic import BaseModel

from pullbench.model.text import did_you_mean

_SECRETS = frozenset({"username", "user", "password", "passwd", "token", "secret"})
_UNION_MEMBERS = frozenset({"int", "float", "str", "constrained-str"})
"""What pydantic adds to a path where a value may be one of several kinds."""
_SHOWN = 60


def explain(
    entries: Sequence[Mapping[str, Any]], root: type[BaseModel], name_of_root: str = "the top level"
) -> list[str]:
    """A line for each mistake that pydantic found while it read `root`; those of one place once."""
    lines: dict[str, str] = {}
    for entry in entries:
        path, loc = _path(entry["loc"]), [part for part in entry["loc"] if part != "[key]"]
        message = _unknown_key(loc, root, name_of_root) if entry["type"] == "extra_forbidden" else message_of(entry)
        lines.setdefault(path, f"{path}: {' '.join(message.split())}" if path else " ".join(message.split()))
    return list(lines.values())


def message_of(entry: Mapping[str, Any]) -> str:
    """What is wrong with a value and what would be right, without the place."""
    given, context = entry.get("input"), entry.get("ctx") or {}
    if entry["type"] == "value_error":
        message = str(entry["msg"]).removeprefix("Value error, ")
        return f"'{given}' {message}" if message.startswith("is not ") and isinstance(given, str) else message
    if (worded := _WORDS.get(str(entry["type"]))) is not None:
        return worded(given, context)
    return "this value is not allowed here"


def _path(loc: Sequence[str | int]) -> str:
    path = ""
    for index, part in enumerate(loc):
        if part == "[key]" or (index and index == len(loc) - 1 and part in _UNION_MEMBERS):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _shown(given: object) -> str:
    if isinstance(given, Mapping):
        return "a mapping (key: value)"
    if isinstance(given, list | tuple):
        return "a list"
    text = f"'{given}'" if isinstance(given, str) else str(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _expected(what: str) -> Callable[[Any, Mapping[str, Any]], str]:
    def worded(given: Any, _: Mapping[str, Any]) -> str:
        return f"is empty: {what} is expected" if given is None else f"{what} is expected, not {_shown(given)}"

    return worded


def _list(given: Any, _: Mapping[str, Any]) -> str:
    scalar = isinstance(given, str | int | float)
    return f"a list is expected: [{given}]" if scalar else _expected("a list")(given, {})


def _text(given: Any, _: Mapping[str, Any]) -> str:
    if isinstance(given, str | Mapping | list) or given is None:
        return _expected("text")(given, {})
    return "put the value in quotes: text is expected, and YAML reads it as something else"


def _one_of(given: Any, context: Mapping[str, Any]) -> str:
    known = [word.strip().strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
    if str(given) in known:
        return f"put the value in quotes: '{given}'"
    if not isinstance(given, str):
        return _expected(f"one of {', '.join(known)}")(given, {})
    return f"{_shown(given)} is not known; {did_you_mean(given, known)}"


def _bound(key: str, relation: str) -> Callable[[Any, Mapping[str, Any]], str]:
    def worded(given: Any, context: Mapping[str, Any]) -> str:
        return f"{relation} {context[key]:g} is expected, not {_shown(given)}"

    return worded


def _too_short(given: Any, context: Mapping[str, Any]) -> str:
    least = context["min_length"]
    return "is empty: give at least one" if not given else f"at least {least} are expected, there are {len(given)}"


_WORDS: Mapping[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "missing": lambda given, context: "missing",  # noqa: ARG005
    "list_type": _list,
    "string_type": _text,
    "literal_error": _one_of,
    "too_short": _too_short,
    "too_long": lambda given, context: f"at most {context['max_length']} are allowed, there are {len(given)}",
    "string_too_short": lambda given, context: "is empty",  # noqa: ARG005
    "string_too_long": lambda given, context: (
        f"at most {context['max_length']} characters are allowed, there are {len(given)}"
    ),
    "greater_than": _bound("gt", "more than"),
    "greater_than_equal": _bound("ge", "at least"),
    "less_than": _bound("lt", "less than"),
    "less_than_equal": _bound("le", "at most"),
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
        _expected("a whole number"),
    ),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _expected("a number")),
    **dict.fromkeys(("bool_type", "bool_parsing"), _expected("true or false")),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type", "mapping_type"),
        _expected("a mapping (key: value)"),
    ),
}


def _unknown_key(loc: Sequence[str | int], root: type[BaseModel], name_of_root: str) -> str:
    key = str(loc[-1])
    if key.lower() in _SECRETS:
        return "no secret is allowed in a spec: name its source in `credentials` (docker, env:PREFIX, block:NAME)"
    sections = _sections(root)
    here = sections.get(".".join(part for part in loc[:-1] if isinstance(part, str)), root)
    if there := [section or name_of_root for section, model in sections.items() if key in model.model_fields]:
        return f"unknown key here; it belongs to {' or '.join(there)}"
    known = list(here.model_fields)
    if "did you mean" in (hint := did_you_mean(key, known)):
        return f"unknown key; {hint}"
    everywhere = [name for model in sections.values() for name in model.model_fields]
    if "did you mean" in (hint := did_you_mean(key, everywhere)):
        return f"unknown key; {hint}"
    return "unknown key; `pullbench schema` lists the keys"


def _sections(model: type[BaseModel], path: str = "") -> dict[str, type[BaseModel]]:
    """The models inside a model, by the path of their keys; the root's path is empty."""
    found = {path: model}
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            found |= _sections(inner, f"{path}.{name}" if path else name)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not typing.get_args(annotation) and issubclass(annotation, BaseModel):
        return annotation
    is_container = typing.get_origin(annotation) in (list, typing.Union, UnionType, typing.Annotated)
    inner = (_model_in(each) for each in typing.get_args(annotation)) if is_container else iter(())
    return next((each for each in inner if each is not None), None)
