"""What runs by the clock: each job as an actor, and as a periodic job that a scheduler sends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.mail import MemoryMailer
from tasks.periodic import daily_tasks, hourly_tasks, monthly_tasks, weekly_tasks
from tasks.utils.retry_policies import STORE_RETRY
from tests.matrix.cases.analytics import RollUpEvents
from tests.matrix.cases.cleanup import CleanUp
from tests.matrix.entries import Entry, matrix_entry
from tests.matrix.excuses import NO_COLLECTION, SHORT_WORK
from tests.tasks.conftest import Store
from understudy import chain, handle
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.errors import TimeLimitExceeded
from understudy.handle import Handle
from understudy.scheduler.loop import Scheduler
from understudy.scheduler.overview import Overview

Drain = Callable[..., int]

#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 301
TRIES = 1 + (STORE_RETRY.max_retries or 0)


class _Outside:
    """What a job reaches for, in its place: it works, or is away for a while, or takes too long."""

    def __init__(self, module: ModuleType, name: str, patch: pytest.MonkeyPatch) -> None:
        self._real = getattr(module, name)
        self.asked, self.away = 0, 0
        self.error: Exception = ConnectionError("away")
        self.on_ask: Callable[[], object] = lambda: None
        patch.setattr(module, name, self)

    def __call__(self, *args: Any) -> Any:
        self.asked += 1
        self.on_ask()
        if self.away:
            self.away -= 1
            raise self.error
        return self._real(*args)


class _Job(Entry):
    """The cases of a job: it is sent by a scheduler, and what it reaches for is away."""

    _actor: Actor[[], Any]
    _module: ModuleType
    _reaches: str = "dead_letters"
    _tokens = count()

    partial_failure = NO_COLLECTION
    progress = SHORT_WORK

    def retry(
        self,
        broker: RedisBroker,
        drain: Drain,
        freezer: FrozenDateTimeFactory,
        smtp: MemoryMailer,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        outside = self._outside(monkeypatch)
        outside.away = 1
        job = self._tick(broker)
        drain()
        assert job.status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        assert job.status == "SUCCESS"
        assert outside.asked == 2

        outside.away = TRIES
        hopeless = self._tick(broker)
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert (hopeless.status, hopeless.retries) == ("FAILURE", TRIES - 1)
        with pytest.raises(ConnectionError, match="away"):
            hopeless.get()

        later = self._tick(broker)  # what failed for good stops no later run
        drain()
        assert later.status == "SUCCESS"

    def timeout(
        self,
        broker: RedisBroker,
        drain: Drain,
        freezer: FrozenDateTimeFactory,
        smtp: MemoryMailer,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        limit = self._actor.declared.time_limit
        assert limit is not None
        self._outside(monkeypatch).on_ask = lambda: freezer.tick(limit + 1)
        job = self._tick(broker)
        drain()
        with pytest.raises(TimeLimitExceeded, match=f"time limit of {limit:g} s"):
            job.get()
        assert job.retries == 0

    def chain_stop(
        self, broker: RedisBroker, drain: Drain, smtp: MemoryMailer, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outside = self._outside(monkeypatch)
        outside.away, outside.error = 1, ValueError("never")
        found = chain(self._actor.message(), self._actor.message()).run()
        drain()
        first = found.parent
        assert first is not None
        assert [first.status, found.status] == ["FAILURE", "FAILURE"]
        with pytest.raises(ValueError, match="never"):
            found.get()
        assert outside.asked == 1  # the later step never ran

    def idempotency(
        self, broker: RedisBroker, drain: Drain, smtp: MemoryMailer, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outside = self._outside(monkeypatch)
        first = self._actor.send_with_options(idempotency_key="the same")
        drain()
        self._actor.send_with_options(message_id=first.message_id, idempotency_key="the same")
        again = self._actor.send_with_options(idempotency_key="the same")
        drain()
        assert outside.asked == 1
        assert handle(again).get() == handle(first).get() is not None

    def _outside(self, monkeypatch: pytest.MonkeyPatch) -> _Outside:
        return _Outside(self._module, self._reaches, monkeypatch)

    def _tick(self, broker: RedisBroker) -> Handle:
        """A scheduler sends it, now."""
        name, token = self._actor.actor_name, f"t{next(self._tokens)}"
        scheduler = Scheduler(broker)
        scheduler.run_once()
        assert Overview(broker.storage).want("run-now", name, who="a test", token=token) == "done"
        scheduler.told()
        scheduler.run_once()
        scheduler.leadership.resign()
        return handle(f"{name}@run-now-{token}")


@matrix_entry("alert_on_dead_letters")
@matrix_entry("periodic:alert_on_dead_letters")
class AlertOnDeadLetters(_Job):
    _actor, _module = hourly_tasks.alert_on_dead_letters, hourly_tasks


@matrix_entry("mail_digest")
@matrix_entry("periodic:mail_digest")
class MailDigest(_Job):
    _actor, _module = daily_tasks.mail_digest, daily_tasks


@matrix_entry("report_week")
@matrix_entry("periodic:report_week")
class ReportWeek(_Job):
    _actor, _module = weekly_tasks.report_week, weekly_tasks


@matrix_entry("archive_exports")
@matrix_entry("periodic:archive_exports")
class ArchiveExports(_Job):
    _actor, _module, _reaches = monthly_tasks.archive_exports, monthly_tasks, "open_database"


# What it does is the matter of its domain, whose cases hold whoever sends it.
matrix_entry("periodic:roll_up_events")(RollUpEvents)
matrix_entry("periodic:clean_up")(CleanUp)
