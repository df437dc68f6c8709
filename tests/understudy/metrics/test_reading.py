"""What was counted, and how the queues are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory

from understudy import actor
from understudy.brokers.redis import RedisBroker
from understudy.metrics.reading import Executions, gather, read
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def test_counters_are_put_together_by_actor_queue_and_end() -> None:
    found = gather(
        [
            ("a%7Cb|q|success|0.1", 2),
            ("a%7Cb|q|success|inf", 1),
            ("a%7Cb|q|success|-", 4),
            ("a%7Cb|q|success|sum", 1_500_000),
            ("a|q|failure|-", 1),
            ("written by another version", 7),
        ]
    )
    assert found == [
        Executions("a", "q", "failure", count=1),
        Executions("a|b", "q", "success", count=7, seconds=1.5, buckets={0.1: 2, float("inf"): 1}),
    ]
    assert list(found[1].cumulated()) == [(0.1, 2), (float("inf"), 3)]
    assert list(found[0].cumulated()) == [(float("inf"), 0)]


def test_queues_and_workers_are_seen_without_a_search_among_the_keys(
    broker: RedisBroker, drain: Drain, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    @actor(queue_name="work")
    def body(fail: bool) -> None:
        if fail:
            raise ValueError

    for fail in (True, False):
        body.send(fail)
    drain()
    body.send(False)
    body.send_with_options(args=(False,), delay=timedelta(minutes=1))
    faults.exchanges.clear()
    reading = read(broker.storage)
    assert "SCAN" not in faults.exchanges
    assert len(faults.exchanges) < 10
    (queue,) = (queue for queue in reading.queues if queue.name == "work")
    assert (queue.waiting, queue.held, queue.delayed, queue.dead) == (1, 0, 1, 1)
    assert [(one.actor, one.queue, one.end, one.count) for one in reading.executions] == [
        ("body", "work", "failure", 1),
        ("body", "work", "success", 1),
    ]
    assert reading.workers == 1
