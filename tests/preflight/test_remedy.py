import pytest

from pullbench.errors import ErrorCode
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.preflight.remedy import remedy

ROUTE = Route(registry="eu", url="https://registry.example.com:5000", credentials="docker")
NOT_OF_A_HOST = {ErrorCode.DISK_FULL, ErrorCode.ENGINE_UNAVAILABLE, ErrorCode.CANCELLED}


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - NOT_OF_A_HOST))
def test_every_codes_remedy_names_a_command_with_this_host(code: ErrorCode) -> None:
    text = remedy(code, ROUTE, reference=Reference.parse("team/app:1"), platform="linux/arm64")
    assert "registry.example.com" in text
    assert "`" in text
    assert not any(word in text for word in ("HOST", "ADDRESS", "NAME ", "REPOSITORY", "IMAGE", "PLATFORM", "CURL"))


def test_openssl_gets_the_port_and_getent_does_not() -> None:
    assert "-connect registry.example.com:5000`" in remedy(ErrorCode.TLS_UNTRUSTED, ROUTE)
    assert "`getent hosts registry.example.com`" in remedy(ErrorCode.DNS, ROUTE)


def test_the_port_of_the_scheme_stands_in_for_one_that_is_not_given() -> None:
    text = remedy(ErrorCode.TLS_EXPIRED, Route(registry="eu", url="https://registry.example.com"))
    assert "-connect registry.example.com:443 " in text


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
    assert "cp '/etc/our ca.pem' /etc/docker/certs.d/registry.example.com:5000/ca.crt`" in shown
