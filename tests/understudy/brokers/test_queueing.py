"""Putting messages on their queues: which stream, how many in a round trip, and once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dramatiq import Message

from understudy import actor
from understudy.brokers import queueing
from understudy.brokers.redis import RedisBroker
from understudy.errors import MessageTooLarge
from understudy.testing.faults import Faults, When


def message(x: Any = 1, **options: Any) -> Message[Any]:
    return Message(queue_name="default", actor_name="body", args=(x,), kwargs={}, options=options)


@pytest.fixture(autouse=True)
def _declared(broker: RedisBroker) -> None:
    @actor(priority=5)
    def body(x: int) -> None: ...


def lengths(broker: RedisBroker) -> list[int]:
    return [int(broker.storage.call("XLEN", stream)) for stream in broker.keys_of("default").streams]


@pytest.mark.parametrize("count", [1, 2], ids=["by itself", "with another one"])
def test_the_message_says_its_priority_before_its_actor(broker: RedisBroker, count: int) -> None:
    for options in ({"priority": -1}, {"priority": 0}, {}):
        broker.transmit_many((message(**options), None) for _ in range(count))
    assert lengths(broker) == [count, count, count]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", [1, 2], ids=["by itself", "with another one"])
def test_a_call_whose_answer_is_lost_is_not_resent_here(
    broker: RedisBroker, faults: Faults, count: int, when: When
) -> None:
    faults.fail("enqueue", when=when)
    with pytest.raises(Exception, match="did not answer"):
        broker.transmit_many((message(priority=0), None) for _ in range(count))
    assert broker.size("default") == (0 if when == "before" else count)


def test_a_batch_is_bounded_in_number_and_in_size(
    broker: RedisBroker, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "BATCH", 4)
    monkeypatch.setattr(queueing, "BATCH_SIZE", 2_000)

    def source() -> Iterator[tuple[Message[Any], float | None]]:
        yield from [(message(), None)] * 9
        yield from [(message("x" * 900), None)] * 3

    assert [len(batch) for batch in broker.transmit_in_batches(source())] == [4, 4, 2, 1, 1]
    assert faults.exchanges.count("enqueue") == 5
    assert broker.size("default") == 12


def test_one_that_is_too_large_stops_its_batch_and_none_before(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "BATCH", 2)
    broker.settings = broker.settings.model_copy(update={"max_message_size": 1_024})
    with pytest.raises(MessageTooLarge):
        broker.transmit_many((message(x), None) for x in (1, 2, 3, "x" * 2_000))
    assert broker.size("default") == 2


def test_size_counts_what_waits_and_what_is_delayed_and_flush_drops_both(broker: RedisBroker) -> None:
    broker.transmit_many([(message(), None), (message(priority=-1), None), (message(), 60.0), (message(), 0.0)])
    assert broker.size("default") == 4
    assert broker.storage.call("ZCARD", broker.keys_of("default").delayed) == 1
    broker.flush_all()
    assert broker.size("default") == 0


def test_a_child_of_a_fork_sends_under_a_name_of_its_own(broker: RedisBroker) -> None:
    before = (broker.worker_id, broker._producer)
    broker.forked()
    assert broker.worker_id != before[0]
    assert broker._producer != before[1]
