"""A real receiver of webhooks: keeps what it was sent, and answers as a test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """Attributes:
    answers: status and headers of the next answers; 200 when there is none left.
    seen: method, path, headers and body of every request.
    silent: set to let requests wait until it is unset.
    """

    port: int = 0
    scheme: str = "http"
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    silent: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hook", host: str = "localhost") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextmanager
def receiver(
    certificate: str | None = None, key: str | None = None, *, address: str = "127.0.0.1"
) -> Iterator[Receiver]:
    """A receiver on a free port of ``address``; with a ``certificate`` over TLS."""
    state = Receiver(scheme="http" if certificate is None else "https")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            state.seen.append(("POST", self.path, {name.lower(): text for name, text in self.headers.items()}, body))
            while state.silent:
                if state.done.wait(0.02):
                    return
            status, headers = state.answers.pop(0) if state.answers else (200, {})
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests look at what was seen."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what some tests are about."""

    server = Server((address, 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.done.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
