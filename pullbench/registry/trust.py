"""The CAs that a TLS connection trusts."""

import ssl
from functools import lru_cache
from pathlib import Path

import certifi

from pullbench.errors import UsageError


def public_roots() -> str:
    """The PEM file of this machine's trusted roots: its own bundle, as Docker and curl use it, else certifi's.

    So a company CA that was added to the machine counts for all our clients.
    """
    return ssl.get_default_verify_paths().cafile or certifi.where()


def tls_context(ca_file: str | None, *, public_too: bool = False) -> ssl.SSLContext:
    """A new client context that trusts only the CAs in `ca_file` (PEM), else the public roots.

    `public_too` adds the public roots to the file's CAs, for hosts that a registry redirects to, such as a storage service.

    Raises UsageError if the file cannot be read or contains no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or public_roots())
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__ if not isinstance(error, ssl.SSLError) else "no PEM certificate"
        raise UsageError(
            f"ca_file: {ca_file} cannot be used: {reason}; set it to the PEM file of the registry's CA"
        ) from None
    if ca_file is not None and public_too:
        context.load_verify_locations(cafile=public_roots())
    # Python 3.13 rejects company CAs without newer extensions; Docker and curl, which we compare, accept them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False  # Go's clients read only subjectAltName (RFC 9525, section 2)
    # As Go's clients. Without it the machine's openssl.cnf decides, and two machines judge one registry differently.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def shared_tls_context(ca_file: str | None, *, public_too: bool = False) -> ssl.SSLContext:
    """The shared context for the same trust: reading the public roots takes longer than a handshake. Do not change it.

    Created by `tls_context`, and again if a file has changed.
    """
    roots = None if ca_file is not None and not public_too else public_roots()
    return _kept_context(ca_file, public_too, tuple((path, _stamp(path)) for path in (ca_file, roots) if path))


@lru_cache(maxsize=16)
def _kept_context(ca_file: str | None, public_too: bool, _stamps: tuple[object, ...]) -> ssl.SSLContext:
    return tls_context(ca_file, public_too=public_too)


def _stamp(path: str) -> tuple[int, ...]:
    """A value that changes when the file is written; empty if the file cannot be read, which fails later anyway."""
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
