"""What all command-line engines do alike, shown on skopeo with a script in its place."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pullbench.engines.base import Clock, PullOutcome, PullRequest, SystemClock
from pullbench.engines.command.engine import Brought, CommandFailed, verify
from pullbench.engines.command.process import last_words
from pullbench.engines.command.skopeo import SkopeoEngine
from pullbench.engines.fake import ScriptedClock
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.platform import Platform
from pullbench.model.spec import EngineEntry
from tests.engines.command_world import INDEX, KEYCHAIN, Image, put_script, setup

IMAGE = Image()


class Bench:
    """An engine whose client is a script; `{layout}` in it is an image's layout, `{notes}` a folder to write to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        self.notes = folder / "notes"
        self.notes.mkdir()
        self._layout = IMAGE.layout(folder / "layout")
        self.engines: list[SkopeoEngine] = []

    def engine(self, script: str, clock: Clock | None = None) -> SkopeoEngine:
        bring = f'for last; do :; done; cp -r {self._layout}/. "${{last#oci:}}"'
        body = script.replace("BRING", bring).replace("NOTES", str(self.notes))
        put_script(self._folder / "bin", "skopeo", body, self._monkeypatch)
        made = SkopeoEngine(EngineEntry(name="copy", kind="skopeo"), keychain=KEYCHAIN, clock=clock or SystemClock())
        self.engines.append(made)
        return made

    def pull(self, script: str, request: PullRequest | None = None, clock: Clock | None = None) -> PullOutcome:
        engine, asked = self.engine(script, clock), request or IMAGE.request()
        engine.open_trial(setup(asked))
        outcome = engine.pull(asked).verified()
        engine.close_trial()
        return outcome

    def note(self, name: str) -> str:
        return (self.notes / name).read_text()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    yield made
    for engine in made.engines:
        engine.close()


def test_a_pull_that_brings_the_image_has_its_bytes_and_layers(bench: Bench) -> None:
    outcome = bench.pull("BRING")
    assert outcome.ok, outcome.error
    assert outcome.bytes == IMAGE.manifest.size_bytes
    assert (outcome.layers, outcome.layers_cached, outcome.layers_shared, outcome.attempts) == (2, 0, 0, 1)
    assert outcome.transfers == () and outcome.auth_s is None and outcome.download_s is None


def test_what_a_pull_brought_is_looked_at_when_no_pull_is_under_way_any_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, looked = IMAGE.request(), list[str]()
    engine = bench.engine("BRING")
    look = engine._brought

    def noticed(request: PullRequest, store: Path) -> Brought:
        looked.append(store.name)
        return look(request, store)

    monkeypatch.setattr(engine, "_brought", noticed)
    engine.open_trial(setup(asked))
    outcome = engine.pull(asked)
    assert (outcome.ok, outcome.bytes, looked) == (True, None, [])
    verified = outcome.verified()
    assert looked == ["0-1"]
    assert (verified.ok, verified.bytes) == (True, IMAGE.manifest.size_bytes)
    assert verified.duration_s == outcome.duration_s


def test_the_client_sees_no_proxy_and_no_configuration_of_ours(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "ME_PASSWORD", "REGISTRY_AUTH_FILE"):
        monkeypatch.setenv(name, "ours")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/our-roots.pem")
    bench.pull("env > NOTES/env; BRING")
    seen = dict(line.split("=", 1) for line in bench.note("env").splitlines())
    assert "ours" not in seen.values()
    assert seen["SSL_CERT_FILE"] == "/etc/our-roots.pem"
    assert seen["HOME"] == seen["TMPDIR"] == seen["XDG_RUNTIME_DIR"] != os.environ.get("HOME")


def test_a_forward_proxy_is_given_to_the_client_of_its_route_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    route = {"proxy": "squid", "forward_url": "http://squid:3128"}
    bench.pull("env > NOTES/env; BRING", IMAGE.request(**route))
    seen = bench.note("env").splitlines()
    assert {line for line in seen if "_proxy=" in line.lower()} == {
        "HTTP_PROXY=http://squid:3128",
        "HTTPS_PROXY=http://squid:3128",
    }


def test_a_login_for_the_forward_proxy_is_in_the_clients_environment_and_not_among_its_arguments(bench: Bench) -> None:
    route = {
        "proxy": "squid",
        "forward_url": "http://squid:3128",
        "forward_credentials": "env:ODD",
        "forward_sends_in_clear": True,
    }
    bench.pull('env > NOTES/env; echo "$@" > NOTES/arguments; BRING', IMAGE.request(**route))
    assert "HTTPS_PROXY=http://some%40body:p%2F%3A%40%C3%A9@squid:3128" in bench.note("env").splitlines()
    assert "p%2F" not in bench.note("arguments")


