"""A manifest of Docker's schema 1, signed in the way of libtrust, as old registries still hold them."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_TAIL = "\n}"


def signed(layer: str) -> tuple[str, str]:
    """The manifest of an image of one layer, and its digest, which is that of the manifest without its signature."""
    history = {"id": "0" * 64, "created": "2016-01-01T00:00:00Z", "architecture": "amd64", "os": "linux"}
    document = {
        "schemaVersion": 1,
        "name": "app",
        "tag": "1.0",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": layer}],
        "history": [{"v1Compatibility": json.dumps(history)}],
    }
    payload = json.dumps(document, indent=3)
    signatures = json.dumps([_signature(payload)])
    body = f'{payload.removesuffix(_TAIL)},\n   "signatures": {signatures}{_TAIL}'
    return body, f"sha256:{hashlib.sha256(payload.encode()).hexdigest()}"


def _signature(payload: str) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    protected = _encoded(
        json.dumps({"formatLength": len(payload) - len(_TAIL), "formatTail": _encoded(_TAIL.encode())}).encode()
    )
    made = key.sign(f"{protected}.{_encoded(payload.encode())}".encode(), ec.ECDSA(hashes.SHA256()))
    signature = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(made))
    return {"header": {"jwk": _jwk(key), "alg": "ES256"}, "signature": _encoded(signature), "protected": protected}


def _jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    public = key.public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    name = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    numbers = public.public_numbers()
    return {
        "crv": "P-256",
        "kid": ":".join(name[at : at + 4] for at in range(0, len(name), 4)),
        "kty": "EC",
        "x": _encoded(numbers.x.to_bytes(32, "big")),
        "y": _encoded(numbers.y.to_bytes(32, "big")),
    }


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
