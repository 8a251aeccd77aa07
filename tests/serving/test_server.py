"""The address of a Prefect server is its own from the moment that it is chosen."""

import socket

import pytest

from pullbench.serving.server import bound


def test_a_free_port_is_taken_for_the_server_and_refuses_until_it_is_up() -> None:
    with bound("127.0.0.1", 0) as listener, socket.socket() as other:
        address = listener.getsockname()
        with pytest.raises(OSError, match="in use"):
            other.bind(address)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)


def test_a_port_where_somebody_listens_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs, pytest.raises(OSError, match="in use"):
        bound("127.0.0.1", theirs.getsockname()[1])
