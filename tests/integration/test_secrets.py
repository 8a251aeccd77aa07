"""Secrets stay where they belong, whatever a registry says back; and its words steer nobody's terminal."""

from typing import Any

import pytest
import yaml

from tests.integration.echoing_registry import SIGNATURE, EchoingRegistry
from tests.integration.faulty_parts import image_of
from tests.integration.shell import Done, PrefectServer, Shell, hiding_places, holding

pytestmark = [pytest.mark.integration, pytest.mark.real]

USER, PASSWORD = "plantedly", "pl4nted/S3cret+word"
LOGIN = {"REG_USERNAME": USER, "REG_PASSWORD": PASSWORD, "PREFECT_LOGGING_LEVEL": "DEBUG"}


def steers(text: str) -> list[str]:
    """Characters that are for a terminal and not for a reader."""
    return sorted({hex(ord(mark)) for mark in text if not mark.isprintable() and mark not in "\n\t"})


def spec_of(url: str, docker_host: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "echo",
        "registries": [{"name": "echo", "url": url, "credentials": "env:REG"}],
        "engines": [{"name": "dockerd", "kind": "docker", "host": docker_host}],
        "images": ["app:1.0"],
        "matrix": {"engines": ["wire", "dockerd", "skopeo"], "platforms": ["linux/amd64"]},
        "repetitions": 1,
        "warmup": 0,
        "slo": {"success_rate": 0.9},
        **more,
    }


@pytest.mark.promise(
    "secrets", "No client, table, log or page contains a secret, even of a registry that repeats everything"
)
def test_nothing_that_a_registry_echoes_of_a_login_or_a_signed_url_is_in_any_output(
    shell: Shell, docker_host: str, prefect_server: PrefectServer
) -> None:
    with EchoingRegistry(image_of(50_000), USER, PASSWORD) as registry:
        (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec_of(registry.url, docker_host)))
        bad = {**LOGIN, "REG_PASSWORD": f"{PASSWORD}-wrong"}
        done: dict[str, Done] = {
            "preflight": shell.run("preflight", "spec.yaml", "--all", "--junit", "junit.xml", **bad),
            "run": shell.run("run", "spec.yaml", "--skip-preflight", "--log-json", "log.json", **LOGIN),
        }
        done["markdown"] = shell.run("report", "latest", "--format", "md")
    assert {name: ended.code for name, ended in done.items()} == {
        "preflight": 1,
        "run": 1,
        "markdown": 0,
    }, {name: ended.err for name, ended in done.items()}
    assert registry.stored and not any("Authorization" in headers for headers in registry.stored)
    (shell.folder / "spec.yaml").unlink()
    places = hiding_places([shell.folder, prefect_server.home], done["run"])
    places |= {
        f"{name}.{stream}": getattr(ended, stream).encode() for name, ended in done.items() for stream in ("out", "err")
    }
    for secret in (PASSWORD, f"{USER}:{PASSWORD}", f"{PASSWORD}-wrong", f"{USER}:{PASSWORD}-wrong", SIGNATURE):
        assert holding(secret, places) == [], secret
    assert {name: steers(ended.out + ended.err) for name, ended in done.items()} == {name: [] for name in done}
    assert str(shell.folder / "log.json") in holding("dockerd", places), "the search finds what is there"
    assert "AccessDenied" in done["run"].out + done["run"].err + str(places), "the storage service was asked"


def test_may_send_keeps_a_login_off_plain_http_to_another_host_until_the_spec_allows_it(
    shell: Shell, docker_host: str
) -> None:
    """0.0.0.0 is this machine to the kernel, and none of its loopback names to us."""
    with EchoingRegistry(image_of(1_000), USER, PASSWORD) as registry:
        spec = spec_of(
            registry.url.replace("127.0.0.1", "0.0.0.0"),
            docker_host,
            matrix={"engines": ["wire"], "platforms": ["linux/amd64"]},
        )
        (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
        refused = shell.run("run", "spec.yaml", "--no-report", **LOGIN)
        assert set(registry.asked) == {""}
        spec["registries"][0]["plain_http_credentials"] = "send"
        (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
        allowed = shell.run("plan", "spec.yaml", "--json", **LOGIN)
        assert any(sent.startswith("Basic ") for sent in registry.asked)
    assert (refused.code, refused.out) == (1, ""), refused.err
    assert refused.err.splitlines()[-1].startswith("pullbench: preflight failed, ")
    assert "[plain_http]" in refused.err and "`plain_http_credentials:" in refused.err
    assert allowed.code == 0, allowed.err
