"""The numbers of the house."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory

from tasks.adapters import reports
from understudy import actor, clock
from understudy.brokers.redis import RedisBroker

Drain = Callable[..., int]


def test_dead_letters_are_counted_by_actor_within_their_time(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(broker=broker, queue_name="mail")
    def one() -> None:
        raise ValueError

    @actor(broker=broker)
    def other() -> None:
        raise ValueError

    one.send()
    drain()
    freezer.tick(100)
    start = clock.utc(clock.now())
    for _ in range(2):
        one.send()
    other.send()
    drain()
    freezer.tick(100)
    end = clock.utc(clock.now())
    other.send()
    drain()
    rows = reports.dead_letters(start, end)
    assert rows == [{"queue": "mail", "actor": "one", "dead": 2}, {"queue": "default", "actor": "other", "dead": 1}]
    assert reports.as_text(rows) == "     2  one (queue mail)\n     1  other (queue default)"
    assert reports.dead_letters(end + timedelta(hours=1), end + timedelta(hours=2)) == []
    assert reports.as_text([]) == "none"
