from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from understudy.embedded import EmbeddedServer, locks
from understudy.embedded.layout import Layout

from .helpers import LINGER

MakeServer = Callable[..., EmbeddedServer]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Makes servers below ``tmp_path``; afterwards none of their processes is left."""
    made: list[EmbeddedServer] = []

    def make(name: str = "a", **options: Any) -> EmbeddedServer:
        server = EmbeddedServer(tmp_path / name, **{"linger": LINGER, **options})
        made.append(server)
        return server

    yield make
    for server in made:
        server.release()
    for server in made:
        layout = Layout.at(server.directory)
        for lock in (layout.supervisor_lock, layout.server_lock):
            for pid in locks.holders(os.stat(lock)) if lock.exists() else []:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(make_server: MakeServer) -> EmbeddedServer:
    return make_server()
