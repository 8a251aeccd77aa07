"""A daemon that nobody named is looked at only if it answers at once."""

import socket
import threading
from pathlib import Path

from pullbench.daemon.quick import answers_quickly


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
