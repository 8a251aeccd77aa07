"""Error texts as real clients print them, each read as the right code; and the promises of the closed list."""

import re
import textwrap
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.errors import REMEDIES, RETRYABLE, ErrorCode, RegistryError, classify, code_of_status, with_doubt
from pullbench.model.reference import Reference
from pullbench.model.remedy import remedy
from pullbench.model.route import Route
from tests.engines.error_texts import TEXTS, SeenText

_500 = '500 Server Error for http+docker://localhost/v1.41/images/create: Internal Server Error ("{}")'
_404 = '404 Client Error for http+docker://localhost/v1.41/images/create: Not Found ("{}")'
_GET = 'Get "https://registry.example.com/v2/": {}'

DOCKERD = [
    (_500.format('Get "http://127.0.0.1:5000/v2/app/manifests/1.0": no basic auth credentials'), "unauthorized"),
    ("unauthorized: authentication required", "unauthorized"),
    (
        _404.format(
            "pull access denied for 127.0.0.1:5000/app, repository does not exist or may require 'docker login': "
            "denied: requested access to the resource is denied"
        ),
        "forbidden",
    ),
    (_500.format(_GET.format("unauthorized: incorrect username or password")), "unauthorized"),
    (_404.format("manifest for 127.0.0.1:5000/app:nope not found: manifest unknown: manifest unknown"), "not_found"),
    (_GET.format("dial tcp 127.0.0.1:1: connect: connection refused"), "connect_refused"),
    (_GET.format("dial tcp 192.0.2.1:443: i/o timeout"), "connect_timeout"),
    (
        _GET.format(
            "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)"
        ),
        "connect_timeout",
    ),
    (_GET.format("net/http: request canceled (Client.Timeout exceeded while awaiting headers)"), "timeout"),
    (_GET.format("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"), "timeout"),
    (_GET.format("dial tcp 192.0.2.1:443: connect: no route to host"), "unreachable"),
    (_GET.format("dial tcp 192.0.2.1:443: connect: network is unreachable"), "unreachable"),
    (_GET.format("dial tcp: lookup registry.example.com on 127.0.0.53:53: no such host"), "dns"),
    (_GET.format("dial tcp: lookup registry.example.com on 127.0.0.53:53: server misbehaving"), "dns"),
    (
        _GET.format("dial tcp: lookup r.example.com on 10.0.0.2:53: read udp 10.0.0.9:4242->10.0.0.2:53: i/o timeout"),
        "dns",
    ),
    (_GET.format("net/http: TLS handshake timeout"), "tls_timeout"),
    (_GET.format("x509: certificate signed by unknown authority"), "tls_untrusted"),
    (_GET.format("tls: failed to verify certificate: x509: certificate signed by unknown authority"), "tls_untrusted"),
    (
        _GET.format("x509: certificate has expired or is not yet valid: current time 2026-11-23 is after 2026-01-01"),
        "tls_expired",
    ),
    (
        _GET.format("x509: cannot validate certificate for 10.9.0.1 because it doesn't contain any IP SANs"),
        "tls_hostname",
    ),
    (_GET.format("x509: certificate is valid for a.example.com, not registry.example.com"), "tls_hostname"),
    (
        _GET.format("x509: certificate relies on legacy Common Name field, use SANs instead"),
        "tls_hostname",
    ),
    (_GET.format("http: server gave HTTP response to HTTPS client"), "plain_http"),
    (_GET.format("tls: first record does not look like a TLS handshake"), "plain_http"),
    ("received unexpected HTTP status: 503 Service Unavailable", "server_error"),
    ("received unexpected HTTP status: 502 Bad Gateway", "server_error"),
    ("received unexpected HTTP status: 500 Internal Server Error", "server_error"),
    (
        "toomanyrequests: You have reached your pull rate limit. https://www.docker.com/increase-rate-limit",
        "rate_limited",
    ),
    ("error parsing HTTP 429 response body: invalid character 'T' looking for beginning of value", "rate_limited"),
    ("error parsing HTTP 403 response body: invalid character '<' looking for beginning of value", "forbidden"),
    ("error parsing HTTP 404 response body: invalid character 'p' after top-level value", "not_found"),
    ("denied: requested access to the resource is denied", "forbidden"),
    ("denied", "forbidden"),
    ("denied: not allowed by policy", "forbidden"),
    ("denied: Your authorization token has expired. Reauthenticate and try again.", "unauthorized"),
    ("name invalid: invalid repository name", "not_found"),
    (_GET.format("proxyconnect tcp: dial tcp 127.0.0.1:3128: connect: connection refused"), "proxy"),
    ("no matching manifest for linux/s390x in the manifest list entries", "platform_missing"),
    (
        "failed to register layer: Error processing tar file(exit status 1): write /usr/lib/x: no space left on device",
        "disk_full",
    ),
    ("write /var/lib/docker/tmp/GetImageBlob123: no space left on device", "disk_full"),
    ("filesystem layer verification failed for digest sha256:0123", "digest_mismatch"),
    ("unexpected EOF", "truncated"),
    ("read tcp 127.0.0.1:5000: read: connection reset by peer", "reset"),
    ("[Errno 107] Transport endpoint is not connected", "reset"),
    ("write tcp 127.0.0.1:5000: write: transport endpoint is not connected", "reset"),
    ("shutdown: Socket is not connected", "reset"),
    (
        "error pulling image configuration: download failed after attempts=6: dial tcp 127.0.0.1:5000: "
        "connect: connection refused",
        "connect_refused",
    ),
    ("error pulling image configuration: download failed after attempts=6: unknown blob", "not_found"),
    ("error pulling image configuration: image config verification failed for digest sha256:0123", "digest_mismatch"),
    ("manifest verification failed for digest sha256:0123", "digest_mismatch"),
    # What came is what the digest promised, and no layer, or not the one that the config names.
    (
        "failed to register layer: Error processing tar file(exit status 1): archive/tar: invalid tar header",
        "digest_mismatch",
    ),
    ("failed to register layer: Error processing tar file(exit status 1): gzip: invalid header", "digest_mismatch"),
    ("layers from manifest don't match image configuration", "digest_mismatch"),
    ("context canceled", "cancelled"),
    (_500.format(_GET.format("EOF")), "reset"),
    (_500.format(_GET.format("Forbidden")), "proxy"),
    (
        "Error while fetching server API version: "
        "('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))",
        "engine_unavailable",
    ),
    (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "engine_unavailable",
    ),
]

