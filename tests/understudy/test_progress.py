"""Progress: throttled, in order, the last value always written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import LeaseLost, SerializationError
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


def slow_down(broker: SettlingBroker) -> None:
    """No second write falls into the interval."""
    broker.settings = broker.settings.model_copy(update={"progress_interval": 3_600.0})


def test_s04_progress_is_the_info_at_once_and_the_result_replaces_it(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[object] = []

    @actor
    def body() -> str:
        for n in (1, 2):
            progress.update(n, 2, step="mail")
            found = handle(message)
            seen.append((found.status, found.info, found.ready()))
        return "done"

    message = body.send()
    drain()
    assert seen == [("PROGRESS", {"current": n, "total": 2, "step": "mail"}, False) for n in (1, 2)]
    assert handle(message).result == "done"
    assert handle(message).progress == {"current": 2, "total": 2, "step": "mail"}


def test_what_was_throttled_last_is_written_with_the_outcome(
    broker: SettlingBroker, drain: Drain, faults: Faults
) -> None:
    slow_down(broker)

    @actor
    def body() -> None:
        for n in range(1, 101):
            progress.update(n, 100)
        assert handle(message).progress == {"current": 1, "total": 100}

    message = body.send()
    drain()
    assert handle(message).progress == {"current": 100, "total": 100}
    assert faults.exchanges.count("progress") == 1


def test_a_failure_keeps_the_last_progress(broker: SettlingBroker, drain: Drain) -> None:
    slow_down(broker)

    @actor
    def body() -> None:
        progress.update(1)
        progress.update(2)
        raise ValueError

    message = body.send()
    drain()
    assert handle(message).status == "FAILURE"
    assert handle(message).progress == {"current": 2}


def test_what_cannot_travel_is_refused_with_its_path(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> None:
        progress.update(1, detail=[object()])

    message = body.send()
    drain()
    with pytest.raises(SerializationError, match=r"progress.*detail"):
        handle(message).get()


def test_outside_of_a_worker_nothing_happens() -> None:
    progress.update(1, 2)


def test_an_outage_hands_the_message_back(broker: SettlingBroker, drain: Drain, faults: Faults) -> None:
    @actor
    def body() -> None:
        progress.update(1)

    message = body.send()
    faults.fail("progress", when="after")
    drain()
    assert handle(message).status == "PROGRESS"
    assert handle(message).retries == 0


def test_a_body_whose_message_was_given_to_another_worker_is_stopped(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    told: list[object] = []

    @actor
    def body() -> str:
        if told:
            return "second"
        broker.abandon()  # it is paused, and its lease runs out
        told.append(None)
        second = StepWorker(broker, faults)
        for _ in range(3):
            second.drain()
            freezer.tick(10)
        try:
            progress.update(1)
        except LeaseLost as error:
            told.append(error)
            raise
        return "first"

    message = body.send()
    step_worker.drain()
    assert len(told) == 2
    assert (handle(message).get(), handle(message).progress) == ("second", None)
