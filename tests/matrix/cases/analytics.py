"""Analytics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import analytics_tasks
from tasks.adapters import events
from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.analytics_tasks import recompute_roll_ups, record_events, roll_up_events
from tasks.utils.retry_policies import STORE_RETRY
from tests.matrix.entries import Entry, matrix_entry
from tests.matrix.excuses import NO_COLLECTION
from tests.matrix.stops import assert_chain_stops
from tests.tasks.conftest import Store
from understudy import handle
from understudy.errors import TimeLimitExceeded

Drain = Callable[..., int]

#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 301
TRIES = 1 + (STORE_RETRY.max_retries or 0)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def sales(count: int) -> list[Any]:
    """So many events, one an hour."""
    at = [NOON - timedelta(hours=n) for n in range(1, count + 1)]
    return [{"id": f"s{n}", "name": "sale", "occurred_at": at[n]} for n in range(count)]


class Work:
    """Watches ``record`` or ``roll_up`` of the events; the ``fail_at``-th call fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.done: list[Any] = []
        self.fail_at = 0
        self.before: Callable[[], object] = lambda: None
        real = getattr(events, name)

        def watched(transaction: Any, *args: Any, **kwargs: Any) -> Any:
            self.before()
            if self.fail_at and len(self.done) + 1 >= self.fail_at:
                raise DatabaseUnavailable("away")
            result = real(transaction, *args, **kwargs)
            self.done.append((args, kwargs))
            return result

        monkeypatch.setattr(events, name, watched)
        monkeypatch.setattr(analytics_tasks, "BATCH", 1)


def assert_is_retried(send: Callable[[], Any], work: Work, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    """The second piece of work fails: once, then always."""
    work.fail_at = 2
    message = send()
    drain()
    assert handle(message).status == "RETRY"
    work.fail_at = 0
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(message).status == "SUCCESS"
    assert len(work.done) == 3  # none twice

    work.fail_at = len(work.done) + 1
    hopeless = send()
    for _ in range(TRIES):
        drain()
        freezer.tick(LONG_ENOUGH)
    assert handle(hopeless).status == "FAILURE"
    assert handle(hopeless).retries == TRIES - 1
    with pytest.raises(DatabaseUnavailable, match="away"):
        handle(hopeless).get()


def assert_is_stopped(message: Any, drain: Drain, limit: int) -> None:
    drain()
    with pytest.raises(TimeLimitExceeded, match=f"time limit of {limit} s"):
        handle(message).get()
    assert handle(message).retries == 0


def assert_shows_progress(message: Any, work: Work, drain: Drain) -> None:
    seen: list[Any] = []
    work.before = lambda: seen.append((handle(message).status, handle(message).info))
    drain()
    assert seen[1:] == [("PROGRESS", {"current": 1, "total": 3}), ("PROGRESS", {"current": 2, "total": 3})]
    assert handle(message).progress == {"current": 3, "total": 3}


def assert_is_done_once(send: Callable[..., Any], work: Work, drain: Drain) -> None:
    first = send(idempotency_key="march")
    drain()
    send(message_id=first.message_id)
    same_key = send(idempotency_key="march")
    drain()
    assert len(work.done) == 3
    assert handle(first).get() == handle(same_key).get()


@matrix_entry("record_events")
class RecordEvents(Entry):
    def retry(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert_is_retried(lambda: record_events.send(sales(3)), Work(monkeypatch, "record"), drain, freezer)

    def timeout(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Work(monkeypatch, "record").before = lambda: freezer.tick(301)
        assert_is_stopped(record_events.send(sales(3)), drain, 300)

    def partial_failure(self, drain: Drain, store: Store) -> None:
        message = record_events.send([*sales(2), {"id": "x"}])  # type: ignore[typeddict-item]
        drain()
        result = handle(message).get()
        assert (result["recorded"], result["bad"]) == (2, 1)
        assert result["bad_events"][0]["index"] == 2

    def chain_stop(self, drain: Drain, store: Store, channels: MemoryChannels) -> None:
        assert_chain_stops(record_events.message({}), TypeError, drain, channels)

    def progress(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        assert_shows_progress(record_events.send(sales(3)), Work(monkeypatch, "record"), drain)

    def idempotency(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        assert_is_done_once(
            lambda **options: record_events.send_with_options(args=(sales(3),), **options),
            Work(monkeypatch, "record"),
            drain,
        )


@matrix_entry("roll_up_events")
class RollUpEvents(Entry):
    def retry(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _three_hours(store)
        work = Work(monkeypatch, "roll_up")
        work.fail_at = 2
        message = roll_up_events.send()
        drain()
        assert handle(message).status == "RETRY"
        work.fail_at = 0
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get() == {"periods": 2, "roll_ups": 2}
        assert len(work.done) == 3

        _three_hours(store, "more")
        work.fail_at = len(work.done) + 1
        hopeless = roll_up_events.send()
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).status == "FAILURE"
        assert handle(hopeless).retries == TRIES - 1
        with pytest.raises(DatabaseUnavailable, match="away"):
            handle(hopeless).get()

    def timeout(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _three_hours(store)
        Work(monkeypatch, "roll_up").before = lambda: freezer.tick(1_801)
        assert_is_stopped(roll_up_events.send(), drain, 1_800)

    partial_failure = NO_COLLECTION

    def chain_stop(self, drain: Drain, store: Store, channels: MemoryChannels, monkeypatch: pytest.MonkeyPatch) -> None:
        _three_hours(store)
        Work(monkeypatch, "roll_up").before = _refuse
        assert_chain_stops(roll_up_events.message(), DatabaseRefused, drain, channels)

    def progress(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        _three_hours(store)
        assert_shows_progress(roll_up_events.send(), Work(monkeypatch, "roll_up"), drain)

    def idempotency(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        _three_hours(store)
        assert_is_done_once(roll_up_events.send_with_options, Work(monkeypatch, "roll_up"), drain)


@matrix_entry("recompute_roll_ups")
class RecomputeRollUps(Entry):
    def retry(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _three_hours(store)
        assert_is_retried(_recompute, Work(monkeypatch, "roll_up"), drain, freezer)

    def timeout(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Work(monkeypatch, "roll_up").before = lambda: freezer.tick(1_801)
        assert_is_stopped(_recompute(), drain, 1_800)

    partial_failure = NO_COLLECTION

    def chain_stop(self, drain: Drain, store: Store, channels: MemoryChannels) -> None:
        naive = datetime(2026, 3, 1)
        assert_chain_stops(recompute_roll_ups.message("hour", naive, naive), ValueError, drain, channels)

    def progress(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        assert_shows_progress(_recompute(), Work(monkeypatch, "roll_up"), drain)

    def idempotency(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        assert_is_done_once(_recompute, Work(monkeypatch, "roll_up"), drain)


def _three_hours(store: Store, name: str = "s") -> None:
    """Three hours are over and not rolled up; their day is not over, whatever the time is now."""
    found = [events.Event(f"{name}{n}", "sale", NOON.timestamp() - n * 3_600) for n in (1, 2, 3)]
    with events.prepare(store.database).transaction() as transaction:
        events.record(transaction, found)
        transaction.execute("DELETE FROM understudy_stale WHERE span = 'day'")


def _recompute(**options: Any) -> Any:
    return recompute_roll_ups.send_with_options(args=("hour", NOON - timedelta(hours=3), NOON), **options)


def _refuse() -> None:
    raise DatabaseRefused("no such table")