SKOPEO_AND_PODMAN = [
    (
        'writing blob: adding layer with blob "sha256:0123": processing tar file(archive/tar: invalid tar header): exit status 1',
        "digest_mismatch",
    ),
    ('level=fatal msg="reading manifest nope in 127.0.0.1:5000/app: manifest unknown"', "not_found"),
    ("Error: initializing source docker://127.0.0.1:5000/app:1.0: reading manifest 1.0: manifest unknown", "not_found"),
    ("unable to retrieve auth token: invalid username/password: unauthorized: incorrect", "unauthorized"),
    ('no image found in image index for architecture s390x, variant "", OS linux', "platform_missing"),
    (
        "reading manifest sha256:01 in 127.0.0.1:5000/app: errors: denied: requested access to the resource is denied "
        "unauthorized: authentication required",
        "forbidden",
    ),
    ("no image found in manifest list for architecture s390x, OS linux", "platform_missing"),
    ("invalid status code from registry 404 (Not Found)", "not_found"),
    ("invalid status code from registry 503 (Service Unavailable)", "server_error"),
    ("received unexpected HTTP status: 407 Proxy Authentication Required", "proxy"),
    ("invalid status code from registry 407 (Proxy Authentication Required)", "proxy"),
    ("Digest did not match, expected sha256:01, got sha256:02", "digest_mismatch"),
    ("too many requests to registry", "rate_limited"),
    ("pinging container registry 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused", "connect_refused"),
    ("pinging container registry r: x509: certificate signed by unknown authority", "tls_untrusted"),
    ("reading manifest sha256:01 in 127.0.0.1:5000/app: toomanyrequests: slow down", "rate_limited"),
    (
        "reading blob sha256:01: Error fetching blob: invalid status code from registry 503 (Service Unavailable)",
        "server_error",
    ),
    ("reading blob sha256:01: too many requests to registry", "rate_limited"),
    ("reading manifest sha256:01 in 127.0.0.1:5000/app: denied", "forbidden"),
    (
        "determining manifest MIME type for docker://127.0.0.1:5000/app@sha256:01: Manifest does not match provided "
        "manifest digest sha256:01",
        "digest_mismatch",
    ),
    (
        "parsing image configuration: Download config.json digest sha256:02 does not match expected sha256:01",
        "digest_mismatch",
    ),
    ('initializing source docker://r/app:1: Get "/v2/app/manifests/1": stopped after 10 redirects', "redirect_loop"),
    ('Get "http://127.0.0.1:5000/v2/app/manifests/sha256:01": EOF', "reset"),
    ("writing blob: happened during read: unexpected EOF", "truncated"),
    ("writing blob: happened during read: read tcp 127.0.0.1:5: read: connection reset by peer", "reset"),
    ('Get "http://127.0.0.1:58501/v2/app/manifests/1.0": context deadline exceeded', "timeout"),
    ('pinging container registry r.example.com: Get "https://r.example.com/v2/": Forbidden', "proxy"),
    ('pinging container registry r.example.com: Get "https://r.example.com/v2/": Service Unavailable', "proxy"),
    (
        'pinging container registry r.example.com: Get "https://r.example.com/v2/": Proxy Authentication Required',
        "proxy",
    ),
]

