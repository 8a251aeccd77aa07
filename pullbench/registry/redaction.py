"""Removes secrets from a registry's text, which may echo our credentials in an error body or elsewhere."""

import base64
import contextlib
import html
import json
import re
from collections.abc import Collection, Iterable
from urllib.parse import parse_qsl, quote

from pullbench.registry.auth import Credentials

REDACTED = "(redacted)"
_CUT = "…"
"""The end of a text that was cut."""
_SHORTEST_SECRET = 6
"""Shorter secrets are ordinary words in texts; redacting them would reveal more than it hides."""
_LOOKS_SECRET = re.compile(
    r"(?P<before>\b(?:Bearer|Basic)\s+)[\w.~+/-]{16,}=*"  # an Authorization header's value
    r"|(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+(?=@)"  # the user information of a URL
    r"|(?P<key>[?&][\w.-]*(?:sig|signature|token|credential|password|secret|key)=)[^\s&\"'<>]+"  # a signed URL
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",  # a JSON Web Token (RFC 7519)
    re.IGNORECASE,
)


def redacted(text: str, known: Iterable[Credentials] = (), sent: Collection[str] = ()) -> str:
    """The text without `known` credentials and `sent` secrets, in every encoding, and without anything that looks like one.

    Unknown tokens are recognized by their form: after Bearer or Basic, as a JSON Web Token, or in a URL.
    """
    forms = {form for each in known for form in _forms_of(each)} | {form for each in sent for form in _written(each)}
    for secret in sorted(forms, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    if _CUT in text:
        text = _without_beginnings(text, forms)

    def hidden(found: re.Match[str]) -> str:
        return f"{found['before'] or found['scheme'] or found['key'] or ''}{REDACTED}"

    return _LOOKS_SECRET.sub(hidden, text)


def _without_beginnings(text: str, forms: Iterable[str]) -> str:
    """The text without the beginning of a secret at the end of a cut text."""
    for secret in forms:
        for size in range(len(secret) - 1, _SHORTEST_SECRET - 1, -1):
            text = text.replace(secret[:size] + _CUT, REDACTED + _CUT)
    return text


def secrets_of(authorization: str | None, form: bytes | None = None) -> tuple[str, ...]:
    """The secrets in a request's Authorization header, and in its form (RFC 6749's refresh token)."""
    scheme, _, value = (authorization or "").partition(" ")
    found = [value]
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            found.append(base64.b64decode(value).decode().partition(":")[2])
    if form is not None and len(form) < 65536:
        found += [text for name, text in parse_qsl(form.decode("latin-1")) if name == "refresh_token"]
    return tuple(secret for secret in found if secret)


def _forms_of(credentials: Credentials) -> set[str]:
    """The secrets in the forms that a text may contain: as written, and as HTTP's Basic encodes them (RFC 7617)."""
    secrets = (credentials.password, credentials.identity_token, credentials.registry_token)
    plain = [secret for secret in secrets if secret]
    basic = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    return {form for secret in plain for form in _written(secret)} | ({basic} if plain else set())


def _written(secret: str) -> set[str]:
    """The secret as is, in JSON, in a URL, and in HTML."""
    if len(secret) < _SHORTEST_SECRET:
        return set()
    in_json = {json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1]}
    return {secret, *in_json, quote(secret, safe=""), html.escape(secret)}
