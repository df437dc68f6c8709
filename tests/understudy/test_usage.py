from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory

from understudy import ConcurrencyLimit, RateLimit, actor
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker
from understudy.usage import Usage, Waiting, usage


def test_limits_say_how_they_are_used_and_who_waits_until_when(
    broker: RedisBroker, drain: Callable[..., int], freezer: FrozenDateTimeFactory
) -> None:
    @actor(rate_limit=RateLimit(2, per=1, key="mail"))
    def paced() -> None: ...

    @actor(rate_limit=RateLimit(3, per=60, kind="window"))
    def windowed() -> None: ...

    windowed.send()
    drain()
    freezer.tick(timedelta(milliseconds=1))
    sent = [paced.send() for _ in range(3)]
    drain()
    mail, window = usage(broker.storage)
    waiting = (Waiting("default", sent[1].message_id, 0.5), Waiting("default", sent[2].message_id, 1.0))
    assert mail == Usage("rate:key:mail", "bucket", 2, 1.0, 1, 2, waiting)
    assert window == Usage("rate:actor:windowed", "window", 3, 60.0, 1, 0, ())
    for _ in range(2):
        freezer.tick(timedelta(milliseconds=500))
        drain()
    assert next(iter(usage(broker.storage))).waiting == 0


def test_a_limit_of_places_says_who_has_one(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    seen: list[Usage] = []

    @actor(concurrency_limit=ConcurrencyLimit(1, key="db"))
    def body(outer: bool) -> None:
        if outer:
            body.send(False)
            StepWorker(broker, faults).drain()
            seen.extend(usage(broker.storage))

    body.send(True)
    step_worker.drain()
    assert [(one.name, one.kind, one.most, one.used, one.waiting) for one in seen] == [
        ("places:key:db", "places", 1, 1, 1)
    ]
    (after,) = usage(broker.storage)
    assert (after.used, after.waiting) == (0, 0)


def test_where_nobody_has_asked_there_is_nothing(broker: RedisBroker) -> None:
    assert list(usage(broker.storage)) == []
