"""docker-daemon: what it says of a daemon and its settings, on evidence."""

import ipaddress
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509

from pullbench.daemon.docker import DockerDaemon
from pullbench.daemon.local import Settings
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import Local, ObservedFault
from pullbench.preflight.checks import docker_daemon
from pullbench.preflight.checks.docker_daemon import DaemonRegistry, DaemonState, judge, layer_concurrency
from pullbench.preflight.context import CheckContext
from pullbench.preflight.runner import run_checks
from pullbench.registry.keychain import Keychain
from tests.preflight.contexts import spec_of
from tests.registry.sockets import answering, authority, listening

TARGET = Local(name="engine docker")
HOST = "unix:///var/run/docker.sock"
QUICK = Settings(in_file={"max-concurrent-downloads": 10})


def judged(*registries: DaemonRegistry, settings: Settings | None = QUICK, **more: Any) -> list[Finding]:
    known = {"version": "28.2.2", "driver": "overlay2", "log_driver": "json-file", **more}
    return judge(DaemonState(host=HOST, registries=registries, settings=settings, **known), TARGET)


def test_a_daemon_that_is_set_up_as_advised_passes_with_what_was_looked_at() -> None:
    (finding,) = judged()
    assert finding.status is Status.PASS
    for part in ("Docker 28.2.2", "overlay2", "json-file", "max-concurrent-downloads 10", "shutdown-timeout 15 s"):
        assert part in finding.observed


def test_dockers_default_of_three_downloads_warns_with_the_change_and_the_command() -> None:
    (finding,) = judged(settings=Settings(), layers=7)
    assert finding.status is Status.WARN
    assert "downloads is 3" in finding.observed and "7 layers, so 4 wait" in finding.observed
    assert "overlay2" not in finding.observed, "only what is wrong"
    assert finding.expected == "10"
    assert '."max-concurrent-downloads" = 10' in finding.remedy.replace("\\", "")
    assert finding.remedy.startswith("run `sudo sh -c 'test -s /etc/docker/daemon.json || echo {}")
    assert finding.remedy.endswith("&& systemctl reload docker'`")


def test_a_limit_on_the_command_line_is_changed_there_for_dockerd_refuses_both() -> None:
    (finding,) = judged(settings=Settings(flags={"max-concurrent-downloads": "5"}), layers=7)
    assert "`--max-concurrent-downloads=5` on dockerd's command line" in finding.remedy
    assert "daemon.json" not in finding.remedy


@pytest.mark.parametrize(
    ("settings", "downloads"),
    [
        (None, None),
        (Settings(unreadable="permission denied"), None),
        (Settings(), 3),
        (Settings(in_file={"max-concurrent-downloads": 0}), 3),
        (Settings(in_file={"max-concurrent-downloads": "ten"}), 3),
        (Settings(in_file={"max-concurrent-downloads": 12}), 12),
        (Settings(flags={"max-concurrent-downloads": "7"}), 7),
    ],
)
def test_the_limit_is_the_one_that_holds_and_unknown_where_it_cannot_be_read(
    settings: Settings | None, downloads: int | None
) -> None:
    assert layer_concurrency(settings) == downloads


def test_settings_that_cannot_be_seen_pass_and_say_so() -> None:
    (finding,) = judged(settings=None)
    assert finding.status is Status.PASS
    assert "downloads is unknown" in finding.observed


def test_a_limit_without_an_effect_is_no_problem_and_is_not_shown_as_one() -> None:
    (finding,) = judged(
        settings=Settings(), version="28.5.2", driver="overlayfs", containerd=True, limits_downloads=False
    )
    assert finding.status is Status.PASS
    assert "containerd's image store (overlayfs)" in finding.observed
    assert "max-concurrent-downloads 3" not in finding.observed and "29.7" in finding.observed


def test_a_limit_that_holds_in_containerds_store_warns_as_in_the_other() -> None:
    (finding,) = judged(settings=Settings(), version="29.7.2", driver="overlayfs", containerd=True, layers=7)
    assert (finding.status, "downloads is 3" in finding.observed) == (Status.WARN, True)


@pytest.mark.parametrize(
    ("downloads", "layers", "status"),
    [(3, 3, Status.PASS), (3, 4, Status.WARN), (3, None, Status.PASS), (12, 30, Status.PASS), (5, 30, Status.WARN)],
)
def test_a_download_limit_warns_only_where_layers_wait_for_it(
    downloads: int, layers: int | None, status: Status
) -> None:
    settings = Settings(in_file={"max-concurrent-downloads": downloads})
    (finding,) = judged(settings=settings, layers=layers)
    assert finding.status is status


