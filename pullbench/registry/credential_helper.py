"""Asks a credential helper of Docker for one host's login, and does not wait for ever.

The protocol is that of docker-credential-helpers: `docker-credential-NAME get`, the server's name on stdin, a JSON object
with Username and Secret on stdout.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping

PATIENCE_S = 60.0
"""A helper may ask a person for a passphrase first."""
_NOTHING_THERE = "credentials not found in native keychain"


class HelperError(Exception):
    """What went wrong, to stand after the helper's name; never its own words, for some print the secret itself."""


def ask_helper(program: str, server: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User name and secret for a server, None where the helper has none; HelperError where it fails or says nothing."""
    path = shutil.which(program, path=environ.get("PATH"))
    if path is None:
        raise HelperError("is not on PATH")
    try:
        done = subprocess.run(
            [path, "get"],
            input=server.encode(),
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HelperError(f"did not answer within {PATIENCE_S:g} s") from None
    except OSError as error:
        raise HelperError(f"cannot be started ({error.strerror})") from None
    if done.returncode != 0:
        if _NOTHING_THERE in done.stdout.decode(errors="replace"):
            return None
        raise HelperError("failed")
    return _read(done.stdout)


def _read(answer: bytes) -> tuple[str, str] | None:
    try:
        found = json.loads(answer)
        username, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HelperError("failed") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise HelperError("failed")
    return (username, secret) if username or secret else None  # docker-credential-pass says so of one that it lacks
