"""What real clients print when real parts fail, and the code that it is read as; codes are asserted, not words.

With PULLBENCH_ERROR_TEXTS=write the texts are added to tests/engines/error_texts.json, which the unit tests read.
"""

import contextlib
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from pullbench.daemon.docker import DockerDaemon
from pullbench.engines.base import PullOutcome, SystemClock, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.errors import ErrorCode, classify
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.engines.error_texts import TEXTS, SeenText
from tests.integration.asked import request
from tests.integration.conftest import PushImage, StartRegistry, missing, need
from tests.integration.faulty_parts import AT_A_PART, Ask, Parts
from tests.integration.real_dockerd import own_dockerd
from tests.integration.real_registry import PASSWORD, USERNAME

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

KEYS = Keychain(
    environ={
        "GOOD_USERNAME": USERNAME,
        "GOOD_PASSWORD": PASSWORD,
        "BAD_USERNAME": USERNAME,
        "BAD_PASSWORD": "wrong-password",
    }
)
OVERLAY2, CONTAINERD_STORE = "docker on overlay2", "docker on containerd's store"
IMAGE_LIBRARY = ("skopeo", "podman")  # containers/image is the same in both
IN_GO = (OVERLAY2, CONTAINERD_STORE, *IMAGE_LIBRARY, "containerd")
PROGRAMS = {
    OVERLAY2: "dockerd",
    CONTAINERD_STORE: "dockerd",
    "skopeo": "skopeo",
    "podman": "podman",
    "containerd": "ctr",
}
KINDS = {OVERLAY2: "docker", CONTAINERD_STORE: "docker"}
_HAS_CONTAINERDS_STORE = 24  # the first version of Docker whose store can be containerd's