CTR = [
    (
        "failed to extract layer sha256:0123: mount callback failed on /tmp/pullbench-pull-x/root/tmpmounts/containerd-mount1: "
        "archive/tar: invalid tar header: unknown",
        "digest_mismatch",
    ),
    ('wrong diff id calculated on extraction "sha256:0123"', "digest_mismatch"),
    (
        'failed to resolve reference "r.example.com/app:1.0": pulling from host r.example.com failed with status code '
        "[manifests 1.0]: 401 Unauthorized",
        "unauthorized",
    ),
    ('failed to resolve reference "r/app:1": server message: insufficient_scope: authorization failed', "forbidden"),
    ("failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized", "unauthorized"),
    ('failed to resolve reference "r.example.com/app:nope": r.example.com/app:nope: not found', "not_found"),
    ("no match for platform in manifest sha256:01: not found", "platform_missing"),
    ("unexpected commit digest sha256:01, expected sha256:02: failed precondition", "digest_mismatch"),
    ("unexpected status code [manifests 1.0]: 503 Service Unavailable", "server_error"),
    ("unexpected status code [manifests 1.0]: 429 Too Many Requests", "rate_limited"),
    (
        "failed to copy: httpReadSeeker: failed open: unexpected status code http://127.0.0.1:5000/v2/app/blobs/sha256:01: "
        "503 Service Unavailable",
        "server_error",
    ),
    (
        "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:01 "
        "(application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found",
        "not_found",
    ),
    ("pulling from host r.example.com failed with status code [manifests sha256:01]: 403 Forbidden", "forbidden"),
    ("failed to copy: read tcp 127.0.0.1:5: read: connection reset by peer", "reset"),
    ("failed to read expected number of bytes: unexpected EOF", "truncated"),
    ('failed to do request: Head "http://127.0.0.1:5000/v2/app/manifests/1.0": EOF', "reset"),
    ('failed to do request: Get "/v2/app/blobs/sha256:01": stopped after 10 redirects', "redirect_loop"),
]

CURL_AND_PYTHON = [
    ("Could not resolve host: registry.example.com", "dns"),
    ("[Errno -2] Name or service not known", "dns"),
    ("Failed to connect to 192.0.2.1 port 443 after 10001 ms: Timed out", "connect_timeout"),
    ("Failed to connect to 127.0.0.1 port 1 after 0 ms: Connection refused", "connect_refused"),
    ("[Errno 113] No route to host", "unreachable"),
    ("SSL certificate problem: unable to get local issuer certificate", "tls_untrusted"),
    ("SSL certificate problem: certificate has expired", "tls_expired"),
    ("SSL: no alternative certificate subject name matches target host name 'r.example.com'", "tls_hostname"),
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid for 'r'",
        "tls_hostname",
    ),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "tls_untrusted"),
    ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "plain_http"),
    ("CONNECT tunnel failed, response 503", "proxy"),
    ("Received HTTP code 403 from proxy after CONNECT", "proxy"),
    ("transfer closed with 1000 bytes remaining to read", "truncated"),
    ("peer closed connection without sending complete message body (received 5 bytes, expected 10)", "truncated"),
    ("Recv failure: Connection reset by peer", "reset"),
    ("Maximum (10) redirects followed", "redirect_loop"),
    ("Operation too slow. Less than 1 bytes/sec transferred the last 30 seconds", "stalled"),
    ("Operation timed out after 5000 milliseconds with 0 bytes received", "timeout"),
]

# Of Docker's schema 1, without a signature or without layers.
SCHEMA_1 = [
    ("missing signature key", "platform_missing"),
    ("no signatures", "platform_missing"),
    ("schema 1 image manifests are no longer supported: invalid argument", "platform_missing"),
    (
        "initializing image from source docker://127.0.0.1:5000/app@sha256:01: no FSLayers in manifest",
        "platform_missing",
    ),
]

