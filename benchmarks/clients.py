"""The other clients: each pulls an image once, verified, and leaves nothing behind."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.scene import PLATFORM, Image

GO_CLIENT = Path(__file__).parent / "go_client" / "main.go"


def curl_and_openssl(image: Image, concurrency: int = 4) -> Callable[[], None]:
    """`curl | openssl dgst -sha256` for each layer, `concurrency` of them in parallel; nothing is written."""

    def pull() -> None:
        done = subprocess.run(
            ["xargs", f"-P{concurrency}", "-n1", "sh", "-c", 'curl -sf "$0" | openssl dgst -sha256 -r'],
            input="\n".join(image.layer_urls),
            capture_output=True,
            text=True,
            check=True,
        )
        found = {f"sha256:{line.split()[0]}" for line in done.stdout.splitlines()}
        assert found == {layer.digest for layer in image.found.manifest.layers}

    return pull


def crane(image: Image, folder: Path) -> Callable[[], float]:
    """`crane pull --format oci`: an OCI layout on the disk."""
    return _into_a_folder(folder, lambda target: ["crane", "pull", "--format", "oci", "--insecure", image.name, target])


def skopeo(image: Image, folder: Path) -> Callable[[], float]:
    """`skopeo copy` to a directory on the disk, its layers one by one."""
    options = ["--quiet", "--src-tls-verify=false"]
    return _into_a_folder(folder, lambda to: ["skopeo", "copy", *options, f"docker://{image.name}", f"dir:{to}"])


def _into_a_folder(parent: Path, command: Callable[[str], list[str]]) -> Callable[[], float]:
    """Run a pull into a new directory and return its seconds, without removing the directory."""

    def pull() -> float:
        target = tempfile.mkdtemp(dir=parent)
        began = time.perf_counter()
        subprocess.run(command(f"{target}/image"), check=True, capture_output=True)
        took_s = time.perf_counter() - began
        shutil.rmtree(target)
        return took_s

    return pull


def docker(image: Image) -> Callable[[], float]:
    """`docker pull`, cold each time: the daemon unpacks too, and the seconds do not include removing the image."""

    def pull() -> float:
        began = time.perf_counter()
        subprocess.run(
            ["docker", "pull", "--quiet", f"--platform={PLATFORM}", image.name], check=True, capture_output=True
        )
        took_s = time.perf_counter() - began
        subprocess.run(["docker", "rmi", "--force", image.name], check=True, capture_output=True)
        return took_s

    return pull


def missing(program: str) -> str | None:
    """Why a client cannot be measured here; None if it can."""
    if shutil.which(program) is None:
        return f"{program} is not installed"
    if program == "docker":
        answer = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, check=False
        )
        return None if answer.returncode == 0 else "no Docker daemon answers"
    return None


def built_go_client(folder: Path) -> Path:
    """Build the Go yardstick; needs Debian's golang-go."""
    binary = folder / "go_client"
    environment = {**os.environ, "GOCACHE": str(folder / "go-cache"), "GO111MODULE": "off"}
    subprocess.run(["go", "build", "-o", str(binary), str(GO_CLIENT)], check=True, capture_output=True, env=environment)
    return binary


def go_client(binary: Path, image: Image, pulls: int, workers: int) -> Callable[[], float]:
    """`pulls` pulls by `workers` workers. The seconds do not include the start of the client or of our process."""
    repository, _, digest = image.reference.partition("@")
    command = [str(binary), image.url, repository, digest, str(pulls), str(workers)]
    return lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def versions() -> dict[str, str]:
    """Versions of the other clients by name; a client that is not installed is absent."""
    commands = {
        "curl": ["curl", "--version"],
        "openssl": ["openssl", "version"],
        "crane": ["crane", "version"],
        "skopeo": ["skopeo", "--version"],
        "docker": ["docker", "version", "--format", "{{.Server.Version}}"],
        "go": ["go", "version"],
        "docker-registry": ["docker-registry", "--version"],
    }
    said = {}
    for name, command in commands.items():
        if shutil.which(command[0]) is not None:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip():
                said[name] = done.stdout.strip().splitlines()[0]
    return said