def test_credentials_are_in_a_file_for_our_eyes_and_nowhere_else(bench: Bench) -> None:
    script = (
        'echo "$@" > NOTES/arguments; env > NOTES/env; ls -l "$HOME/auth.json" > NOTES/mode; '
        'cp "$HOME/auth.json" NOTES/; echo "$HOME" > NOTES/home; BRING'
    )
    bench.pull(script, IMAGE.request(credentials="env:ME"))
    assert json.loads(bench.note("auth.json"))["auths"]["127.0.0.1:5000"]["auth"] == "c29tZWJvZHk6czNjcmV0LXBhc3N3b3Jk"
    assert bench.note("mode").startswith("-rw------- ")
    for secret in ("s3cret-password", "c29tZWJvZHk6"):
        assert secret not in bench.note("arguments") + bench.note("env")
    assert not Path(bench.note("home").strip()).exists()


def test_credentials_that_cannot_be_read_are_a_usage_error_that_leaves_nothing(bench: Bench) -> None:
    engine = bench.engine("BRING")
    with pytest.raises(UsageError, match="NOBODY_USERNAME"):
        engine.open_trial(setup(IMAGE.request(credentials="env:NOBODY")))
    assert engine._trial is None


def test_a_pull_ends_in_time(bench: Bench) -> None:
    outcome = bench.pull("echo 'still reading' >&2; sleep 60", IMAGE.request(timeout_s=0.2, retries=3))
    assert (outcome.error_code, outcome.attempts) == (ErrorCode.TIMEOUT, 1)
    assert (outcome.error or "").startswith("not finished after 0.2 s")
    assert (outcome.error or "").endswith(": still reading")


def test_a_cancel_ends_pulls_under_way_and_later_ones(bench: Bench) -> None:
    os.mkfifo(bench.notes / "begun")
    asked = IMAGE.request(retries=3)
    engine = bench.engine("echo > NOTES/begun; sleep 60")
    engine.open_trial(setup(asked))
    canceller = threading.Thread(target=lambda: ((bench.notes / "begun").read_bytes(), engine.cancel()))
    canceller.start()
    outcomes = [engine.pull(asked), engine.pull(asked)]
    canceller.join()
    assert [outcome.error_code for outcome in outcomes] == [ErrorCode.CANCELLED] * 2
    assert [outcome.attempts for outcome in outcomes] == [1, 1]


FAILS_FIRST = 'if mkdir NOTES/failed 2>/dev/null; then echo "read: connection reset by peer" >&2; exit 1; fi; '


def test_an_attempt_that_may_pass_is_made_again_in_a_store_of_its_own(bench: Bench) -> None:
    script = 'for last; do :; done; echo "$last" >> NOTES/stores; ls "${last#oci:}" >> NOTES/held; ' + FAILS_FIRST
    outcome = bench.pull(script + "BRING", IMAGE.request(retries=2), ScriptedClock())
    assert (outcome.ok, outcome.attempts) == (True, 2)
    assert outcome.bytes is None, "what the first attempt received is not known"
    assert (outcome.layers, outcome.layers_cached) == (2, 0)
    assert len(set(bench.note("stores").split())) == 2
    assert bench.note("held") == ""
    assert outcome.duration_s == pytest.approx(0.5)


def test_nothing_is_tried_again_that_cannot_pass_or_has_no_time_left(bench: Bench) -> None:
    missing = bench.pull('echo "manifest unknown" >&2; exit 1', IMAGE.request(retries=2), ScriptedClock())
    late = bench.pull(FAILS_FIRST + "BRING", IMAGE.request(retries=2, timeout_s=0.5), ScriptedClock())
    assert (missing.error_code, missing.attempts) == (ErrorCode.NOT_FOUND, 1)
    assert (late.error_code, late.attempts) == (ErrorCode.RESET, 1)


def test_a_back_off_ends_with_a_cancel(bench: Bench) -> None:
    class Cancelling(ScriptedClock):
        engine: SkopeoEngine

        def sleep(self, seconds: float) -> None:
            self.engine.cancel()
            super().sleep(seconds)

    clock, asked = Cancelling(), IMAGE.request(retries=2)
    clock.engine = bench.engine(FAILS_FIRST + "BRING", clock)
    clock.engine.open_trial(setup(asked))
    assert clock.engine.pull(asked).error_code is ErrorCode.CANCELLED


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ("exit 2", ErrorCode.UNKNOWN, "skopeo exited with 2"),
        ("kill -KILL $$", ErrorCode.ENGINE_UNAVAILABLE, "signal 9"),
        ("true", ErrorCode.DIGEST_MISMATCH, "skopeo wrote"),
    ],
)
def test_a_client_that_breaks_is_told_as_such(bench: Bench, script: str, code: ErrorCode, text: str) -> None:
    outcome = bench.pull(script)
    assert outcome.error_code is code
    assert text in (outcome.error or "")


