"""The engine of kind `skopeo`: `skopeo copy` into a new OCI layout; verifies digests, does not unpack."""

import json
import math
import re
from pathlib import Path

from pullbench.engines.base import PullRequest, TrialSetup
from pullbench.engines.command.containers_image import (
    AUTH,
    POLICY,
    REGISTRIES,
    certificates,
    image_name,
    known_sizes,
    write_configuration,
)
from pullbench.engines.command.engine import Brought, CommandEngine, CommandFailed
from pullbench.engines.command.process import Command, environment
from pullbench.errors import ErrorCode
from pullbench.model.image_config import platform_of
from pullbench.model.manifest import DOCKER_MANIFEST, Manifest, parse_manifest
from pullbench.model.platform import Platform


class SkopeoEngine(CommandEngine):
    """Copies images. An OCI layout receives layers in parallel; each pull uses a new one, so every pull is cold."""

    kind = "skopeo"
    program = "skopeo"
    package = "skopeo"
    reads_config_again = True

    def _version(self, folder: Path) -> str:
        output = self._output(Command(arguments=("skopeo", "--version"), environment=environment(folder)))
        return re.sub(r"^skopeo version ", "", output.strip())

    def _open(self, folder: Path, setup: TrialSetup) -> None:
        write_configuration(folder, setup.requests, self._keychain)

    def _make_store(self, store: Path) -> None:
        store.mkdir()

    def _held(self, store: Path) -> frozenset[str]:
        return frozenset(f"sha256:{blob.name}" for blob in store.glob("blobs/sha256/*"))

    def _command(self, request: PullRequest, store: Path, timeout_s: float) -> Command:
        route, platform, folder = request.route, Platform.parse(request.platform).normal(), store.parent
        override = [f"--override-os={platform.os}", f"--override-arch={platform.architecture}"]
        if platform.variant:
            override.append(f"--override-variant={platform.variant}")
        trust = []
        if route.plain_http:
            trust = ["--src-tls-verify=false"]
        elif route.ca_file is not None:
            trust = [f"--src-cert-dir={certificates(folder, route.ca_file)}"]
        return Command(
            arguments=(
                "skopeo",
                f"--policy={folder / POLICY}",
                f"--registries-conf={folder / REGISTRIES}",
                # The engine stops it in time; skopeo's own timeout is for a skopeo that outlives a killed run.
                f"--command-timeout={math.ceil(timeout_s) + 5}s",
                *override,
                "copy",
                "--quiet",
                f"--src-authfile={folder / AUTH}",
                *trust,
                "--dest-oci-accept-uncompressed-layers",  # else skopeo compresses them, inside the clock
                f"docker://{image_name(request)}",
                f"oci:{store}",
            ),
            environment=environment(folder, route, self._keychain.forward_login(route)),
        )

    def _brought(self, request: PullRequest, store: Path) -> Brought:
        promised = request.expected.manifest
        try:
            index = json.loads((store / "index.json").read_bytes())
            manifest = parse_manifest(_blob(store, index["manifests"][0]["digest"]).read_bytes())
            if not isinstance(manifest, Manifest):
                raise ValueError("an index")
            config = json.loads(_blob(store, manifest.config.digest).read_bytes())
            sizes = {layer.digest: _blob(store, layer.digest).stat().st_size for layer in manifest.layers}
            platform = platform_of(config)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise CommandFailed(
                ErrorCode.DIGEST_MISMATCH, f"cannot read the image that skopeo wrote: {type(error).__name__}: {error}"
            ) from None
        image_id = manifest.config.digest
        if promised.media_type == DOCKER_MANIFEST and _digests(manifest) == _digests(promised):
            image_id = promised.config.digest  # the layout is OCI: skopeo rewrote the config after verifying Docker's
        return Brought(image_id=image_id, platform=platform, layers=known_sizes(manifest, sizes))


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _digests(manifest: Manifest) -> list[str]:
    return [layer.digest for layer in manifest.layers]