@pytest.fixture(scope="module")
def parts(
    docker_registry: StartRegistry, push_image: PushImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    with contextlib.ExitStack() as stack:
        yield Parts(stack, tmp_path_factory.mktemp("provoked"), docker_registry, push_image)


@pytest.fixture(scope="module")
def host_of() -> Iterator[Callable[[str], str]]:
    """The address of a daemon with that store; it tries nothing again, so that no test waits for it."""
    with contextlib.ExitStack() as stack:

        @cache
        def start(client: str) -> str:
            features = {"containerd-snapshotter": client == CONTAINERD_STORE}
            options = ["--max-download-attempts=1"]
            if client == CONTAINERD_STORE and _docker_version() < _HAS_CONTAINERDS_STORE:
                pytest.skip("this dockerd has no store of containerd's")
            return stack.enter_context(own_dockerd(*options, features=features)).host

        yield start


def _docker_version() -> int:
    text = subprocess.run([need("dockerd"), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", text)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def small_disk(size_bytes: int) -> Iterator[None]:
    """Temporary files, which is where clients keep what they pull, go to a file system of this size."""
    if os.geteuid() != 0:
        missing("only root can mount a small disk")
    folder = tempfile.mkdtemp(prefix="pb-")  # short: podman takes no path of over 50 characters
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", folder], check=True)
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before
        subprocess.run(["umount", folder], check=True)
        Path(folder).rmdir()


def pull(client: str, ask: Ask, docker_host: str | None) -> PullOutcome:
    """One cold pull."""
    options = ask.engine if client == "wire" else {} if docker_host is None else {"host": docker_host}
    kind = KINDS.get(client, client)
    entry = EngineEntry.model_validate({"name": kind, "kind": kind, **options})
    asked = request(ask.repository, ask.image, ask.url, platform=ask.platform, timeout_s=ask.timeout_s, **ask.route)
    if ask.digest is not None:
        asked = replace(asked, reference=replace(asked.reference, digest=ask.digest))
    with small_disk(ask.free_bytes) if ask.free_bytes else contextlib.nullcontext():
        engine = make_engine(entry, keychain=KEYS, clock=SystemClock())
        try:
            engine.open_trial(
                TrialSetup(
                    trial=0,
                    concurrency=1,
                    cache="cold",
                    cache_reset="own",
                    requests=(asked,),
                    before_pulls=lambda names: None,
                )
            )
            return engine.pull(asked).verified()
        finally:
            engine.close()


Codes = tuple[ErrorCode, ...]
"""What went wrong; then what is left of it where a client says less."""
EVERY = (*IN_GO, "wire")
E = ErrorCode
PROVOKED: dict[str, tuple[tuple[str, ...], Codes]] = {
    "refused": (EVERY, (E.CONNECT_REFUSED,)),
    "dropped": (("wire",), (E.CONNECT_TIMEOUT,)),
    "unknown_host": (EVERY, (E.DNS,)),
    "unknown_image": (EVERY, (E.NOT_FOUND,)),
    "unknown_repository": (EVERY, (E.NOT_FOUND,)),
    "missing_platform": (EVERY, (E.PLATFORM_MISSING,)),
    "not_tls": (EVERY, (E.PLAIN_HTTP,)),
    "untrusted": (EVERY, (E.TLS_UNTRUSTED,)),
    "expired": (EVERY, (E.TLS_EXPIRED,)),
    "other_host": (EVERY, (E.TLS_HOSTNAME,)),
    "no_handshake": (("wire",), (E.TLS_TIMEOUT,)),
    "proxy_down": ((*IMAGE_LIBRARY, "containerd", "wire"), (E.PROXY,)),
    "no_login": (EVERY, (E.UNAUTHORIZED,)),
    "wrong_login": (EVERY, (E.UNAUTHORIZED,)),
    "no_token": (EVERY, (E.UNAUTHORIZED,)),
    "no_right": (EVERY, (E.FORBIDDEN,)),
    "stalled": (("wire",), (E.STALLED,)),
    "full_disk": ((*IMAGE_LIBRARY, "containerd", "wire"), (E.DISK_FULL,)),
    "schema_1": (EVERY, (E.PLATFORM_MISSING, E.NOT_A_REGISTRY, E.DIGEST_MISMATCH)),
    "cut_manifest": (EVERY, (E.TRUNCATED, E.NOT_A_REGISTRY)),
    "zero_byte_layer": (IN_GO, (E.DIGEST_MISMATCH,)),
    "larger_layer": (EVERY, (E.DIGEST_MISMATCH, E.TRUNCATED)),
    "smaller_layer": (EVERY, (E.DIGEST_MISMATCH,)),
    "more_layers_than_the_config": (IN_GO, (E.DIGEST_MISMATCH,)),
    "too_deep": ((OVERLAY2,), (E.TOO_LARGE,)),
    "large_manifest": ((CONTAINERD_STORE, *IMAGE_LIBRARY, "containerd", "wire"), (E.TOO_LARGE,)),
    "helm_chart": (EVERY, (E.PLATFORM_MISSING, E.NOT_A_REGISTRY, E.DIGEST_MISMATCH)),
    "nested_index": (IMAGE_LIBRARY, (E.PLATFORM_MISSING, E.NOT_A_REGISTRY)),
    "empty_index": (EVERY, (E.PLATFORM_MISSING,)),
    **{f"{part}_{fault}": (EVERY, codes) for part in ("manifest", "layer") for fault, (_, codes) in AT_A_PART.items()},
}
TAKEN_BY_SOME = {
    "schema_1",
    "cut_manifest",
    "zero_byte_layer",
    "larger_layer",
    "smaller_layer",
    "more_layers_than_the_config",
    "helm_chart",
    "nested_index",
}
"""Odd images, which are no failure to a client that takes them."""
PAIRS = [
    pytest.param(client, situation, codes, id=f"{client}-{situation}")
    for situation, (clients, codes) in PROVOKED.items()
    for client in clients
]
PATIENT: dict[str, Codes] = {
    # Two of dockerd's timers are set to 15 s, and either may come first.
    "dropped": (E.CONNECT_TIMEOUT, E.TIMEOUT),
    "no_handshake": (E.TLS_TIMEOUT,),
}
"""What dockerd says after 15 and 10 s; it is waited for while the others are tried."""


@pytest.fixture(scope="module")
def patient(parts: Parts, docker_host: str) -> Iterator[dict[str, Future[PullOutcome]]]:
    with ThreadPoolExecutor(len(PATIENT)) as pool:
        yield {name: pool.submit(pull, OVERLAY2, parts.ask(name), docker_host) for name in PATIENT}


@cache
def version_of(client: str, docker_host: str | None) -> str:
    if docker_host is not None:
        daemon = DockerDaemon(docker_host)
        try:
            return daemon.version()
        finally:
            daemon.close()
    engine = make_engine(EngineEntry(name=client, kind=client), keychain=KEYS, clock=SystemClock())
    try:
        return engine.facts().version or ""
    finally:
        engine.close()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("client", "situation", "codes"), PAIRS)
def test_what_a_client_says_in_a_real_fault_is_read_as_its_code(
    client: str, situation: str, codes: Codes, parts: Parts, host_of: Callable[[str], str]
) -> None:
    if client in PROGRAMS:
        need(PROGRAMS[client])
    if client not in ("skopeo", "wire") and os.geteuid() != 0:
        missing(f"only root can run {client} for a benchmark")
    docker_host = host_of(client) if client in KINDS else None
    outcome = pull(client, parts.ask(situation), docker_host)
    text = outcome.error or ""
    if client != "wire" and classify(text) is outcome.error_code and os.environ.get("PULLBENCH_ERROR_TEXTS") == "write":
        TEXTS.add(
            SeenText(
                client=client,
                version=version_of(client, docker_host),
                situation=situation,
                code=classify(text),
                text=text,
            )
        )
    if not (outcome.ok and situation in TAKEN_BY_SOME):
        assert outcome.error_code in codes, text


@pytest.mark.parametrize("situation", PATIENT)
def test_what_dockerd_waits_long_for_has_its_code(situation: str, patient: dict[str, Future[PullOutcome]]) -> None:
    outcome = patient[situation].result()
    assert outcome.error_code in PATIENT[situation], outcome.error


def test_every_client_is_brought_into_most_situations() -> None:
    by_client = Counter(str(entry.values[0]) for entry in PAIRS)
    assert set(by_client) == set(EVERY) and min(by_client.values()) > 0.8 * len(PROVOKED)
