"""What outcomes count for: exactly what was committed, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import put
from understudy import RateLimit, Retry, actor, chain, revoke
from understudy.brokers.redis import RedisBroker
from understudy.brokers.tally import BUCKETS, arguments, counted
from understudy.errors import HandBack
from understudy.testing.faults import Faults

from .test_committer import hold, settlement

Drain = Callable[..., int]


def counters(broker: RedisBroker) -> dict[str, int]:
    raw: Any = broker.storage.call("HGETALL", broker.storage.keys.counters)
    return {name.decode(): int(value) for name, value in dict(raw).items()}


def executions(broker: RedisBroker) -> dict[str, int]:
    """Without the durations: ``actor|queue|end`` -> how many."""
    found: dict[str, int] = {}
    for name, value in counters(broker).items():
        label, _, bucket = name.rpartition("|")
        if bucket != "sum":
            found[label] = found.get(label, 0) + value
    return found


def test_every_end_is_counted_once_under_its_actor_and_queue(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    handed_back: list[int] = []

    @actor(queue_name="work", retry=Retry(1, on=ValueError, backoff=1))
    def body(how: str) -> None:
        match how:
            case "retry":
                raise ValueError
            case "fail":
                raise KeyError
            case "skip":
                raise SkipMessage  # the body has run, and ended well (S12)
            case "back" if not handed_back:
                handed_back.append(1)
                raise HandBack("not now")

    for how in ("fine", "retry", "fail", "skip", "back"):
        body.send(how)
    revoke(body.send_with_options(args=("revoked",)))
    drain()
    freezer.tick(700)
    drain()
    assert executions(broker) == {
        "body|work|success": 3,
        "body|work|retry": 1,
        "body|work|failure": 2,
        "body|work|handed_back": 1,
    }


def test_coroutines_are_counted_as_well(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor
    async def body() -> None:
        freezer.tick(0.3)

    body.send()
    drain()
    found = counters(broker)
    assert found.pop("body|default|success|sum") == pytest.approx(300_000, rel=1e-3)
    assert found == {"body|default|success|0.5": 1}


def test_durations_go_to_their_buckets_and_into_the_sum(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body(seconds: float) -> None:
        freezer.tick(seconds)

    for seconds in (0, 0.25, 0.3, 100, 5_000):
        body.send(seconds)
    drain()
    found = counters(broker)
    assert found.pop("body|default|success|sum") == pytest.approx(5_100_550_000, rel=1e-6)
    assert found == {f"body|default|success|{end}": 1 for end in ("0.005", "0.25", "0.5", "300", "inf")}


def test_what_did_not_run_has_no_duration(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor(rate_limit=RateLimit(1, per=600))
    def body() -> None: ...

    body.send_with_options(expires=1)
    freezer.tick(2)
    body.send()
    body.send()
    drain()
    found = {name for name in counters(broker) if not name.endswith("|sum")}
    assert found == {"body|default|revoked|-", "body|default|success|0.005", "body|default|handed_back|-"}


def test_what_is_not_committed_is_not_counted(broker: RedisBroker) -> None:
    held = hold(broker, 3)
    broker.storage.call("XACK", held[1].hold.stream, "workers", held[1].hold.entry)
    told: list[str] = []
    batch = []
    for one, seconds in zip(held, (0.1, 0.2, 0.3), strict=True):
        batch.append(settlement(one, told.append))
        batch[-1].counted = counted("a|b", "q", "success", seconds)
    broker.committer._line.extend(batch)
    broker.committer.flush()
    assert told == ["c", "l", "c"]
    assert counters(broker) == {"a%7Cb|q|success|0.1": 1, "a%7Cb|q|success|0.5": 1, "a%7Cb|q|success|sum": 400_000}


def test_a_batch_that_is_sent_again_is_counted_once(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    @actor
    def body() -> None: ...

    body.send()
    faults.fail("settle", when="after")
    drain()
    assert executions(broker) == {"body|default|success": 1}


def test_a_worker_that_dies_around_the_commit_is_counted_for_what_it_committed(
    broker: RedisBroker, drain: Drain, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body() -> None: ...

    for when in ("before", "after"):
        body.send()
        faults.kill_at("settle", when=when)
        for _ in range(4):
            drain()
            freezer.tick(6)
    assert executions(broker) == {"body|default|success": 2}


def test_poison_and_what_cannot_be_read_are_counted_and_make_up_no_names(
    broker: RedisBroker, drain: Drain, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body() -> None:
        faults.kill_worker()

    body.send()
    put(broker, b'{"message_id": "m", "actor_name": "made up"}')
    broker.enqueue(body.message().copy(actor_name="somebody"))
    for _ in range(70):
        drain()
        freezer.tick(6)
    assert executions(broker) == {"body|default|failure": 1, "%3F|default|failure": 2}


def test_a_key_that_holds_something_else_stops_nobody(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body() -> None: ...

    broker.storage.call("SET", broker.storage.keys.counters, "x")
    body.send()
    drain()
    assert broker.size("default") == 0
    broker.storage.call("DEL", broker.storage.keys.counters)


def test_a_batch_says_each_row_once() -> None:
    one = counted("a", "q", "success", 0.001)
    other = counted("a", "q", "success", None)
    told = arguments("3", [one, None, other, one])
    assert told == [
        *("3", "2"),
        *("a|q|success|0.005", "a|q|success|sum", "2", "2000"),
        *("a|q|success|-", "a|q|success|sum", "1", "0"),
        "1:1000 0:0 2:0 1:1000",
    ]
    assert list(BUCKETS) == sorted(BUCKETS)


def test_what_goes_on_as_a_workflow_is_counted_as_such(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def inner() -> None: ...

    @actor
    def outer() -> Any:
        return chain(inner.message())

    outer.send()
    drain()
    assert executions(broker) == {"outer|default|continued": 1, "inner|default|success": 1}
