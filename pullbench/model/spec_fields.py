"""The kinds of text and number that a spec is made of, each checked where it stands.

A validator's message follows the key path; one that starts with `is not` follows the value too (see `spec_errors`), so no
message about what may hold a secret starts so.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pullbench.model import schema_rules
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.text import parse_bytes

_HOST = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


class Strict(BaseModel):
    """An entry of the spec: no key that it does not know, and no boolean but where one is expected."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _no_value_is_true_or_false(cls, data: object) -> object:
        """Other keys take no boolean, and pydantic would read `retries: no` as 0 and `concurrency: [yes]` as 1."""
        switches = {name for name, entry in cls.model_fields.items() if entry.annotation is bool}
        for key, value in data.items() if isinstance(data, Mapping) else ():
            if key not in switches and any(
                isinstance(entry, bool) for entry in (value if isinstance(value, list) else [value])
            ):
                raise ValueError(
                    f"`{key}` does not take true or false; YAML reads yes, no, on and off as these: put them in quotes"
                )
        return data


def _name(text: str) -> str:
    if not re.fullmatch(schema_rules.NAME, text):
        raise ValueError(
            "is not a name: use letters, digits, . _ - and at most 63 characters; begin with a letter or digit"
        )
    return text


def _prefix(text: str) -> str:
    if not re.fullmatch(schema_rules.PREFIX, text):
        raise ValueError("is not a prefix: use lower case letters, digits, . _ - and /")
    return text


def _daemon_host(text: str) -> str:
    if not re.fullmatch(schema_rules.DAEMON_HOST, text):
        raise ValueError("is not a daemon's address: give unix:///run/docker.sock or tcp://HOST:PORT")
    return text


def _pattern(pattern: str) -> Any:
    """A pattern for editors alone; the validator beside it has the words."""
    return Field(json_schema_extra={"pattern": pattern})


def _reference(text: str) -> str:
    return str(Reference.parse(text))


def _platform(text: str) -> str:
    return str(Platform.parse(text))


def _url(text: str) -> str:
    if "@" in text:  # before all else, so that no message repeats them
        raise ValueError(
            "has credentials in it: remove them and name their source in `credentials` (docker, env:PREFIX)"
        )
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        raise ValueError("is not a URL: https://HOST[:PORT] (http:// for a registry without TLS)")
    if parts.query or parts.fragment or parts.path.strip("/"):
        raise ValueError("has a path or a query: give scheme, host and port alone (a mirror's path goes into `prefix`)")
    port = parts.netloc.rpartition(":")[2]
    if port.isdecimal() and not 1 <= int(port) <= 65535:
        raise ValueError("has a port outside 1-65535")
    return f"{parts.scheme}://{parts.netloc}"


def _counters_url(text: str) -> str:
    if "@" in text or "?" in text:  # before all else, so that no message repeats them
        raise ValueError("has credentials or a query: give an address that needs neither")
    scheme, _, rest = text.partition("://")
    host, _, path = rest.partition("/")
    if scheme not in ("http", "https") or not re.fullmatch(r"[\w./~-]*", path, re.ASCII):
        raise ValueError("is not a URL: http://HOST:PORT/metrics")
    return f"{_url(f'{scheme}://{host}')}/{path}"


def _repository(text: str) -> str:
    if "@" in text or ":" in text.rpartition("/")[2]:
        raise ValueError("is not a repository: give the name alone, without a tag or digest")
    return Reference.parse(text).repository


def _credentials(text: str) -> str:
    kind, _, rest = text.partition(":")
    if text in ("docker", "anonymous") or (kind in ("env", "block") and rest):
        return text
    raise ValueError(
        "is none of: docker (config.json and helpers), env:PREFIX, block:NAME (a Prefect Secret), anonymous"
    )


def _pinned_host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("is not a host: give HOST or HOST:PORT, as in the URL")
    port = text.rpartition(":")[2] if re.search(r":\d+$", text) else "1"
    if not 1 <= int(port) <= 65535:
        raise ValueError("has a port outside 1-65535")
    return text.lower()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("is not an IP address") from None


def _size(value: object) -> object:
    return parse_bytes(value) if isinstance(value, str) else value


Name = Annotated[
    str,
    AfterValidator(_name),
    _pattern(schema_rules.NAME),
    Field(description="A name: letters, digits, . _ - and at most 63 characters."),
]
Url = Annotated[str, AfterValidator(_url), _pattern(schema_rules.URL)]
ProductName = Literal["auto", "harbor", "nexus", "pulp", "quay", "distribution", "none"]
CountersUrl = Annotated[str, AfterValidator(_counters_url), _pattern(schema_rules.COUNTERS_URL)]
"""Where a registry tells what it served: a URL with a path."""
RepositoryText = Annotated[str, AfterValidator(_repository), _pattern(schema_rules.REPOSITORY)]
CredentialSource = Annotated[str, AfterValidator(_credentials), _pattern(schema_rules.CREDENTIALS)]
Credentials = Annotated[
    CredentialSource,
    Field(
        description="The source of the credentials: docker (config.json and helpers), env:PREFIX, block:NAME or anonymous."
    ),
]
PlainHttpCredentials = Literal["refuse", "send"]
"""Whether credentials may cross a network that anybody on the way can read."""
SizeText = Annotated[str, _pattern(schema_rules.SIZE)]
SizeBytes = Annotated[
    int | None,
    Field(ge=1),
    BeforeValidator(_size, json_schema_input_type=Annotated[int, Field(ge=1)] | SizeText | None),
]
"""Bytes, from a number or from text such as 50GB."""
ChunkBytes = Annotated[
    int | None,
    Field(ge=64 * 2**10, le=2**30),
    BeforeValidator(_size, json_schema_input_type=Annotated[int, Field(ge=64 * 2**10, le=2**30)] | SizeText | None),
]
"""The size of a part of a layer: from 64KiB to 1GiB."""
PinnedHost = Annotated[str, AfterValidator(_pinned_host)]
AddressText = Annotated[str, AfterValidator(_address)]
ImageText = Annotated[str, AfterValidator(_reference), _pattern(schema_rules.IMAGE)]
PlatformText = Annotated[str, AfterValidator(_platform), _pattern(schema_rules.PLATFORM)]
Prefix = Annotated[str, AfterValidator(_prefix), _pattern(schema_rules.PREFIX)]
DaemonHost = Annotated[str, AfterValidator(_daemon_host), _pattern(schema_rules.DAEMON_HOST)]
