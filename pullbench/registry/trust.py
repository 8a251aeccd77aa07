"""Whom a TLS connection trusts."""

import ssl
from functools import lru_cache
from pathlib import Path

import certifi

from pullbench.errors import UsageError


def public_roots() -> str:
    """The PEM file of the roots that this machine trusts: its own bundle, as Docker and curl use it, else certifi's.

    A company's CA that was added to the machine counts so for every client of ours alike.
    """
    return ssl.get_default_verify_paths().cafile or certifi.where()


def tls_context(ca_file: str | None, *, public_too: bool = False) -> ssl.SSLContext:
    """A client's context of its own: the CAs of `ca_file` (PEM) and no other, else the public roots.

    `public_too` adds those roots to the file's: for the hosts that a registry redirects to, such as a storage service.

    Raises UsageError where the file cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or public_roots())
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__ if not isinstance(error, ssl.SSLError) else "no PEM certificate"
        raise UsageError(
            f"ca_file: {ca_file} cannot be used: {reason}; give the PEM file of the registry's CA"
        ) from None
    if ca_file is not None and public_too:
        context.load_verify_locations(cafile=public_roots())
    # Python 3.13 refuses company CAs that lack newer extensions; Docker and curl do not, and they are what is compared.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def shared_tls_context(ca_file: str | None, *, public_too: bool = False) -> ssl.SSLContext:
    """The context of all who trust the same, which nobody changes: to read the public roots takes longer than a handshake.

    Made as by `tls_context`, and anew once a file of it was written again.
    """
    roots = None if ca_file is not None and not public_too else public_roots()
    return _kept_context(ca_file, public_too, tuple((path, _stamp(path)) for path in (ca_file, roots) if path))


@lru_cache(maxsize=16)
def _kept_context(ca_file: str | None, public_too: bool, _stamps: tuple[object, ...]) -> ssl.SSLContext:
    return tls_context(ca_file, public_too=public_too)


def _stamp(path: str) -> tuple[int, ...]:
    """What changes when a file is written again; nothing for one that cannot be looked at, which no context comes of."""
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
