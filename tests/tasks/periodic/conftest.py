from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle, handle
from understudy.scheduler.loop import Scheduler
from understudy.scheduler.overview import Overview

Tick = Callable[..., Handle]


@pytest.fixture
def tick(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> Tick:
    """``tick("mail_digest")``: the scheduler sends the job as for now; the handle of its message."""

    def send(name: str) -> Handle:
        scheduler = Scheduler(broker)
        scheduler.run_once()  # it registers its jobs
        token = f"{freezer().isoformat()}"
        assert Overview(broker.storage).want("run-now", name, who="a test", token=token) == "done"
        scheduler.told()
        scheduler.run_once()
        return handle(f"{name}@run-now-{token}")

    return send


@pytest.fixture(autouse=True)
def readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people read the reports."""
    monkeypatch.setenv("REPORTS_TO", "ada@lovelace.example,grace@hopper.example")