def test_a_client_that_is_gone_in_the_middle_is_unavailable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, asked = bench.engine("BRING"), IMAGE.request()
    engine.open_trial(setup(asked))
    monkeypatch.setenv("PATH", str(bench.notes))
    outcome = engine.pull(asked)
    assert outcome.error_code is ErrorCode.ENGINE_UNAVAILABLE
    assert "cannot start skopeo" in (outcome.error or "")


def test_a_client_that_is_not_installed_is_a_fact_that_names_the_package(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = bench.engine("true")
    monkeypatch.setenv("PATH", str(bench.notes))
    found = engine.facts()
    assert "not installed" in (found.unavailable or "")
    assert "apt-get install skopeo" in (found.unavailable or "")


def test_a_client_that_does_not_work_is_a_fact_too(bench: Bench) -> None:
    found = bench.engine("echo 'Error: no such library' >&2; exit 127").facts()
    assert found.version is None and (found.unavailable or "").endswith(": no such library")


def test_the_version_is_recorded_without_its_ornament(bench: Bench) -> None:
    assert bench.engine("echo skopeo version 1.9.3").facts().version == "1.9.3"


def test_pull_belongs_between_opening_and_closing(bench: Bench) -> None:
    engine = bench.engine("BRING")
    with pytest.raises(RuntimeError, match="before open_trial"):
        engine.pull(IMAGE.request())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda: Image(architecture="arm64").request(), ErrorCode.DIGEST_MISMATCH),
        (lambda: IMAGE.request(platform="linux/arm64"), ErrorCode.PLATFORM_MISSING),
    ],
)
def test_an_image_that_is_not_the_one_meant_is_no_success(
    bench: Bench, change: Callable[[], PullRequest], code: ErrorCode
) -> None:
    assert bench.pull("BRING", change()).error_code is code


@pytest.mark.parametrize(
    ("config", "asked", "code"),
    [
        ({}, "v6", ErrorCode.PLATFORM_MISSING),
        ({}, "v2", ErrorCode.DIGEST_MISMATCH),  # an image for v1 serves a machine of v2, but it is not the one
        ({"variant": "v7"}, "v6", ErrorCode.PLATFORM_MISSING),
    ],
)
def test_the_image_that_the_plan_chose_is_right_whatever_variant_its_config_has(
    config: dict[str, str], asked: str, code: ErrorCode
) -> None:
    architecture = "amd64" if asked == "v2" else "arm"
    image = Image(architecture=architecture, **config)
    came = Platform(os="linux", architecture=architecture, variant=config.get("variant"))
    layers = {layer.digest: layer.size_bytes for layer in image.manifest.layers}
    request = image.request(platform=f"linux/{architecture}/{asked}")
    verify(request, Brought(image_id=image.manifest.config.digest, platform=came, layers=layers), "client")
    with pytest.raises(CommandFailed) as raised:
        verify(request, Brought(image_id=INDEX, platform=came, layers=layers), "client")
    assert raised.value.code is code


def test_a_commands_output_is_read_whole(bench: Bench) -> None:
    assert bench.engine("seq 20000").facts().version == "\n".join(str(number) for number in range(1, 20001))


def test_output_that_is_too_long_to_be_read_is_told_as_such(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pullbench.engines.command.engine._WHOLE_BYTES", 1 << 20)
    found = bench.engine("yes | head -c 2000000").facts()
    assert found.version is None and "more than 1 MiB" in (found.unavailable or "")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("", ""),
        ("\n \n", ""),
        ("Error: no\n", "no"),
        ("ctr: failed: not found\n", "failed: not found"),
        ('time="x" level=fatal msg="reading \\"a\\": no such host"\n', 'reading "a": no such host'),
        ('time="x" level=warning msg="Failed, retrying in 1s ... (1/3). Error: reset"', "reset"),
        ("Error: first\nsome later remark\n", "first"),
        (
            "Error: reading manifest: errors:\ndenied: no\nunauthorized: log in\n",
            "reading manifest: errors: denied: no unauthorized: log in",
        ),
        ('time="x" level=fatal msg="broken \\x escape"', "broken \\x escape"),
        ("nothing special", "nothing special"),
        ("\x1b[31mred\x00\x07 text", "[31mred text"),
        (
            'Error: Get "https://user:pw@s3.example.com/blob?X-Amz-Signature=abc&scope=a": EOF',
            'Get "https://s3.example.com/blob?X-Amz-Signature=REDACTED&scope=a": EOF',
        ),
    ],
)
def test_the_last_words_of_a_client_are_one_line_without_secrets(stderr: str, words: str) -> None:
    assert last_words(stderr) == words


def test_last_words_are_bounded() -> None:
    assert len(last_words("Error: " + "x" * 9000)) == 1000
