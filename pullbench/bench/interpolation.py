"""Variables in compose files, and the `.env` files that set them (Compose specification, "Interpolation")."""

import re
from collections.abc import Mapping

_MOST_NESTED = 20
_BARE = re.compile(r"\$([A-Za-z_]\w*)")
_BRACED = re.compile(r"\$\{([A-Za-z_]\w*)(?=[}:?+-])")
_HOW = re.compile(r":?[-?+]")
_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]*)[ \t]*
    (?:[=:][ \t]*(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<plain>[^\n]*)))?""",
    re.MULTILINE | re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}


def interpolated(text: str, environ: Mapping[str, str], depth: int = 0) -> str:
    """A text with its variables replaced: `$V`, `${V}`, `${V:-default}`, `${V:?error}`, `${V:+replacement}`, `$$`.

    Without the colon an empty variable counts as set. Raises ValueError for a variable without value and default: compose
    would take a blank, which makes another image of it.
    """
    parts, at = [], 0
    while (start := text.find("$", at)) >= 0:
        parts.append(text[at:start])
        value, at = _variable(text, start, environ, depth)
        parts.append(value)
    return "".join((*parts, text[at:]))


def _variable(text: str, start: int, environ: Mapping[str, str], depth: int) -> tuple[str, int]:
    """The value of the variable at `start`, and where it ends."""
    if text.startswith("$$", start):
        return "$", start + 2
    if (bare := _BARE.match(text, start)) is not None:
        return _value(bare[1], "", "", environ, depth), bare.end()
    braced = _BRACED.match(text, start)
    end = -1 if braced is None or depth > _MOST_NESTED else _closing(text, braced.end())
    if braced is None or end < 0:
        raise ValueError("its variables cannot be parsed")
    inside = text[braced.end() : end]
    how = _HOW.match(inside)
    if inside and how is None:
        raise ValueError("its variables cannot be parsed")
    operator = "" if how is None else how[0]
    return _value(braced[1], operator, inside[len(operator) :], environ, depth), end + 1


def _closing(text: str, at: int) -> int:
    """Where the brace ends that was opened before `at`; -1 if it does not."""
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth, at = depth + 1, at + 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


def _value(name: str, how: str, word: str, environ: Mapping[str, str], depth: int) -> str:
    value = environ.get(name)
    is_set = bool(value) if how.startswith(":") else value is not None
    if how.endswith("+"):
        return interpolated(word, environ, depth + 1) if is_set else ""
    if is_set:
        return value or ""
    if how.endswith("-"):
        return interpolated(word, environ, depth + 1)
    why = f" ({word})" if word else ""
    raise ValueError(f"the variable {name} is not set and has no default{why}; set it and run init again")


def env_file(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file; those of `environ` count more, and may be used in it.

    A text in single quotes is taken as it is. A name without `=` is taken from `environ`. A value whose own variables are not
    set is left out.
    """
    found: dict[str, str] = {}
    for each in _ASSIGNMENT.finditer(text):
        name = each["name"]
        if each["single"] is not None:
            found[name] = each["single"]
            continue
        written = each["double"]
        if written is not None:
            written = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), written, flags=re.DOTALL)
        elif each["plain"] is not None:
            written = each["plain"].partition(" #")[0].strip()
        else:
            continue
        try:
            found[name] = interpolated(written, {**found, **environ})
        except ValueError:
            continue
    return {**found, **environ}