@pytest.mark.parametrize(
    ("containerd", "driver", "better"), [(False, "vfs", "overlay2"), (True, "native", "overlayfs")]
)
def test_a_driver_that_copies_is_changed_for_one_of_the_same_store(containerd: bool, driver: str, better: str) -> None:
    (finding,) = judged(driver=driver, containerd=containerd)
    assert finding.status is Status.WARN
    assert f'= "{better}"' in finding.remedy.replace("\\", "")


def test_a_plain_registry_that_the_daemon_would_speak_tls_to_fails_with_the_change() -> None:
    (finding,) = judged(DaemonRegistry(host="r.example.com:5000", plain_http=True))
    assert finding.status is Status.FAIL
    assert finding.observed.startswith("[plain_http] http://r.example.com:5000")
    assert (finding.code, finding.parameters) == (ErrorCode.PLAIN_HTTP, {"host": "r.example.com:5000"})
    assert '."insecure-registries" += ["r.example.com:5000"]' in finding.remedy.replace("\\", "")
    assert judged(DaemonRegistry(host="r.example.com:5000", plain_http=True, insecure=True))[0].status is Status.PASS


def test_a_registry_whose_certificate_is_not_verified_warns_but_not_one_of_this_machine() -> None:
    (finding,) = judged(DaemonRegistry(host="r.example.com", insecure=True))
    assert finding.status is Status.WARN
    assert "TLS protects nothing" in finding.observed
    assert judged(DaemonRegistry(host="127.0.0.1:5000", insecure=True, loopback=True))[0].status is Status.PASS


def test_a_ca_that_the_daemon_lacks_fails_with_the_command_that_installs_it() -> None:
    fault = ObservedFault(
        code=ErrorCode.TLS_UNTRUSTED, text="TLS to r.example.com: unable to get local issuer certificate"
    )
    (finding,) = judged(DaemonRegistry(host="r.example.com", ca_file="/specs/ca.pem", distrust=fault))
    assert finding.status is Status.FAIL
    assert (finding.code, "r.example.com" in finding.observed) == ("tls_untrusted", True)
    assert "`sudo install -D -m 644 /specs/ca.pem /etc/docker/certs.d/r.example.com/ca.crt`" in finding.remedy
    assert (
        judged(
            DaemonRegistry(host="r.example.com", ca_file="/specs/ca.pem", distrust=fault, insecure=True, loopback=True)
        )[0].status
        is Status.PASS
    )
    assert judged(DaemonRegistry(host="r.example.com", ca_file="/specs/ca.pem"))[0].status is Status.PASS


def test_the_daemons_trust_is_tried_with_the_cas_that_it_has_for_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_daemon, "CERTIFICATES", tmp_path / "certs.d")
    monkeypatch.setattr(Answering, "host", HOST)
    (tmp_path / "ours").mkdir()
    (tmp_path / "others").mkdir()
    ours, others = authority(tmp_path / "ours"), authority(tmp_path / "others", "Other CA")
    anywhere = x509.IPAddress(
        ipaddress.ip_address("0.0.0.0")
    )  # leads to loopback, and dockerd does not take it for that
    with listening(answering("HTTP/1.1 200 OK"), ours.server(tmp_path, host=anywhere)) as port:
        folder = tmp_path / "certs.d" / f"0.0.0.0:{port}"

        def distrust() -> ObservedFault | None:
            (asked,) = probed({}, f"https://0.0.0.0:{port}", ca_file=str(ours.ca_file)).registries
            return asked.distrust

        assert (found := distrust()) is not None and found.code is ErrorCode.TLS_UNTRUSTED
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(others.ca_file.read_bytes())
        assert distrust() is not None, "a file that is there may be of another CA"
        (folder / "ours.crt").write_bytes(ours.ca_file.read_bytes())
        assert distrust() is None
        (folder / "junk.crt").write_text("no certificate")
        assert distrust() is None, "what is no certificate is the daemon's to complain about"


def test_a_proxy_or_a_mirror_of_the_daemons_own_is_no_direct_way() -> None:
    (finding,) = judged(DaemonRegistry(host="r.example.com", by_proxy="http://squid:3128"))
    assert (finding.status, "proxy http://squid:3128" in finding.observed) == (Status.WARN, True)
    assert "NO_PROXY" in finding.remedy
    (finding,) = judged(DaemonRegistry(host="registry-1.docker.io"), mirrors=("https://mirror.example.com/",))
    assert (finding.status, "mirrors" in finding.observed) == (Status.WARN, True)
    (finding,) = judged(DaemonRegistry(host="r.example.com"), mirrors=("https://mirror.example.com/",))
    assert finding.status is Status.PASS


def test_a_slow_storage_driver_warns() -> None:
    (finding,) = judged(driver="vfs")
    assert (finding.status, "vfs" in finding.observed) == (Status.WARN, True)


