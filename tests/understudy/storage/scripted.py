"""A server that says what it is told to say, or nothing, or hangs up."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: In place of a reply: the connection is cut, or stays silent.
CUT, SILENT = b"", None


class _Handler(socketserver.StreamRequestHandler):
    server: ScriptedServer

    def handle(self) -> None:
        while (command := self._command()) is not None:
            if command == b"CLIENT":  # the client introduces itself
                self.wfile.write(b"+OK\r\n")
                continue
            self.server.received.append(command.decode())
            reply = self.server.replies.pop(0) if len(self.server.replies) > 1 else self.server.replies[0]
            if reply == CUT:
                return
            if reply is not SILENT:
                self.wfile.write(reply)

    def _command(self) -> bytes | None:
        line = self.rfile.readline()
        if not line:
            return None
        parts = []
        for _ in range(int(line[1:])):
            size = int(self.rfile.readline()[1:])
            parts.append(self.rfile.read(size + 2)[:-2])
        return parts[0].upper()


class ScriptedServer(socketserver.ThreadingTCPServer):
    """Gives ``replies`` in turn; the last one again and again."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, replies: list[bytes | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = replies
        self.received: list[str] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server_address[1]}/0"


@contextmanager
def scripted(*replies: bytes | None) -> Iterator[ScriptedServer]:
    """A ``ScriptedServer`` for a while."""
    with ScriptedServer(list(replies)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
