"""What a command-line client sees of the world, and what it says of it at the end. Nothing here starts it."""

import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from pullbench.engines.command.folder import MARK
from pullbench.model.route import Route
from pullbench.registry.auth import Credentials, redact_url

_ADMINISTRATORS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_KEPT = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # whom this machine trusts; nothing else of the environment is the client's
_LONGEST_ERROR = 1000


def find_program(name: str) -> str | None:
    """Its path; administrators' folders are looked into too, where a user's PATH lacks them."""
    return shutil.which(name, path=_path())


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_ADMINISTRATORS))


def environment(
    folder: Path, route: Route | None = None, forward_login: Credentials | None = None, **more: str
) -> dict[str, str]:
    """All that a client sees of the world: homes and temporary files in `folder`, the route's proxy or none.

    A login for the proxy stands in the proxy's URL, where these clients look for it; a process's environment is for its
    user's eyes alone (proc(5)).
    """
    names = dict.fromkeys(("HOME", "TMPDIR", "XDG_RUNTIME_DIR", MARK), str(folder))
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    proxy = None if route is None or route.forward_url is None else _with_login(route.forward_url, forward_login)
    proxies = {} if proxy is None else {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    return {"PATH": _path(), "LC_ALL": "C.UTF-8", **names, **kept, **proxies, **more}


def _with_login(url: str, login: Credentials | None) -> str:
    """The URL with user information (RFC 3986, section 3.2.1)."""
    if login is None:
        return url
    parts = urlsplit(url)
    pair = f"{quote(login.username, safe='')}:{quote(login.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{pair}@{parts.netloc}"))


_FATAL = re.compile(r"^(?:Error: |ctr: |time=.* level=(?:fatal|error) )")
_MESSAGE = re.compile(r'msg=("(?:[^"\\]|\\.)*"|\S+)')
_PREFIX = re.compile(r"^(?:Failed, retrying in .*?Error: |Error: |ctr: )")
_URL = re.compile(r"https?://[^\s\"'<>\\]+")


def last_words(stderr: str) -> str:
    """The line that says why a client failed, for a record: bounded, without control characters or signed queries."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    if not lines:
        return ""
    at = next((at for at in reversed(range(len(lines))) if _FATAL.match(lines[at])), len(lines) - 1)
    line = lines[at]
    if line.endswith(":"):  # a registry's list of errors: one a line, below
        line = " ".join(lines[at:])
    if (found := _MESSAGE.search(line)) is not None and line.startswith("time="):
        line = _unquoted(found[1])
    line = _URL.sub(lambda url: redact_url(url[0]), _PREFIX.sub("", line))
    return " ".join("".join(mark if mark.isprintable() else " " for mark in line).split())[:_LONGEST_ERROR]


def _unquoted(text: str) -> str:
    """A Go string literal as logrus writes it; its escapes are nearly JSON's."""
    try:
        return str(json.loads(text))
    except ValueError:
        return text.strip('"').replace('\\"', '"')
