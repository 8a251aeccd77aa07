"""What the JSON Schema of a spec says beyond its types: patterns of text, and keys that need or exclude each other.

An editor then marks what `read_spec` refuses. Patterns are those of JSON Schema (ECMA 262), for a whole value.
"""

from collections.abc import Mapping
from typing import Any

_HOST = r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_NO_HOST = r"(?!localhost/)(?![^/]*[.:][^/]*/)"
_REPOSITORY = rf"{_NO_HOST}{_COMPONENT}(/{_COMPONENT})*"
_PART = r"[a-z0-9][a-z0-9._-]*"

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
URL = rf"^https?://{_HOST}/?$"
COUNTERS_URL = rf"^https?://{_HOST}(/[\w./~-]*)?$"
REPOSITORY = rf"^{_REPOSITORY}$"
IMAGE = rf"^{_REPOSITORY}(:[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}})?(@(sha256:[0-9a-f]{{64}}|sha512:[0-9a-f]{{128}}))?$"
PLATFORM = rf"^{_PART}/{_PART}(/{_PART})?$"
CREDENTIALS = r"^(docker|anonymous|(env|block):.+)$"
SIZE = r"^\s*[0-9]+(\.[0-9]+)?\s*([KkMmGgTt][Ii]?)?[Bb]?\s*$"
DAEMON_HOST = r"^(unix|tcp|npipe|ssh)://.+"
PREFIX = r"^[a-z0-9._/-]*$"

UNIQUE: dict[str, Any] = {"uniqueItems": True}


def _if(key: str, value: str) -> dict[str, Any]:
    return {"properties": {key: {"const": value}}, "required": [key]}


LOAD_RULES: dict[str, Any] = {
    "if": _if("mode", "open"),
    "then": {"required": ["rate"], "properties": {"rate": {"type": "number"}}},
    "else": {"properties": {"rate": {"type": "null"}}},
}
COLD_RULES: dict[str, Any] = {
    "oneOf": [
        {"required": ["push"], "properties": {"push": {"type": "string"}, "timeout_s": False}},
        {"required": ["reset"], "properties": {"reset": {"type": "array"}}},
    ]
}
PROXY_RULES: dict[str, Any] = {
    "not": _if("name", "direct"),
    "if": _if("kind", "mirror"),
    "then": {"required": ["upstream"], "properties": {"upstream": {"type": "string"}}},
    "else": {
        "properties": {
            "prefix": {"const": ""},
            "headers": {"maxProperties": 0},
            "ca_file": {"type": "null"},
            "cold": {"type": "null"},
            "namespace": {"type": "null"},
            "product": {"const": "auto"},
            "product_url": {"type": "null"},
        }
    },
}


def engine_rules(defaults: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Options belong to a kind: kind → its options with their defaults, which alone another kind may have."""
    of_kinds = [
        {"if": _if("kind", kind), "else": {"properties": {key: {"const": value} for key, value in options.items()}}}
        for kind, options in defaults.items()
    ]
    base_first = {
        "if": _if("strategy", "base-first"),
        "then": {"required": ["base_images"], "properties": {"base_images": {"minItems": 1}}},
        "else": {"properties": {"base_images": {"maxItems": 0}}},
    }
    return {"allOf": [*of_kinds, base_first]}


def engine_names(kinds: tuple[str, ...]) -> dict[str, Any]:
    """A kind, which an editor offers, or a name that `engines` declares."""
    return {"anyOf": [{"enum": list(kinds)}, {"type": "string", "pattern": NAME}]}


def spec_rules(kinds: tuple[str, ...]) -> dict[str, Any]:
    """Without `engines` or `proxies` of its own, a spec can only name the kinds and `direct`."""

    def without(section: str, factor: dict[str, Any]) -> dict[str, Any]:
        declared = {"properties": {section: {"minItems": 1}}, "required": [section]}
        allowed = {"properties": {"matrix": {"properties": {section: {"items": factor}}}}}
        return {"if": declared, "else": allowed}

    return {"allOf": [without("engines", {"enum": list(kinds)}), without("proxies", {"const": "direct"})]}
