"""What real clients print when real parts fail: the words that `errors.classify` was taught, provoked.

Each entry of PROVOKED is a situation, its code, and the words of each client; … stands for what differs from run to run.
"""

import contextlib
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from pullbench.engines.base import PullOutcome, SystemClock, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.errors import ErrorCode, classify
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.integration.asked import request
from tests.integration.conftest import PushImage, StartRegistry, missing, need
from tests.integration.faulty_parts import Ask, Parts
from tests.integration.real_registry import PASSWORD, USERNAME

pytestmark = [pytest.mark.integration, pytest.mark.real]

KEYS = Keychain(
    environ={
        "GOOD_USERNAME": USERNAME,
        "GOOD_PASSWORD": PASSWORD,
        "BAD_USERNAME": USERNAME,
        "BAD_PASSWORD": "wrong-password",
    }
)
PROGRAMS = {"skopeo": "skopeo", "podman": "podman", "containerd": "ctr"}


@pytest.fixture(scope="module")
def parts(
    docker_registry: StartRegistry, push_image: PushImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    with contextlib.ExitStack() as stack:
        yield Parts(stack, tmp_path_factory.mktemp("provoked"), docker_registry, push_image)


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


def pull(client: str, ask: Ask, docker_host: str) -> PullOutcome:
    """One cold pull."""
    options = ask.engine if client == "wire" else {"host": docker_host} if client == "docker" else {}
    entry = EngineEntry.model_validate({"name": client, "kind": client, **options})
    asked = request(ask.repository, ask.image, ask.url, platform=ask.platform, **ask.route)
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


IN_GO = ("docker", "skopeo", "podman", "containerd")
IMAGE_LIBRARY = ("skopeo", "podman")  # containers/image is the same in both
Words = dict[tuple[str, ...], str]
PROVOKED: dict[str, tuple[ErrorCode, Words]] = {
    "refused": (
        ErrorCode.CONNECT_REFUSED,
        {
            IN_GO: "dial tcp …: connect: connection refused",
            ("wire",): "Failed to connect to …: Could not connect to server",
        },
    ),
    "dropped": (ErrorCode.CONNECT_TIMEOUT, {("wire",): "Connection timed out after … milliseconds"}),
    "unknown_host": (
        ErrorCode.DNS,
        {IN_GO: "dial tcp: lookup nowhere.invalid …", ("wire",): "Could not resolve host: nowhere.invalid"},
    ),
    "unknown_image": (
        ErrorCode.NOT_FOUND,
        {
            ("docker",): "manifest for … not found: manifest unknown: manifest unknown",
            IMAGE_LIBRARY: "reading manifest … in …/index: manifest unknown",
            ("containerd",): 'failed to resolve reference "…": …/index@sha256:…: not found',
            ("wire",): "404 MANIFEST_UNKNOWN: manifest unknown",
        },
    ),
    "unknown_repository": (
        ErrorCode.NOT_FOUND,
        {
            ("docker",): "manifest for …/nobody/knows@… not found: manifest unknown: manifest unknown",
            ("skopeo",): "reading manifest … in …/nobody/knows: manifest unknown",
            ("containerd",): 'failed to resolve reference "…": …/nobody/knows@sha256:…: not found',
            ("wire",): "404 MANIFEST_UNKNOWN: manifest unknown",
        },
    ),
    "missing_platform": (
        ErrorCode.PLATFORM_MISSING,
        {
            ("docker",): "no matching manifest for linux/s390x in the manifest list entries",
            IMAGE_LIBRARY: "no image found in image index for architecture s390x",
            ("containerd",): "no match for platform in manifest …: not found",
            ("wire",): "no linux/s390x among: linux/amd64, linux/arm64",
        },
    ),
    "not_tls": (
        ErrorCode.PLAIN_HTTP,
        {IN_GO: "http: server gave HTTP response to HTTPS client", ("wire",): "wrong version number"},
    ),
    "untrusted": (
        ErrorCode.TLS_UNTRUSTED,
        {IN_GO: "x509: certificate signed by unknown authority", ("wire",): "unable to get local issuer certificate"},
    ),
    "expired": (
        ErrorCode.TLS_EXPIRED,
        {IN_GO: "x509: certificate has expired or is not yet valid: …", ("wire",): "certificate has expired"},
    ),
    "other_host": (
        ErrorCode.TLS_HOSTNAME,
        {
            IN_GO: "x509: cannot validate certificate for 0.0.0.0 because it doesn't contain any IP SANs",
            ("wire",): "no alternative certificate subject name matches target",
        },
    ),
    "no_handshake": (ErrorCode.TLS_TIMEOUT, {("wire",): "Connection timed out after … milliseconds"}),
    "proxy_down": (
        ErrorCode.PROXY,
        {
            ("skopeo", "podman", "containerd"): "proxyconnect tcp: dial tcp …: connect: connection refused",
            ("wire",): "Failed to connect to registry.example.com:443 over proxy 127.0.0.1",
        },
    ),
    "no_login": (
        ErrorCode.UNAUTHORIZED,
        {
            ("docker",): "no basic auth credentials",
            IMAGE_LIBRARY: "unauthorized: authentication required",
            ("containerd",): "pulling from host … failed with status code [manifests …]: 401 Unauthorized",
            ("wire",): "401 UNAUTHORIZED: authentication required",
        },
    ),
    "wrong_login": (
        ErrorCode.UNAUTHORIZED,
        {
            ("docker", *IMAGE_LIBRARY): "unauthorized: authentication required",
            ("containerd",): "pulling from host … failed with status code [manifests …]: 401 Unauthorized",
            ("wire",): "401 UNAUTHORIZED: authentication required",
        },
    ),
    "no_token": (
        ErrorCode.UNAUTHORIZED,
        {
            ("docker",): "unauthorized: incorrect username or password",
            IMAGE_LIBRARY: "unable to retrieve auth token: invalid username/password",
            ("containerd",): "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
            ("wire",): "401 UNAUTHORIZED: incorrect username or password",
        },
    ),
    "no_right": (
        ErrorCode.FORBIDDEN,
        {
            ("docker",): "pull access denied for …, repository does not exist or may require 'docker login': denied: "
            "requested access to the resource is denied",
            IMAGE_LIBRARY: "errors: denied: requested access to the resource is denied",
            ("containerd",): "server message: insufficient_scope: authorization failed",
            ("wire",): "401 UNAUTHORIZED: authentication required",
        },
    ),
    "denied": (
        ErrorCode.FORBIDDEN,
        {
            ("docker", *IMAGE_LIBRARY): "denied",
            ("containerd",): "pulling from host … failed with status code [manifests …]: 403 Forbidden",
            ("wire",): "403 DENIED: requested access to the resource is denied",
        },
    ),
    "overloaded": (
        ErrorCode.SERVER_ERROR,
        {
            ("docker", *IMAGE_LIBRARY): "received unexpected HTTP status: 503 Service Unavailable",
            ("containerd",): "pulling from host … failed with status code [manifests …]: 503 Service Unavailable",
            ("wire",): "503 UNAVAILABLE: service unavailable",
        },
    ),
    "throttled": (
        ErrorCode.RATE_LIMITED,
        {
            ("docker", *IMAGE_LIBRARY): "toomanyrequests: slow down",
            ("containerd",): "pulling from host … failed with status code [manifests …]: 429 Too Many Requests",
            ("wire",): "429 TOOMANYREQUESTS: slow down",
        },
    ),
    "throttled_layer": (ErrorCode.RATE_LIMITED, {IMAGE_LIBRARY: "too many requests to registry"}),
    "corrupt_layer": (
        ErrorCode.DIGEST_MISMATCH,
        {
            ("docker",): "filesystem layer verification failed for digest sha256:…",
            IMAGE_LIBRARY: "Digest did not match, expected …, got …",
            ("containerd",): "unexpected commit digest …: failed precondition",
            ("wire",): "bytes of sha256:… instead of sha256:…",
        },
    ),
    # dockerd tries a layer again for 75 s where it was not told otherwise at its start.
    "truncated_layer": (
        ErrorCode.TRUNCATED,
        {
            ("skopeo", "podman", "containerd"): "unexpected EOF",
            ("wire",): "end of response with … bytes missing",
        },
    ),
    "reset_layer": (
        ErrorCode.RESET,
        {
            ("skopeo", "podman", "containerd"): "read tcp …: read: connection reset by peer",
            ("wire",): "Recv failure: Connection reset by peer",
        },
    ),
    "lost_layer": (
        ErrorCode.NOT_FOUND,
        {
            IMAGE_LIBRARY: "invalid status code from registry 404 (Not Found)",
            ("containerd",): "could not fetch content descriptor …: not found",
            ("wire",): "404 BLOB_UNKNOWN: blob unknown to registry",
        },
    ),
    "stalled": (ErrorCode.STALLED, {("wire",): "for 0.5 s"}),
    "full_disk": (
        ErrorCode.DISK_FULL,
        {
            ("skopeo", "podman", "containerd"): "write …: no space left on device",
            ("wire",): "No space left on device",
        },
    ),
}
PAIRS = [
    pytest.param(client, situation, code, words, id=f"{client}-{situation}")
    for situation, (code, of) in PROVOKED.items()
    for clients, words in of.items()
    for client in clients
]
PATIENT: dict[str, dict[str, ErrorCode]] = {
    # Two of its timers are set to 15 s, and either may come first; the second has words of its own for either side of a connect
    # that was just given up, and two of them do not say that it was a connect.
    "dropped": {
        "dial tcp …: i/o timeout": ErrorCode.CONNECT_TIMEOUT,
        "net/http: request canceled while waiting for connection": ErrorCode.CONNECT_TIMEOUT,
        "context deadline exceeded": ErrorCode.TIMEOUT,
    },
    "no_handshake": {"net/http: TLS handshake timeout": ErrorCode.TLS_TIMEOUT},
}
"""What dockerd says after 15 and 10 s; it is waited for while the others are tried."""


def said(words: str, text: str | None) -> bool:
    """Whether the literal words are in a text, whatever stands for their `…`."""
    return re.search(".*".join(re.escape(part) for part in words.split("…")), text or "") is not None


@pytest.fixture(scope="module")
def patient(parts: Parts, docker_host: str) -> Iterator[dict[str, Future[PullOutcome]]]:
    with ThreadPoolExecutor(len(PATIENT)) as pool:
        yield {name: pool.submit(pull, "docker", parts.ask(name), docker_host) for name in PATIENT}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("client", "situation", "code", "words"), PAIRS)
