"""A receiver that answers drop by drop, each in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

#: Seconds between two drops.
PAUSE = 0.02


@dataclass
class Drip:
    """Attributes:
    drops: how many it has sent; ``most`` at the most.
    hung_up: set when it has sent all, or the caller has hung up.
    """

    port: int = 0
    drops: int = 0
    most: int = 1_500
    hung_up: threading.Event = field(default_factory=threading.Event)


@contextmanager
def dripping(begins: bytes, drop: bytes) -> Iterator[Drip]:
    """Answers one caller with ``begins``, and ``drop`` after ``drop``."""
    state, over = Drip(), threading.Event()

    def answer(server: socket.socket) -> None:
        with suppress(OSError):
            caller, _ = server.accept()
            with caller, suppress(OSError):
                caller.sendall(begins)
                while state.drops < state.most and not over.wait(PAUSE):
                    caller.sendall(drop)
                    state.drops += 1
        state.hung_up.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        state.port = server.getsockname()[1]
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            over.set()
            thread.join(timeout=5)
