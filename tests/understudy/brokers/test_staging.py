"""A large outcome is put aside first, published by its settlement, and moved to the queues in pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from understudy import actor, handle
from understudy.brokers import staging
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults

Drain = Callable[..., int]
#: Small pages, so that a few messages make a large outcome.
PAGE = 5


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "PAGE", PAGE)


def fan_out(count: int, seen: list[int], fail: list[bool]) -> Callable[[int], None]:
    @actor
    def leaf(number: int) -> None:
        seen.append(number)

    def body(times: int) -> None:
        for number in range(times):
            leaf.send_with_options(args=(number,), when="committed")
        if fail and fail.pop():
            raise ValueError("not committed")

    return body


@pytest.mark.parametrize("count", [3, PAGE, 2 * PAGE + 1])
def test_a_fan_out_exists_when_the_body_is_committed_in_order_and_once(
    count: int, broker: RedisBroker, drain: Drain
) -> None:
    seen: list[int] = []
    root = actor(actor_name="root")(fan_out(count, seen, []))
    message = root.send(count)
    drain(limit=count + 10)
    assert handle(message).status == "SUCCESS"
    assert seen == list(range(count))
    assert broker.storage.call("SCARD", broker.storage.keys.outbox) == 0


def test_a_body_that_fails_sends_nothing_of_it(broker: RedisBroker, drain: Drain) -> None:
    seen: list[int] = []
    root = actor(actor_name="root")(fan_out(12, seen, [True]))
    message = root.send(12)
    drain()
    assert handle(message).status == "FAILURE"
    assert seen == []


@pytest.mark.parametrize("exchange", ["stage", "settle", "pump"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_anywhere_sends_all_of_it_or_nothing_and_nothing_twice(
    exchange: str, when: str, broker: RedisBroker, drain: Drain, faults: Faults, freezer: object
) -> None:
    count, seen = 2 * PAGE + 1, list[int]()
    root = actor(actor_name="root")(fan_out(count, seen, []))
    root.send(count)
    faults.kill_at(exchange, nth=2 if exchange != "settle" else 1, when=when)  # type: ignore[arg-type]
    for _ in range(4):
        drain(limit=2 * count)
        freezer.tick(60)  # type: ignore[attr-defined]
    assert seen == list(range(count))


def test_an_outage_while_staging_is_waited_out(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    count, seen = PAGE + 1, list[int]()
    root = actor(actor_name="root")(fan_out(count, seen, []))
    root.send(count)
    faults.fail("stage", times=3)
    faults.fail("stage", nth=2, when="after")
    drain(limit=2 * count)
    assert seen == list(range(count))