def test_a_client_in_a_real_fault_says_its_words_and_they_are_read_as_the_code(
    client: str, situation: str, code: ErrorCode, words: str, parts: Parts, docker_host: str
) -> None:
    if client in PROGRAMS:
        need(PROGRAMS[client])
    if client in ("podman", "containerd") and os.geteuid() != 0:
        missing(f"only root can run {client} for a benchmark")
    outcome = pull(client, parts.ask(situation), docker_host)
    assert outcome.error_code is code, outcome.error
    assert said(words, outcome.error), outcome.error
    assert client == "wire" or classify(outcome.error or "") is code


@pytest.mark.parametrize("situation", PATIENT)
def test_what_dockerd_waits_long_for_has_its_code(situation: str, patient: dict[str, Future[PullOutcome]]) -> None:
    outcome = patient[situation].result()
    codes = [code for words, code in PATIENT[situation].items() if said(words, outcome.error)]
    assert codes == [outcome.error_code], outcome.error


def test_109_pairs_of_client_and_situation_are_provoked_with_61_texts_and_at_least_12_a_client() -> None:
    by_client = Counter(entry.values[0] for entry in PAIRS)
    assert (len(PAIRS), len({entry.values[3] for entry in PAIRS})) == (109, 61)
    assert set(by_client) == {*IN_GO, "wire"} and min(by_client.values()) >= 12
