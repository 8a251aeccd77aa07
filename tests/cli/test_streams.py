"""What cannot be printed any more ends no command, and is told where its reader had not just had enough."""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from pullbench.cli.terminal import streams


@contextlib.contextmanager
def guarded(stdout: TextIO | None) -> Iterator[None]:
    """Standard output is this, standard error a text in memory. No fixture: pytest has its own before a test begins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", io.StringIO())
        streams.guard()
        yield
        streams.finish()


@contextlib.contextmanager
def piped() -> Iterator[int]:
    """Standard output is a pipe; gives the end to read from, which whoever reads closes."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stdout, guarded(stdout):
        yield reading


def read_to_the_end(pipe: int) -> tuple[threading.Thread, bytearray]:
    """Reads in a thread of its own until nobody writes any more."""
    got = bytearray()

    def read() -> None:
        while some := os.read(pipe, 65_536):
            got.extend(some)
        os.close(pipe)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, got


@pytest.mark.parametrize("blocking", [True, False])
def test_all_of_a_text_arrives_also_where_it_is_more_than_a_pipe_takes_at_once(blocking: bool) -> None:
    with piped() as pipe:
        os.set_blocking(sys.stdout.fileno(), blocking)
        reader, got = read_to_the_end(pipe)
        print("é" * 200_000)
        assert streams.finish() == ""
    reader.join()
    assert got.decode() == "é" * 200_000 + "\n"


@pytest.mark.promise(
    "accidents", "Reader of the output gone, such as `head`: the run continues to its end, with its own exit code"
)
def test_onward_write_lets_no_reader_that_has_had_enough_end_anything() -> None:
    with piped() as pipe:
        print("one", flush=True)
        assert os.read(pipe, 10) == b"one\n"
        os.close(pipe)
        for _ in range(3):
            print("more", flush=True)
        assert streams.finish() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_what_a_full_disk_did_not_take_is_told() -> None:
    with Path("/dev/full").open("w") as full, guarded(full):
        print("a line", flush=True)
        print("another", flush=True)
        assert streams.finish() == "/dev/full: No space left on device"


def test_a_process_without_a_standard_output_has_one_that_leads_nowhere() -> None:
    with guarded(None), sys.stdout:
        print("a line", flush=True)
        assert streams.finish() == ""
