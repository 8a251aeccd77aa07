"""Whom a TLS connection trusts."""

import ssl

import certifi

from pullbench.errors import UsageError


def public_roots() -> str:
    """The PEM file of the roots that this machine trusts: its own bundle, as Docker and curl use it, else certifi's.

    A company's CA that was added to the machine counts so for every client of ours alike.
    """
    return ssl.get_default_verify_paths().cafile or certifi.where()


def tls_context(ca_file: str | None, *, public_too: bool = False) -> ssl.SSLContext:
    """A client's context: the CAs of `ca_file` (PEM) and no other, else the public roots.

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
    if ca_file is None or public_too:
        context.load_verify_locations(cafile=public_roots())
    # Python 3.13 refuses company CAs that lack newer extensions; Docker and curl do not, and they are what is compared.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
