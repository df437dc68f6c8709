from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.execution import current
from understudy.progress import Reporter
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def test_every_execution_has_a_reporter(broker: RedisBroker, drain: Drain) -> None:
    seen: list[Reporter | None] = []

    @actor
    def body() -> None:
        seen.append(Reporter.of(current()))

    body.send()
    body.send()
    drain()
    assert all(isinstance(reporter, Reporter) for reporter in seen)
    assert seen[0] is not seen[1]
    assert Reporter.of(None) is None


def test_a_body_that_says_nothing_has_none(broker: RedisBroker, drain: Drain) -> None:
    seen: list[Reporter | None] = []

    @actor
    def body() -> None:
        execution = current()
        assert execution is not None
        seen.append(Reporter.made(execution))
        assert Reporter.of(execution) is Reporter.of(execution) is Reporter.made(execution)

    body.send()
    drain()
    assert seen == [None]


@pytest.mark.parametrize(("threads", "writes"), [(False, 1), (True, 0)], ids=["step by step", "in a worker"])
def test_a_body_of_a_moment_shows_its_progress_with_its_outcome(
    broker: RedisBroker,
    drain: Drain,
    faults: Faults,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    threads: bool,
    writes: int,
) -> None:
    monkeypatch.setattr(RedisBroker, "keeps_up", threads)
    broker.settings = broker.settings.model_copy(update={"progress_interval": 0.1})

    @actor
    def body() -> None:
        freezer.tick(0.001)  # frozen, so that it is a moment on a busy machine too
        progress.update(1, total=2)

    message = body.send()
    drain()
    assert handle(message).progress == {"current": 1, "total": 2}
    assert faults.exchanges.count("progress") == writes


def test_a_longer_body_shows_it_while_it_runs(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisBroker, "keeps_up", True)
    broker.settings = broker.settings.model_copy(update={"progress_interval": 0.1})
    seen: list[object] = []

    @actor
    def body() -> None:
        freezer.tick(0.01)
        progress.update(1, total=2)
        seen.append(handle(message).progress)

    message = body.send()
    drain()
    assert seen == [{"current": 1, "total": 2}]
