import pytest

from pullbench.errors import ErrorCode
from pullbench.model.manifest import ACCEPT
from pullbench.model.reference import Reference
from pullbench.model.remedy import look, remedy
from pullbench.model.route import Route

ROUTE = Route(registry="eu", url="https://registry.example.com:5000", credentials="docker")
NOT_OF_A_HOST = {ErrorCode.DISK_FULL, ErrorCode.ENGINE_UNAVAILABLE, ErrorCode.CANCELLED}


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - NOT_OF_A_HOST))
def test_every_codes_remedy_names_a_command_with_this_host(code: ErrorCode) -> None:
    text = remedy(code, ROUTE, reference=Reference.parse("team/app:1"), platform="linux/arm64")
    assert "registry.example.com" in text
    assert "`" in text
    assert not any(
        word in text for word in ("HOST", "ADDRESS", "NAME ", "REPOSITORY", "IMAGE", "PLATFORM", "CURL", "_TAGS")
    )


def test_openssl_gets_the_port_and_getent_does_not() -> None:
    assert "-connect registry.example.com:5000`" in remedy(ErrorCode.TLS_UNTRUSTED, ROUTE)
    assert "`getent hosts registry.example.com`" in remedy(ErrorCode.DNS, ROUTE)


def test_the_port_of_the_scheme_stands_in_for_one_that_is_not_given() -> None:
    text = remedy(ErrorCode.TLS_EXPIRED, Route(registry="eu", url="https://registry.example.com"))
    assert "-connect registry.example.com:443 </dev/null" in text


def test_the_hub_is_logged_in_to_by_the_name_that_docker_files_it_under() -> None:
    hub = Route(registry="hub", url="https://registry-1.docker.io", credentials="docker")
    assert "docker login docker.io" in remedy(ErrorCode.UNAUTHORIZED, hub)


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("docker", "docker logout registry.example.com:5000 && docker login registry.example.com:5000"),
        ("env:HOST", "HOST_USERNAME and HOST_PASSWORD, or HOST_TOKEN"),
        ("block:hub", "renew the Prefect Secret 'hub'"),
        ("anonymous", "`credentials: docker`"),
    ],
)
def test_logging_in_again_depends_on_where_the_credentials_are_kept(credentials: str, expected: str) -> None:
    route = Route(registry="eu", url=ROUTE.url, credentials=credentials)
    assert expected in remedy(ErrorCode.UNAUTHORIZED, route)


def test_a_mirrors_prefix_stands_in_the_repository() -> None:
    route = Route(registry="eu", proxy="cache", url=ROUTE.url, prefix="hub")
    text = remedy(ErrorCode.NOT_FOUND, route, reference=Reference.parse("team/app:1"))
    assert "docker://registry.example.com:5000/hub/team/app`" in text


def test_commands_take_the_routes_own_way_and_trust() -> None:
    route = Route(registry="eu", url=ROUTE.url, ca_file="/etc/our ca.pem", forward_url="http://squid.example:3128")
    shown = remedy(ErrorCode.NOT_A_REGISTRY, route)
    assert "`curl -x http://squid.example:3128 --cacert '/etc/our ca.pem' -i https://registry.example.com:5000" in shown
    shown = remedy(ErrorCode.TLS_UNTRUSTED, route)
    assert "`openssl s_client -proxy squid.example:3128 -CAfile '/etc/our ca.pem' -showcerts -connect" in shown
    assert "`sudo install -D -m 644 '/etc/our ca.pem' /etc/docker/certs.d/registry.example.com:5000/ca.crt`" in shown


PLAIN = Route(registry="eu", url="http://registry.example.com:5000", credentials="env:CI")


def test_over_plain_http_the_tools_are_told_so() -> None:
    reference = Reference.parse("team/app:1")
    shown = remedy(ErrorCode.NOT_FOUND, PLAIN, reference=reference)
    assert "`skopeo list-tags --tls-verify=false " in shown
    shown = remedy(ErrorCode.PLATFORM_MISSING, PLAIN, reference=reference, platform="linux/arm64")
    assert "`docker manifest inspect --insecure registry.example.com:5000/team/app:1`" in shown
    assert "--tls-verify" not in remedy(ErrorCode.NOT_FOUND, ROUTE, reference=reference)
    assert "--insecure" not in remedy(ErrorCode.PLATFORM_MISSING, ROUTE, reference=reference, platform="linux/arm64")


def test_a_command_that_needs_a_login_takes_it_from_the_variables_that_the_spec_names() -> None:
    login = '"$CI_USERNAME:$CI_PASSWORD"'
    shown = remedy(ErrorCode.NOT_FOUND, PLAIN, reference=Reference.parse("team/app:1"))
    assert f"--creds {login} docker://registry.example.com:5000/team/app`" in shown
    assert look("_catalog", PLAIN) == f"curl -u {login} -sSi {PLAIN.url}/v2/_catalog"
    assert look("_catalog", ROUTE) == f"curl -sSi {ROUTE.url}/v2/_catalog"


def test_a_look_at_a_manifest_accepts_what_images_are_kept_as() -> None:
    shown = look("team/app/manifests/1", ROUTE, "-sSI")
    assert shown == f"curl -sSI -H 'Accept: {ACCEPT}' https://registry.example.com:5000/v2/team/app/manifests/1"
    route = Route(registry="eu", url=ROUTE.url, ca_file="/etc/ca.pem", forward_url="http://squid.example:3128")
    assert look("_catalog", route).startswith("curl -x http://squid.example:3128 --cacert /etc/ca.pem -sSi ")


def test_dates_are_shown_without_waiting_for_the_keyboard() -> None:
    assert "</dev/null 2>/dev/null | openssl x509 -noout -dates`" in remedy(ErrorCode.TLS_EXPIRED, ROUTE)


def test_skopeo_trusts_the_ca_of_the_spec() -> None:
    route = Route(registry="eu", url=ROUTE.url, ca_file="/etc/our ca.pem")
    shown = remedy(ErrorCode.NOT_FOUND, route, reference=Reference.parse("team/app:1"))
    assert "`SSL_CERT_FILE='/etc/our ca.pem' skopeo list-tags docker://registry.example.com:5000/team/app`" in shown
