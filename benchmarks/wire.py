"""The wire engine beside curl: large layers (throughput, CPU a gigabyte) and small ones (the cost of an exchange)."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.sitting import measure, print_table
from benchmarks.static_server import serve
from pullbench.engines.base import PullRequest, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.engines.clock import SystemClock
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, parse_manifest
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

LARGE_LAYERS, LARGE_BYTES = 8, 64 * 10**6
SMALL_LAYERS, SMALL_BYTES = 500, 1024


def run(rounds: int) -> None:
    """Measure and print both tables; needs curl and openssl."""
    for tool in ("curl", "openssl"):
        if shutil.which(tool) is None:
            raise SystemExit(f"benchmarks.wire: {tool} is not installed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        large = _publish(folder, LARGE_LAYERS, LARGE_BYTES)
        small = _publish(folder, SMALL_LAYERS, SMALL_BYTES)
        url = stack.enter_context(serve(folder))
        curl, wire = "curl | openssl dgst -sha256, 4 at once", "wire, 4 layers at once"
        results = measure(
            {curl: lambda: _curl_and_openssl(url, large), wire: _wire(url, large, 4, stack)}, rounds=rounds
        )
        gigabytes = LARGE_LAYERS * LARGE_BYTES / 1e9
        title = f"{LARGE_LAYERS} layers of {LARGE_BYTES / 1e6:.0f} MB over loopback, verified and dropped"
        print_table(title, results, reference=curl, units=gigabytes, unit="GB")
        curl, wire = "curl, one process, not verified", "wire, 1 layer at once"
        results = measure({curl: lambda: _curl(url, small), wire: _wire(url, small, 1, stack)}, rounds=rounds)
        title = f"{SMALL_LAYERS} layers of {SMALL_BYTES} B over one kept connection"
        print_table(title, results, reference=curl, units=SMALL_LAYERS / 1000, unit="1000 layers")


def _publish(folder: Path, layers: int, size_bytes: int) -> PlatformImage:
    """Write an image of incompressible layers, every file named by its digest."""
    config = _write(folder, b"{}")
    blobs = [_write(folder, os.urandom(size_bytes)) for _ in range(layers)]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 2},
        "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": blob, "size": size_bytes} for blob in blobs],
    }
    content = json.dumps(document).encode()
    manifest = parse_manifest(content)
    assert isinstance(manifest, Manifest)
    return PlatformImage(digest=_write(folder, content), manifest=manifest)


def _write(folder: Path, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    (folder / digest).write_bytes(content)
    return digest


def _blob_urls(url: str, image: PlatformImage) -> list[str]:
    return [f"{url}/v2/bench/blobs/{blob.digest}" for blob in image.manifest.layers]


def _curl_and_openssl(url: str, image: PlatformImage) -> None:
    script = 'curl -sf "$0" | openssl dgst -sha256 -r'
    done = subprocess.run(
        ["xargs", "-P4", "-n1", "sh", "-c", script],
        input="\n".join(_blob_urls(url, image)),
        capture_output=True,
        text=True,
        check=True,
    )
    found = {f"sha256:{line.split()[0]}" for line in done.stdout.splitlines()}
    assert found == {blob.digest for blob in image.manifest.layers}


def _curl(url: str, image: PlatformImage) -> None:
    config = "\n".join(f'url = "{blob}"\noutput = "/dev/null"' for blob in _blob_urls(url, image))
    subprocess.run(["curl", "-sf", "-K", "-"], input=config, text=True, check=True)


def _wire(url: str, image: PlatformImage, layer_concurrency: int, stack: ExitStack) -> Callable[[], None]:
    """One pull of the image, as a trial would call it."""
    engine = make_engine(
        EngineEntry(name="wire", kind="wire", layer_concurrency=layer_concurrency),
        keychain=Keychain(environ={}),
        clock=SystemClock(),
    )
    stack.callback(engine.close)
    request = PullRequest(
        pull=0,
        image="bench",
        reference=Reference(repository="bench", digest=image.digest),
        is_index=False,
        expected=image,
        platform="linux/amd64",
        route=Route(registry="bench", url=url),
        auth="persisted",
        timeout_s=300,
        retries=0,
    )
    engine.open_trial(
        TrialSetup(
            trial=0,
            concurrency=1,
            cache="cold",
            cache_reset="own",
            requests=(request,),
            before_pulls=lambda _names: None,
        )
    )

    def pull() -> None:
        outcome = engine.pull(request)
        assert outcome.ok, outcome.error

    return pull
