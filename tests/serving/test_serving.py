"""What `pullbench serve` decides before and beside a running server."""

import ipaddress
import shutil
import socket
import urllib.request
from pathlib import Path

import pytest

from pullbench.cli.commands.serve import database_url, serve
from pullbench.errors import UsageError
from pullbench.serving.logs import last_words, log_file
from pullbench.serving.project import find_checkout
from pullbench.serving.reports_server import ReportsServer
from tests.cli.command_lines import parsed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "flows").mkdir(parents=True)
    shutil.copy(ROOT / "prefect.yaml", folder)
    (folder / "flows" / "some.py").write_text("ONE = 1\n")
    return folder


def test_the_current_folder_is_the_checkout_where_it_is_one_and_else_the_installed_code(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    assert find_checkout(None).folder == checkout.resolve()
    monkeypatch.chdir(tmp_path)
    assert find_checkout(None).folder == ROOT
    with pytest.raises(UsageError, match=r"no prefect\.yaml in .*--checkout"):
        find_checkout(tmp_path)


def test_pools_and_queues_are_those_that_the_deployments_name() -> None:
    found = find_checkout(ROOT)
    assert "local" in found.pools
    assert ("local", "measuring") in found.queues


def test_a_checkout_is_deployed_again_when_its_deployments_or_its_code_change(checkout: Path) -> None:
    before = find_checkout(checkout).fingerprint()
    assert find_checkout(checkout).fingerprint() == before
    (checkout / "flows" / "some.py").write_text("ONE = 2\n")
    changed = find_checkout(checkout).fingerprint()
    (checkout / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text() + "\n")
    assert len({before, changed, find_checkout(checkout).fingerprint()}) == 3


@pytest.mark.parametrize("text", ["deployments: [{name: x}]", "deployments: 3", "name: [", "- 1"])
def test_a_prefect_yaml_that_cannot_be_used_is_a_usage_error(checkout: Path, text: str) -> None:
    (checkout / "prefect.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"every deployment needs name, entrypoint and work_pool\.name"):
        find_checkout(checkout)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://me:secret@db/prefect", "postgresql+asyncpg://me:secret@db/prefect"),
        ("postgres://db/prefect", "postgresql+asyncpg://db/prefect"),
        ("postgresql+asyncpg://db/prefect", "postgresql+asyncpg://db/prefect"),
        ("sqlite:////var/prefect.db", "sqlite+aiosqlite:////var/prefect.db"),
    ],
)
def test_a_database_is_given_by_its_plain_url(given: str, taken: str) -> None:
    assert database_url(given) == taken


def test_a_database_that_prefect_cannot_use_is_refused_without_repeating_its_password() -> None:
    with pytest.raises(UsageError, match="postgresql://USER@HOST/NAME") as refused:
        database_url("mysql://me:secret@db/prefect")
    assert "secret" not in str(refused.value)


def test_a_taken_port_is_a_usage_error_before_anything_is_started(checkout: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"--port {port}: .*or give --port"):
            serve(checkout=checkout, host="127.0.0.1", port=port, reports_port=0, database=None, pools=["local"])
        with pytest.raises(UsageError, match=rf"--reports-port {port}: something listens there already"):
            ReportsServer(checkout, "127.0.0.1", port)


def test_reports_are_served_as_they_are_and_are_never_kept_by_a_browser(tmp_path: Path) -> None:
    (tmp_path / "reports" / "run").mkdir(parents=True)
    (tmp_path / "reports" / "run" / "index.html").write_text("<p>the report</p>")
    (tmp_path / "secret").write_text("x")
    with ReportsServer(tmp_path / "reports", "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.port}"
        with urllib.request.urlopen(f"{base}/run/index.html") as answer:
            assert answer.read() == b"<p>the report</p>"
            assert answer.headers["Cache-Control"] == "no-cache"
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{base}/../secret")
        refused.value.close()


def test_the_former_log_is_kept_and_the_last_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert last_words("server").startswith("it said nothing")
    log_file("server").write_text("first\nthe reason\n\n")
    assert last_words("server") == f"the reason ({tmp_path}/pullbench/server.log)"
    assert log_file("server").read_text() == ""
    assert (tmp_path / "pullbench" / "server.log.1").read_text() == "first\nthe reason\n\n"


@pytest.mark.parametrize(
    ("words", "parameter"), [(["serve"], "host"), (["metrics", "serve"], "listen")], ids=["serve", "metrics serve"]
)
@pytest.mark.promise("listening", "`serve` and `metrics serve` listen on loopback unless an address is given")
def test_the_default_addresses_of_what_is_served_are_loopback(words: list[str], parameter: str) -> None:
    _, parameters = parsed(words)
    assert ipaddress.ip_address(parameters[parameter].partition(":")[0]).is_loopback
