"""A client's process: its end is seen, its group is ended, its output is bounded."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.engines.base import SystemClock
from pullbench.engines.command import process as command_process
from pullbench.engines.command.process import Command, Ended, StopSignal, run
from pullbench.errors import ErrorCode

CLOCK = SystemClock()


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    made = StopSignal()
    yield made
    made.close()


def shell(script: str, *, timeout_s: float = 20.0, stop: StopSignal | None = None, **command: str) -> Ended:
    made = Command(arguments=("sh", "-c", script), environment={"PATH": os.environ["PATH"]}, **command)
    return run(made, clock=CLOCK, deadline=CLOCK.monotonic() + timeout_s, stop=stop)


def is_alive(pid: str) -> bool:
    """Whether it still runs; one that has ended and waits for init to take note does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_a_process_that_ends_gives_its_code_and_both_outputs() -> None:
    ended = shell("echo out; echo err >&2; exit 3")
    assert (ended.returncode, ended.stopped, ended.was_trying_again) == (3, None, False)
    assert (ended.stdout, ended.stderr) == ("out\n", "err\n")


def test_it_inherits_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert "HTTP_PROXY" not in shell("env").stdout


def test_a_process_that_does_not_heed_sigterm_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_process, "GRACE_S", 0.1)
    ended = shell("trap '' TERM; sleep 60 & echo $!; echo $$; while :; do wait; done", timeout_s=0.3)
    assert (ended.stopped, ended.returncode) == (ErrorCode.TIMEOUT, -signal.SIGKILL)
    assert [is_alive(pid) for pid in ended.stdout.split()] == [False, False]


def test_a_process_that_heeds_sigterm_has_time_to_tidy_up() -> None:
    ended = shell("trap 'echo tidied; exit 7' TERM; while :; do sleep 0.01; done", timeout_s=0.3)
    assert (ended.stopped, ended.returncode, ended.stdout) == (ErrorCode.TIMEOUT, 7, "tidied\n")


def test_a_child_that_outlives_its_parent_is_not_waited_for_but_ended() -> None:
    ended = shell("sleep 60 & echo $!; exit 0", timeout_s=20)
    assert (ended.stopped, ended.returncode) == (None, 0)
    assert not is_alive(ended.stdout.strip())


def test_a_stop_from_elsewhere_ends_it_as_cancelled(stop: StopSignal, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    reader = threading.Thread(target=lambda: ((tmp_path / "begun").read_bytes(), stop.set()))
    reader.start()
    ended = shell(f"echo yes > {tmp_path}/begun; sleep 60", stop=stop)
    reader.join()
    assert ended.stopped is ErrorCode.CANCELLED
    assert shell("sleep 60", stop=stop).stopped is ErrorCode.CANCELLED


def test_of_endless_output_the_end_is_kept() -> None:
    ended = shell(
        "i=0; while [ $i -lt 3000 ]; do echo 'a line of noise, again and again' >&2; i=$((i+1)); done; echo last >&2"
    )
    assert ended.stderr.endswith("last\n")
    assert ended.stderr.startswith("…"), "the beginning is lost"
    assert len(ended.stderr) <= 16 * 1024 + 1
    assert not ended.stdout_is_cut


def test_output_that_is_read_is_kept_whole_up_to_its_own_bound() -> None:
    command = Command(arguments=("seq", "20000"), environment={"PATH": os.environ["PATH"]})
    deadline = CLOCK.monotonic() + 20
    whole = run(command, clock=CLOCK, deadline=deadline, keep_bytes=1 << 20)
    assert (whole.stdout.split()[0], whole.stdout_is_cut) == ("1", False)
    cut = run(command, clock=CLOCK, deadline=deadline, keep_bytes=1000)
    assert (len(cut.stdout), cut.stdout.split()[-1], cut.stdout_is_cut) == (1000, "20000", True)


def test_one_that_says_it_will_try_again_is_ended_there() -> None:
    ended = shell("echo 'Failed, trying again: reset' >&2; sleep 60", trying_again="trying again")
    assert (ended.was_trying_again, ended.stopped) == (True, None)
    assert ended.stderr == "Failed, trying again: reset\n"


def test_one_that_is_ended_there_has_failed_even_if_it_ends_well() -> None:
    script = "trap 'exit 0' TERM; echo 'trying again' >&2; while :; do sleep 0.01; done"
    ended = shell(script, trying_again="trying again")
    assert (ended.was_trying_again, ended.returncode) == (True, 0)


def test_a_line_that_is_typed_is_read_whole_and_echoed_nowhere() -> None:
    secret = "pa\x03ss\x04wörd \\ $x '\""
    ended = shell('[ -t 0 ] && IFS= read -r line && printf %s "$line"', typed=secret)
    assert ended.stdout == secret
    assert ended.stderr == ""


def test_an_interruption_leaves_no_process(tmp_path: Path) -> None:
    class Interrupted(SystemClock):
        calls = 0

        def monotonic(self) -> float:
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n") and not self.calls:
                self.calls = 1
                raise KeyboardInterrupt
            return super().monotonic()

    script = f"echo $$ > {tmp_path}/pid; while :; do echo; sleep 0.01; done"
    clock = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run(
            Command(arguments=("sh", "-c", script), environment={"PATH": os.environ["PATH"]}),
            clock=clock,
            deadline=clock.monotonic() + 20,
        )
    assert not is_alive((tmp_path / "pid").read_text().strip())


def test_a_program_that_is_not_there_raises_and_leaves_no_descriptor_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        run(
            Command(arguments=("/no/such/program",), environment={}, typed="x"),
            clock=CLOCK,
            deadline=CLOCK.monotonic() + 1,
        )
    shell("true", typed="x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
