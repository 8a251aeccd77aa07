"""Clients of the tests' own making: scripts in the place of skopeo and its kin, and an image for them to bring."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pullbench.engines.base import PullRequest, TrialSetup
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, parse_manifest
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.registry.keychain import Keychain

KEYCHAIN = Keychain(
    environ={
        "ME_USERNAME": "somebody",
        "ME_PASSWORD": "s3cret-password",
        "ODD_USERNAME": "some@body",
        "ODD_PASSWORD": "p/:@é",
        "TOKEN_TOKEN": "an-identity-token",
        "LONG_USERNAME": "somebody",
        "LONG_PASSWORD": "x" * 5000,
    }
)
INDEX = f"sha256:{'1' * 64}"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Image:
    """A config, two layers and the manifest over them."""

    def __init__(self, media_type: str = OCI_MANIFEST, top: bytes = b"top", **config: Any) -> None:
        self.layers = [b"base layer", top]
        self.config = json.dumps({"os": "linux", "architecture": "amd64", **config}).encode()
        self.document = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": media_type,
                "config": self._descriptor(OCI_CONFIG, self.config),
                "layers": [self._descriptor(OCI_LAYER_GZIP, layer) for layer in self.layers],
            }
        ).encode()
        found = parse_manifest(self.document)
        assert isinstance(found, Manifest)
        self.manifest = found

    @staticmethod
    def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    def layout(self, folder: Path) -> Path:
        """The image as an OCI layout."""
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for content in (self.document, self.config, *self.layers):
            (blobs / digest_of(content).partition(":")[2]).write_bytes(content)
        (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": digest_of(self.document)}]}))
        return folder

    def request(
        self,
        pull: int = 0,
        *,
        platform: str = "linux/amd64",
        timeout_s: float = 30.0,
        retries: int = 0,
        url: str = "http://127.0.0.1:5000",
        **route: Any,
    ) -> PullRequest:
        return PullRequest(
            pull=pull,
            image="app:1.0",
            reference=Reference(repository="app", tag="1.0", digest=INDEX),
            is_index=True,
            expected=PlatformImage(digest=digest_of(self.document), manifest=self.manifest),
            platform=platform,
            route=Route(registry="r", url=url, **route),
            auth="persisted",
            timeout_s=timeout_s,
            retries=retries,
        )


def setup(*requests: PullRequest, cache: str = "cold") -> TrialSetup:
    return TrialSetup(
        trial=0,
        concurrency=1,
        cache=cache,  # type: ignore[arg-type]
        cache_reset="own",
        requests=requests,
        before_pulls=lambda names: None,
    )


def put_script(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script of that name, found before anything else of that name."""
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    if str(folder) not in os.environ["PATH"].split(os.pathsep):
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return script
