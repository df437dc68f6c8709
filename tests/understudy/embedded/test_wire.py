"""Asking a server how it is, without a client library."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.embedded.wire import Answer, ask, info, ping


class Listener:
    """Answers each connection with the same bytes; None: not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reply: bytes | None = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.open: list[socket.socket] = []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            if connection.recv(1000) == b"bye":
                connection.close()
                return
            if self.reply is None:
                self.open.append(connection)
                continue
            connection.sendall(self.reply)
            connection.close()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.path))
            last.sendall(b"bye")
            self.thread.join()
        for connection in [*self.open, self.socket]:
            connection.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "sock")
    yield listener
    listener.close()


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"+PONG\r\n", Answer.READY),
        (b"-LOADING the data\r\n", Answer.LOADING),
        (b"-BUSY a script runs\r\n", Answer.BUSY),
        (b"", Answer.DOWN),
    ],
)
def test_ping_tells_how_the_server_is(listener: Listener, reply: bytes, answer: Answer) -> None:
    listener.reply = reply
    assert ping(listener.path) is answer


def test_a_server_that_does_not_answer_is_silent(listener: Listener) -> None:
    listener.reply = None
    assert ping(listener.path, timeout=0.05) is Answer.SILENT


def test_where_nobody_listens_the_server_is_down(tmp_path: Path) -> None:
    assert ping(tmp_path / "sock") is Answer.DOWN
    (tmp_path / "sock").touch()
    assert ping(tmp_path / "sock") is Answer.DOWN


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"+OK\r\n", "OK"),
        (b"$5\r\na\r\nbc\r\n", "a\r\nbc"),
        (b"$-1\r\n", ""),
        (b"*2\r\n$3\r\nkey\r\n$5\r\nvalue\r\n", "key\nvalue"),
        (b"-ERR no\r\n", "-ERR no"),
    ],
)
def test_replies_are_read_to_their_end(listener: Listener, reply: bytes, text: str) -> None:
    listener.reply = reply
    assert ask(listener.path, "WHATEVER") == text


def test_info_is_a_dictionary(listener: Listener) -> None:
    listener.reply = b"$39\r\n# Server\r\nprocess_id:7\r\nredis_version:7.2\r\n"
    assert info(listener.path)["process_id"] == "7"
