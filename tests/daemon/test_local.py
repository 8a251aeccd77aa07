"""How a dockerd was set up: its command line and its file."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.daemon.local import DEFAULT_FILE, answers_quickly, flags_of, read_settings


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[str]:
    """A socket that this process listens at, as the kernel says of it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        yield f"unix://{tmp_path / 's'}"


def proc(tmp_path: Path, *arguments: str, pid: int | None = None, file: object = None) -> Path:
    """A /proc with a dockerd in it, whose root is a folder of the test's."""
    folder = tmp_path / "proc" / str(os.getpid() if pid is None else pid)
    (folder / "root" / "etc" / "docker").mkdir(parents=True)
    (folder / "cmdline").write_bytes("\0".join(("/usr/bin/dockerd", *arguments, "")).encode())
    if file is not None:
        text = file if isinstance(file, str) else json.dumps(file)
        (folder / "root" / DEFAULT_FILE.lstrip("/")).write_text(text)
    return tmp_path / "proc"


def test_flags_are_read_in_both_spellings() -> None:
    assert flags_of(["--a=1", "--b", "2", "--c", "--d=", "-H", "x", "--a=3"]) == {
        "a": "3",
        "b": "2",
        "c": "true",
        "d": "",
    }


def test_the_process_behind_the_socket_is_asked_and_its_file_through_its_own_root(
    listening: str, tmp_path: Path
) -> None:
    found = read_settings(listening, proc(tmp_path, "--shutdown-timeout=60", file={"max-concurrent-downloads": 12}))
    assert found is not None
    assert found.value("max-concurrent-downloads", 3) == 12
    assert found.value("shutdown-timeout", 15) == "60"
    assert found.value("mtu", 1500) == 1500


def test_a_file_that_is_not_there_sets_nothing_and_one_that_is_broken_is_not_known(
    listening: str, tmp_path: Path
) -> None:
    found = read_settings(listening, proc(tmp_path))
    assert found is not None
    assert (found.in_file, found.unreadable) == ({}, "")
    (tmp_path / "b").mkdir()
    found = read_settings(listening, proc(tmp_path / "b", file="{broken"))
    assert found is not None
    assert found.unreadable.startswith("JSONDecodeError")


def test_behind_systemds_socket_the_only_dockerd_is_taken_and_of_two_neither(listening: str, tmp_path: Path) -> None:
    folder = proc(tmp_path, "--mtu=1400", pid=4)
    found = read_settings(listening, folder)
    assert found is not None
    assert found.flags == {"mtu": "1400"}
    proc(tmp_path, pid=5)
    assert read_settings(listening, folder) is None


def test_a_daemon_that_is_not_a_process_here_keeps_its_settings(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    assert read_settings("tcp://10.0.0.7:2375") is None
    assert read_settings(f"unix://{tmp_path}/none.sock", tmp_path / "proc") is None


def test_a_socket_that_answers_is_a_daemon(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")

        thread = threading.Thread(target=serve)
        thread.start()
        assert answers_quickly(f"unix://{path}", within_s=20)
        thread.join()


def test_a_socket_that_says_nothing_one_that_is_not_there_and_a_remote_one_are_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert not answers_quickly(f"unix://{path}", within_s=0.01)
    assert not answers_quickly(f"unix://{tmp_path}/none.sock")
    assert not answers_quickly("tcp://192.0.2.1:2375")