# The registry, or a cache before it, gives a manifest a Content-Type that is not the document's own.
MISTYPED = [
    (
        "mediaType in manifest should be 'application/vnd.docker.distribution.manifest.v2+json' not 'application/vnd.oci.image.manifest.v1+json'",
        "not_a_registry",
    ),
    (
        "if present, mediaType in manifest should be 'application/vnd.oci.image.manifest.v1+json' not 'application/vnd.docker.distribution.manifest.v2+json'",
        "not_a_registry",
    ),
    (
        'initializing image from source docker://h/app@sha256:01: unsupported docker v2s2 media type: "application/vnd.oci.image.manifest.v1+json"',
        "not_a_registry",
    ),
    ("unsupported schema version 2", "not_a_registry"),
    ("unexpected media type text/plain for sha256:01: not found", "not_a_registry"),
    # A manifest of one kind with layers of another kind: the image is to be built anew.
    ('unsupported docker v2s2 media type: "application/vnd.oci.image.layer.v1.tar+gzip"', "platform_missing"),
]

# The server ends the handshake: it asks for a client certificate, or speaks no version or cipher that the client takes.
HANDSHAKES = [
    ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)", "unauthorized"),
    (_GET.format("remote error: tls: certificate required"), "unauthorized"),
    (_GET.format("remote error: tls: bad certificate"), "unauthorized"),
    ("[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version (_ssl.c:1006)", "tls_untrusted"),
    ("[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol (_ssl.c:1006)", "tls_untrusted"),
    (_GET.format("remote error: tls: protocol version not supported"), "tls_untrusted"),
    (_GET.format("remote error: tls: handshake failure"), "tls_untrusted"),
    ("TLS connect error: error:0A000410:SSL routines::ssl/tls alert handshake failure", "tls_untrusted"),
]


@pytest.mark.parametrize(
    ("text", "code"), [*DOCKERD, *SKOPEO_AND_PODMAN, *CTR, *CURL_AND_PYTHON, *SCHEMA_1, *MISTYPED, *HANDSHAKES]
)
def test_a_clients_text_is_read_as_its_code(text: str, code: str) -> None:
    assert classify(text) == ErrorCode(code)


@pytest.mark.parametrize(("text", "code"), DOCKERD[:8])
def test_case_does_not_matter(text: str, code: str) -> None:
    assert classify(text.upper()) == ErrorCode(code)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "something new",
        "layer 5030 of 7",
        "sha256:4290401403404503",
        "repository name must be lowercase",
        'unsupported protocol scheme ""',
    ],
)
def test_what_is_not_known_stays_unknown(text: str) -> None:
    assert classify(text) is ErrorCode.UNKNOWN


def names() -> st.SearchStrategy[str]:
    """Words of error texts, as hosts, repositories and tags may be named after them."""
    words = st.sampled_from(sorted({word for code in ErrorCode for word in code.split("_")} | LIKE_ERRORS))
    return st.lists(words, min_size=1, max_size=3).map("-".join)


LIKE_ERRORS = {
    "denied",
    "unauthorized",
    "forbidden",
    "eof",
    "toomanyrequests",
    "proxyconnect",
    "stalled",
    "timeout",
    "timedout",
    "canceled",
    "cancelled",
    "unknown",
    "unavailable",
    "unsupported",
    "x509",
    "500",
    "503",
    "status-503",
    "http-403",
    "not-found",
    "no-such-host",
    "insufficient_scope",
    "rate-limit",
}
NAMING = [
    ('Get "https://{host}/v2/": dial tcp 192.0.2.1:443: connect: connection refused', "connect_refused"),
    ('Get "https://{host}:5000/v2/{name}/manifests/{name}": EOF', "reset"),
    ("dial tcp: lookup {host} on 127.0.0.53:53: no such host", "dns"),
    ("dial tcp: lookup {name} on 127.0.0.53:53: no such host", "dns"),
    ("reading manifest {name} in {host}/{name}/app: manifest unknown", "not_found"),
    ("manifest for {host}/app/{name}:{name} not found: manifest unknown: manifest unknown", "not_found"),
    (
        "initializing source docker://{host}:5000/{name}:{name}: pinging container registry {host}: toomanyrequests: slow down",
        "rate_limited",
    ),
    (
        'failed to resolve reference "{host}/{name}:{name}": pulling from host {host} failed with status code '
        "[manifests {name}]: 451 Unavailable For Legal Reasons",
        "forbidden",
    ),
    (
        "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to http://{host}/v2/{name}/blobs/"
        "sha256:01: 500 Internal Server Error",
        "server_error",
    ),
    ("writing blob: happened during read: Digest did not match, expected {name}, got {name}", "digest_mismatch"),
    ("something new about {host}/{name}:{name} in {name}/{name}", "unknown"),
]


