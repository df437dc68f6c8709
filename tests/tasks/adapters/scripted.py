"""A mail server that says exactly what a test tells it to, for answers that no real server gives on demand."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Line:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")

    def say(self, text: str) -> None:
        self._connection.sendall(f"{text}\r\n".encode())

    def hear(self) -> str:
        return self._file.readline().decode().strip()

    def answer(self, *replies: str) -> None:
        """One reply per command."""
        for reply in replies:
            self.hear()
            self.say(reply)

    def hear_mail(self) -> None:
        while self.hear() != ".":
            pass

    def say_nothing(self) -> None:
        """Until the client gives up."""
        while self._file.readline():
            pass

    def close(self) -> None:
        self._file.close()
        self._connection.close()


@dataclass(frozen=True)
class Address:
    host: str
    port: int


@contextmanager
def scripted(*talks: Callable[[Line], None]) -> Iterator[Address]:
    """Each talk has one connection, in order; when it returns, the connection is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for talk in talks:
                line = Line(listener.accept()[0])
                try:
                    talk(line)
                except OSError:
                    pass  # the client hung up first
                finally:
                    line.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        thread.join(timeout=10)
        assert not thread.is_alive(), "the client never came, or never hung up"