@pytest.mark.parametrize(
    ("reason", "cure"),
    [
        ("No such file or directory", "sudo systemctl start docker"),
        ("Permission denied (add this user to the group `docker`)", "sudo usermod -aG docker"),
    ],
)
def test_a_daemon_that_does_not_answer_fails_with_what_to_do(reason: str, cure: str) -> None:
    fault = ObservedFault(code=ErrorCode.ENGINE_UNAVAILABLE, text=f"docker {HOST}: no answer from the daemon: {reason}")
    (finding,) = judge(DaemonState(host=HOST, fault=fault), TARGET)
    assert finding.status is Status.FAIL
    assert (finding.code, finding.parameters) == (ErrorCode.ENGINE_UNAVAILABLE, {"daemon": HOST})
    assert cure in finding.remedy
    assert HOST in finding.remedy


class Answering:
    """Stands for a daemon with this `docker info`."""

    host = "tcp://10.0.0.7:2375"

    def __init__(self, info: dict[str, Any] | Exception) -> None:
        self._info = info

    def info(self) -> dict[str, Any]:
        if isinstance(self._info, Exception):
            raise self._info
        return self._info

    def close(self) -> None:
        pass


def probed(info: dict[str, Any] | Exception, url: str = "http://127.0.0.1:5000", **entry: Any) -> DaemonState:
    registry = {"name": "eu", "url": url, "credentials": "anonymous", **entry}
    spec = spec_of(registries=[registry], matrix={"engines": ["docker"]})
    open_it = cast("type[DockerDaemon]", lambda _: Answering(info))
    facts = Facts(host_platform="linux/amd64", offline=True)
    with CheckContext(spec, facts, Keychain(environ={}), daemon=open_it) as context:
        return docker_daemon.probe(context, TARGET)


def test_a_registry_is_insecure_by_its_name_or_by_the_range_of_its_address() -> None:
    config = {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {"127.0.0.1:9": {"Secure": True}}}
    (asked,) = probed({"RegistryConfig": config}).registries
    assert (asked.plain_http, asked.insecure, asked.loopback) == (True, True, True)
    named = {"IndexConfigs": {"192.0.2.7:5000": {"Secure": False}}}
    (asked,) = probed({"RegistryConfig": named}, "https://192.0.2.7:5000").registries
    assert (asked.insecure, asked.loopback) == (True, False)
    assert not probed({}, "https://192.0.2.7:5000").registries[0].insecure


@pytest.mark.parametrize(
    ("no_proxy", "by_proxy"),
    [
        ("", "http://squid:3128"),
        ("192.0.2.7", None),
        ("192.0.2.0/24,other", None),
        ("10.0.0.0/8", "http://squid:3128"),
        ("*", None),
        ("92.0.2.7", "http://squid:3128"),
    ],
)
def test_a_daemons_proxy_counts_unless_its_exceptions_name_the_host(no_proxy: str, by_proxy: str | None) -> None:
    info = {"HttpsProxy": "http://ann:secret@squid:3128", "NoProxy": no_proxy}
    assert probed(info, "https://192.0.2.7").registries[0].by_proxy == by_proxy


@pytest.mark.parametrize(("entry", "excepts"), [("example.com", True), (".example.com", True), ("ample.com", False)])
def test_a_domain_of_no_proxy_covers_what_is_below_it(entry: str, excepts: bool) -> None:
    assert docker_daemon._excepts(entry, "r.example.com") is excepts


def test_a_daemon_far_away_is_not_asked_for_files_of_this_machine(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    found = probed({}, "https://192.0.2.7", ca_file=str(ca))
    assert (found.settings, found.registries[0].distrust) == (None, None)


def test_an_answer_that_breaks_the_check_is_a_check_that_could_not_run() -> None:
    spec = spec_of(matrix={"engines": ["docker"]})
    facts = Facts(host_platform="linux/amd64", offline=True)
    for info, status in (
        (ValueError("junk"), Status.ERROR),
        (RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker x", "no answer"), Status.FAIL),
    ):
        open_it = cast("type[DockerDaemon]", lambda _, info=info: Answering(info))
        with CheckContext(spec, facts, Keychain(environ={}), daemon=open_it) as context:
            (finding,) = run_checks([docker_daemon.CHECK], context)
        assert finding.status is status


def test_a_run_does_not_look_at_the_daemon_of_an_engine_that_is_planned_out() -> None:
    spec = spec_of(matrix={"engines": ["wire", "docker"]})
    facts = Facts(host_platform="linux/amd64", offline=True)
    with CheckContext(spec, facts, Keychain(environ={}), engines={"wire"}) as context:
        (finding,) = run_checks([docker_daemon.CHECK], context)
    assert finding.status is Status.SKIP