@given(host=names(), name=names(), case=st.sampled_from(NAMING))
def test_a_name_like_an_error_is_not_taken_for_one(host: str, name: str, case: tuple[str, str]) -> None:
    text, code = case
    assert classify(text.format(host=f"{host}.example.com", name=name)) == ErrorCode(code)


@pytest.mark.parametrize("seen", TEXTS.read(), ids=lambda seen: f"{seen.client}-{seen.version}-{seen.situation}")
def test_a_recorded_text_is_read_as_its_code(seen: SeenText) -> None:
    assert classify(seen.text) == ErrorCode(seen.code)
    assert seen.code != ErrorCode.UNKNOWN


@given(seen=st.sampled_from(TEXTS.read()), host=names(), name=names())
def test_a_recorded_text_keeps_its_code_whatever_host_and_repository_are_called(
    seen: SeenText, host: str, name: str
) -> None:
    text = seen.text.replace("127.0.0.1:5000", f"{host}.example.com:5000").replace(":5000/app", f":5000/{name}/{name}")
    assert classify(text.replace("/v2/app/", f"/v2/{name}/{name}/")) == ErrorCode(seen.code)


def test_containerds_second_answer_is_doubted_and_no_other() -> None:
    digest = f"sha256:{64 * '0'}"
    text = f'failed to resolve reference "r.io/app@{digest}": r.io/app@{digest}: not found'
    assert with_doubt(text).startswith(text) and with_doubt(text) != text
    assert classify(with_doubt(text)) is ErrorCode.NOT_FOUND
    assert all(with_doubt(other) == other for other, _ in (*DOCKERD, *SKOPEO_AND_PODMAN))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (407, "proxy"),
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "server_error"),
        (599, "server_error"),
        (300, "not_a_registry"),
        (511, "not_a_registry"),
        # A policy, of which the registry says which.
        *((status, "forbidden") for status in (402, 412, 423, 428, 451)),
        (410, "not_found"),
        # The server takes no such request; that says nothing about whether it is a registry.
        *(
            (status, "server_error")
            for status in (400, 405, 406, 408, 409, 413, 414, 415, 416, 421, 422, 426, 431, 499)
        ),
    ],
)
def test_a_status_has_its_code(status: int, code: str) -> None:
    assert code_of_status(status) == ErrorCode(code)


def test_the_golden_page_of_the_remedies(golden: Callable[[str, str], None]) -> None:
    route = Route(
        registry="eu", url="https://registry.example.com:5000", credentials="docker", ca_file="/etc/our-ca.pem"
    )
    reference = Reference.parse("team/app:1.0")
    lines = []
    for code in ErrorCode:
        text = f"{code}: {remedy(code, route, reference=reference, platform='linux/arm64')}"
        lines += [*textwrap.wrap(text, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False), ""]
    golden("remedies.txt", "\n".join(lines))


def test_every_code_has_a_remedy_and_no_remedy_is_without_a_code() -> None:
    assert set(REMEDIES) == set(ErrorCode)
    assert all(remedy and "\n" not in remedy for remedy in REMEDIES.values())


def test_what_cannot_pass_by_waiting_is_not_retried() -> None:
    never = {"unauthorized", "forbidden", "not_found", "digest_mismatch", "platform_missing", "cancelled", "timeout"}
    assert not never & RETRYABLE


def test_an_exchange_that_failed_says_where_what_and_what_next() -> None:
    error = RegistryError(ErrorCode.RATE_LIMITED, "HEAD https://r.io/v2/app/manifests/1.0", "429 TOOMANYREQUESTS")
    assert str(error) == f"HEAD https://r.io/v2/app/manifests/1.0: 429 TOOMANYREQUESTS; {error.remedy}"


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("where", ["GET https://r.example.com/v2/", "GET http://r.example.com:5000/v2/", "docker"])
def test_the_message_of_a_registrys_error_has_no_placeholder_in_its_commands(code: ErrorCode, where: str) -> None:
    said = str(RegistryError(code, where, "seen"))
    assert not re.search(r"\b(HOST|ADDRESS)\b", said)
    if "docker login" in said and where != "docker":
        assert f"docker login {where.split('/')[2]}" in said
