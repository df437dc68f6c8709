from __future__ import annotations

import logging
from collections.abc import Iterator

import dramatiq.broker
import pytest
import structlog

from .helpers import Here


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """Runs commands in this process; what they install and configure is undone."""
    monkeypatch.setattr(dramatiq.broker, "global_broker", dramatiq.broker.global_broker)
    for name in ("REDIS_URL", "BROKER_URL", "LOG_LEVEL", "LOG_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Here(monkeypatch, capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def on_server(here: Here, server_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Here:
    """Commands that talk to the session's server, in a namespace of this test."""
    monkeypatch.setenv("REDIS_URL", server_url)
    monkeypatch.setenv("UNDERSTUDY_NAMESPACE", f"cli-{abs(hash(request.node.nodeid))}")
    return here
