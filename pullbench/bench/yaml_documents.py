"""Reads YAML as the programs that own the files do: strict in its syntax, tolerant of their tags, with JSON's scalars."""

import re
from typing import Any

import yaml

RESET = object()
"""The value of compose's tag `!reset`: the key is as if nobody had written it."""


class Replacement(list[Any]):
    """A list with compose's tag `!override`: it replaces the list that it would extend."""


class _Loader(yaml.SafeLoader):
    """Only the scalars of JSON are more than text: a date or a lone `=` in a foreign file is text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own attribute, not shared with its other loaders)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a key that occurs twice, as Go's readers do; before merge keys add theirs."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"the key '{key.value}' occurs twice in one mapping", key.start_mark
                    )
                seen.add(key.value)
        return node


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]{0,99})", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_form})$"), _first)


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    """A value with another program's tag: the value counts, not the tag."""
    if tag == "reset":
        return RESET
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        entries = loader.construct_sequence(node, deep=True)
        return Replacement(entries) if tag == "override" else entries
    return node.value


_Loader.add_multi_constructor("!", _tagged)


def documents_of(text: str) -> list[Any]:
    """The documents of a YAML (or JSON) text; ValueError, in one line, for any other text."""
    try:
        return list(yaml.load_all(text, Loader=_Loader))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        helm = "; render the chart first: helm template CHART | pullbench init --from -" if "{{" in text else ""
        raise ValueError(f"is not YAML{where}: {problem}{helm}") from error
