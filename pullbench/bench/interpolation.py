"""Variables in compose files, and the `.env` files that set them (Compose specification, "Interpolation")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variables:
    """The variables of a text; `blank` takes an unset one as empty, as in a `.env` file."""

    environ: Mapping[str, str]
    blank: bool
    depth: int = 0

    def fill(self, text: str) -> str:
        parts, at = [], 0
        while (start := text.find("$", at)) >= 0:
            parts.append(text[at:start])
            value, at = self._variable(text, start)
            parts.append(value)
        return "".join((*parts, text[at:]))

    def _variable(self, text: str, start: int) -> tuple[str, int]:
        """The value of the variable at `start`, and where it ends."""
        if text.startswith("$$", start):
            return "$", start + 2
        if (bare := _BARE.match(text, start)) is not None:
            return self._value(bare[1], "", ""), bare.end()
        braced = _BRACED.match(text, start)
        end = -1 if braced is None or self.depth > _MOST_NESTED else _closing(text, braced.end())
        if braced is None or end < 0:
            raise ValueError("its variables cannot be parsed")
        inside = text[braced.end() : end]
        how = _HOW.match(inside)
        if inside and how is None:
            raise ValueError("its variables cannot be parsed")
        operator = "" if how is None else how[0]
        return self._value(braced[1], operator, inside[len(operator) :]), end + 1

    def _value(self, name: str, how: str, word: str) -> str:
        value = self.environ.get(name)
        is_set = bool(value) if how.startswith(":") else value is not None
        inner = replace(self, depth=self.depth + 1)
        if how.endswith("+"):
            return inner.fill(word) if is_set else ""
        if is_set:
            return value or ""
        if how.endswith("-"):
            return inner.fill(word)
        if self.blank and not how:
            return ""
        why = f" ({word})" if word else ""
        raise ValueError(f"the variable {name} is not set and has no default{why}; set it and run init again")


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """A text with its variables replaced: `$V`, `${V}`, `${V:-default}`, `${V:?error}`, `${V:+replacement}`, `$$`.

    Without the colon an empty variable counts as set. Raises ValueError for a variable without value and default: compose
    would take a blank, which makes another image of it.
    """
    return _Variables(environ=environ, blank=False).fill(text)


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


def env_file(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file; those of `environ` count more, and may be used in it.

    A text in single quotes is taken as it is. A name without `=` is taken from `environ`. A variable that is
    not set is empty in it; a value that cannot be read is left out.
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
            found[name] = _Variables(environ={**found, **environ}, blank=True).fill(written)
        except ValueError:
            continue
    return {**found, **environ}
