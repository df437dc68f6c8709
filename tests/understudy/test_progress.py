"""Progress: throttled, in order, the last value always written."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy import actors_with_items
from understudy import Retry, actor, each, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import LeaseLost, SerializationError
from understudy.execution import current
from understudy.progress import Reporter
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


def test_the_last_value_may_come_from_elsewhere(broker: SettlingBroker, drain: Drain) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 3_600.0})
    notes = [b'{"current":5}']

    @actor
    def body() -> None:
        progress.update(1)
        reporter = Reporter.of(current())
        assert reporter is not None
        reporter.attach(lambda: notes.pop() if notes else None)
        reporter.flush()
        assert handle(message).progress == {"current": 5}
        notes.append(b'{"current":6}')
        reporter.detach()
        reporter.flush()
        notes.append(b'{"current":7}')
        reporter.flush()

    message = body.send()
    drain()
    assert handle(message).progress == {"current": 6}


# -- the bar ---------------------------------------------------------------------------------------------------


def test_advancing_counts_up_from_what_was_said(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[object] = []

    @actor
    def body() -> None:
        for n in (1, 1, 3):
            progress.advance(n)
            seen.append(handle(message).progress)
        progress.update(2, 10, step="mail")
        progress.advance()
        seen.append(handle(message).progress)

    message = body.send()
    drain()
    assert seen == [{"current": 1}, {"current": 2}, {"current": 5}, {"current": 3, "total": 10, "step": "mail"}]


def test_an_attempt_continues_the_bar(broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    seen: list[object] = []

    @actor(retry=Retry(2, backoff=1, jitter="none"))
    def body() -> None:
        attempt = len(seen)
        if attempt == 0:
            progress.update(0, 6)
        seen.append(handle(message).progress)
        for _ in range(2):
            progress.advance()
        if attempt < 2:
            raise ValueError

    message = body.send()
    for shown in (2, 4, 6):
        drain()
        assert handle(message).progress == {"current": shown, "total": 6}, "it is shown between attempts, too"
        freezer.tick(10)
    assert seen == [{"current": 0, "total": 6}, {"current": 2, "total": 6}, {"current": 4, "total": 6}]
    assert handle(message).status == "SUCCESS"


def test_an_attempt_that_says_so_begins_anew(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(retry=Retry(1, backoff=1))
    def body() -> None:
        first = not handle(message).retries
        progress.update(2 if first else 1, 6)
        progress.advance()
        if first:
            raise ValueError

    message = body.send()
    drain()
    freezer.tick(5)
    drain()
    assert handle(message).progress == {"current": 2, "total": 6}


def test_what_an_earlier_message_of_the_same_id_came_to_is_not_continued(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body() -> None:
        progress.advance()

    for _ in range(2):
        message = body.send_with_options(message_id="m")
        drain()
    assert handle(message).progress == {"current": 1}


def test_an_attempt_in_a_process_of_its_own_continues_the_bar_too(broker: SettlingBroker, drain: Drain) -> None:
    message = actors_with_items.advances.send()
    drain(isolation="process")
    assert handle(message).status == "SUCCESS"
    assert handle(message).progress == {"current": 3}


def test_within_an_execution_the_bar_does_not_go_back(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[object] = []

    @actor
    def body() -> None:
        for current_item, total in [(3, 9), (2, 9), (4, 9), (1, 5), (0, 5), (1, 5)]:
            progress.update(current_item, total)
            seen.append((handle(message).progress or {})["current"])

    message = body.send()
    drain()
    assert seen == [3, 3, 4, 1, 0, 1]


def test_a_second_loop_has_a_bar_of_its_own(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[object] = []

    @actor
    def body() -> None:
        for name in ("first", "second"):
            for _ in each(range(3), key=str, name=name):
                seen.append((handle(message).progress or {}).get("current"))

    message = body.send()
    drain()
    assert seen == [None, 1, 2, 3, 1, 2]


def test_advancing_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match=r"update\(0\)"):
        progress.advance(-1)
    progress.advance(1)  # outside of a worker nothing happens


def test_rate_and_time_left_are_computed_for_readers(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    seen: list[object] = []

    @actor(retry=Retry(1, backoff=1))
    def body() -> None:
        for n in range(3):
            progress.update(n * 10, 100)
            seen.append((handle(message).rate, handle(message).eta))
            freezer.tick(2)
        raise ValueError

    message = body.send()
    assert (handle(message).rate, handle(message).eta) == (None, None)
    drain()
    assert seen == [(None, None), (5.0, 18.0), (5.0, 16.0)]
    assert (handle(message).status, handle(message).rate, handle(message).eta) == ("RETRY", None, None)
    freezer.tick(5)
    drain()
    assert seen[3:] == seen[:3], "another execution is measured by itself"


def test_a_thousand_items_of_a_millisecond_cost_a_handful_of_round_trips(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    """With the default interval, ten a second: at half a millisecond each they are 0.5 % of the work."""
    interval = type(broker.settings).model_fields["progress_interval"].default
    broker.settings = broker.settings.model_copy(update={"progress_interval": interval})

    @actor
    def body() -> None:
        for _ in range(1_000):
            freezer.tick(0.001)
            progress.advance()

    message = body.send()
    drain()
    assert faults.exchanges.count("progress") <= 12
    assert faults.exchanges.count("read") <= 1
    assert handle(message).progress == {"current": 1_000}


def test_a_call_takes_less_than_a_fiftieth_of_an_item_of_a_millisecond(broker: SettlingBroker, drain: Drain) -> None:
    """In CPU time of this thread, the best of a few rounds, so that a busy machine does not count."""
    item, calls, rounds = 0.001, 1_000, []

    @actor
    def body() -> None:
        for _ in range(5):
            before = time.thread_time()
            for _ in range(calls):
                progress.advance()
            rounds.append((time.thread_time() - before) / calls)

    broker.settings = broker.settings.model_copy(update={"progress_interval": 60.0})  # what is written is counted above
    body.send()
    drain()
    assert min(rounds) < item / 50, f"{min(rounds) * 1e6:.1f} us a call"
