"""What Dramatiq and its users expect of a broker, on both kinds."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.errors import QueueJoinTimeout
from freezegun.api import FrozenDateTimeFactory

from tests.depth import on_the_server_first
from tests.understudy.brokers.helpers import dead_letters
from understudy import actor, handle
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.outcome import Disposition
from understudy.testing.faults import Faults, When
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


def message(x: int = 0, queue: str = "q", **options: Any) -> Message[Any]:
    return Message(queue_name=queue, actor_name="a", args=(x,), kwargs={}, options=options)


def numbers(broker: RedisBroker, queue: str = "q", prefetch: int = 50) -> list[int]:
    """What a consumer gives out."""
    source = broker.consume(queue, prefetch=prefetch, timeout=1)
    return [found.args[0] for _ in range(prefetch + 3) if (found := next(source)) is not None]


def test_a_queue_is_declared_once_and_known(broker: RedisBroker) -> None:
    before = broker.get_declared_queues()
    broker.declare_queue("q")
    broker.declare_queue("q")
    assert broker.get_declared_queues() - before == {"q"}
    broker.get_declared_queues().clear()
    assert "q" in broker.get_declared_queues(), "it is a copy"


def test_what_is_enqueued_is_consumed_in_order_and_whole(broker: RedisBroker) -> None:
    sent = [broker.enqueue(message(x)) for x in range(5)]
    source = broker.consume("q", prefetch=10, timeout=1)
    found = [one for _ in range(8) if (one := next(source)) is not None]
    assert [one.asdict() for one in found] == [one.asdict() for one in sent]


def test_queues_do_not_meet(broker: RedisBroker) -> None:
    broker.enqueue(message(1, "q"))
    broker.enqueue(message(2, "other"))
    assert numbers(broker, "q") == [1]
    assert numbers(broker, "other") == [2]


def test_a_delayed_message_waits_until_it_is_due_to_the_millisecond(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    broker.declare_queue("q")
    broker.enqueue(message(1), delay=5_000)
    broker.enqueue(message(2), delay=1_000)
    broker.enqueue(message(3), delay=0)
    broker.upkeep.promote_once()
    assert numbers(broker) == [3]
    freezer.tick(0.999)
    broker.upkeep.promote_once()
    assert numbers(broker) == []
    freezer.tick(0.001)
    broker.upkeep.promote_once()
    assert numbers(broker) == [2]
    freezer.tick(4)
    broker.upkeep.promote_once()
    assert numbers(broker) == [1]


def test_the_same_id_may_wait_twice(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    broker.declare_queue("q")
    one = message(7)
    broker.enqueue(one, delay=1_000)
    broker.enqueue(one, delay=2_000)
    assert broker.size("q") == 2
    freezer.tick(2)
    broker.upkeep.promote_once()
    assert numbers(broker) == [7, 7]


def test_an_acknowledged_message_is_gone(broker: RedisBroker) -> None:
    broker.enqueue(message(1))
    source = broker.consume("q", prefetch=1, timeout=1)
    source.ack(held(source))
    assert broker.size("q") == 0
    assert dead_letters(broker, "q") == []
    assert numbers(broker) == []


def test_a_rejected_message_is_a_dead_letter_with_the_original_whole(broker: RedisBroker) -> None:
    sent = broker.enqueue(message(1, note="kept"))
    source = broker.consume("q", prefetch=1, timeout=1)
    found = held(source)
    found.fail()
    source.nack(found)
    assert broker.size("q") == 0
    (letter,) = dead_letters(broker, "q")
    assert Message.decode(base64.b64decode(letter["message"])) == sent


def test_dead_letters_are_kept_for_their_time(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    def bury(x: int) -> None:
        broker.enqueue(message(x))
        source = broker.consume("q", prefetch=1, timeout=1)
        found = held(source)
        found.fail()
        source.nack(found)

    bury(1)
    freezer.tick(broker.dead_ttl - 1)
    bury(2)
    assert len(dead_letters(broker, "q")) == 2
    freezer.tick(2)
    bury(3)
    assert len(dead_letters(broker, "q")) == 2


def test_a_requeued_message_comes_again_and_burns_nothing(broker: RedisBroker) -> None:
    sent = broker.enqueue(message(1))
    source = broker.consume("q", prefetch=1, timeout=1)
    source.requeue([held(source)])
    assert broker.size("q") == 1
    again = held(broker.consume("q", prefetch=1, timeout=1))
    assert again.asdict() == sent.asdict()
    assert again.hold.deaths == 0


def test_a_flushed_queue_has_nothing_waiting_delayed_or_dead(broker: RedisBroker) -> None:
    broker.enqueue(message(9))
    source = broker.consume("q", prefetch=1, timeout=1)
    found = held(source)
    found.fail()
    source.nack(found)
    broker.enqueue(message(1))
    broker.enqueue(message(2), delay=60_000)
    broker.enqueue(message(3, "other"))
    broker.flush("q")
    assert broker.size("q") == 0
    assert dead_letters(broker, "q") == []
    assert numbers(broker, "other") == [3]


def test_all_queues_are_flushed(broker: RedisBroker) -> None:
    for queue in ("q", "other"):
        broker.declare_queue(queue)
        broker.enqueue(message(1, queue))
    broker.flush_all()
    assert broker.size("q") == broker.size("other") == 0


def test_join_waits_for_what_waits_is_delayed_or_is_worked_on(broker: RedisBroker) -> None:
    broker.join("q", timeout=1_000)
    for delay in (None, 60_000):
        broker.enqueue(message(1), delay=delay)
        with pytest.raises(QueueJoinTimeout):
            broker.join("q", interval=1, timeout=5)
        broker.flush("q")
    broker.enqueue(message(2))
    source = broker.consume("q", prefetch=1, timeout=1)
    found = held(source)
    with pytest.raises(QueueJoinTimeout):
        broker.join("q", interval=1, timeout=5)
    source.ack(found)
    broker.join("q", timeout=1_000)


def test_many_messages_go_in_few_round_trips_and_all_arrive(broker: RedisBroker, faults: Faults) -> None:
    faults.exchanges.clear()
    broker.transmit_many((message(x), None if x % 2 else 60.0) for x in range(1_200))
    assert faults.exchanges.count("enqueue") == 3
    assert broker.size("q") == 1_200


def test_a_high_priority_overtakes_ten_thousand_low_ones_that_wait(broker: RedisBroker) -> None:
    broker.transmit_many((message(x, priority=10), None) for x in range(10_000))
    broker.transmit_many([(message(-1, priority=-5), None), (message(-2), None)])
    assert numbers(broker, prefetch=4)[:2] == [-1, -2]


def test_a_delayed_message_keeps_its_priority(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    broker.declare_queue("q")
    broker.enqueue(message(-1, priority=-5), delay=1_000)
    broker.transmit_many((message(x, priority=10), None) for x in range(100))
    freezer.tick(1)
    broker.upkeep.promote_once()
    assert numbers(broker, prefetch=1)[0] == -1


@pytest.mark.deep
@on_the_server_first
def test_low_ones_are_not_starved_by_high_ones_that_keep_coming(broker: RedisBroker, step_worker: StepWorker) -> None:
    ran: list[str] = []

    @actor
    def body(name: str) -> None:
        ran.append(name)
        if name == "high" and len(ran) < 500:
            body.send_with_options(args=("high",), priority=-1)
            body.send_with_options(args=("high",), priority=-1)

    for _ in range(3):
        body.send_with_options(args=("low",), priority=1)
    for _ in range(20):
        body.send_with_options(args=("high",), priority=-1)
    for _ in range(400):
        step_worker.run_once()
    assert ran.count("low") == 3


def test_an_outcome_that_cannot_be_written_is_a_dead_letter_and_its_neighbours_are_committed(
    broker: RedisBroker, drain: Drain
) -> None:
    @actor
    def body(x: int) -> int:
        return x

    messages = [body.send(x) for x in range(3)]
    key = broker.storage.keys.state(messages[1].message_id)
    broker.upkeep.begins = lambda held: None  # type: ignore[method-assign]  # it meets the key first at the commit
    broker.storage.client.set(key, "somebody else's")
    drain()
    assert [handle(messages[0]).get(), handle(messages[2]).get()] == [0, 2]
    assert len(dead_letters(broker)) == 1
    assert "could not be recorded" in dead_letters(broker)[0]["reason"]
    assert broker.size("default") == 0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", ["SADD", "XGROUP", "HSETNX", "fetch", "promote"])
def test_a_cut_at_any_exchange_on_the_way_to_a_worker_loses_nothing(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, exchange: str, when: When
) -> None:
    ran: list[int] = []

    @actor
    def body(x: int) -> None:
        ran.append(x)

    body.send(1)
    body.send_with_options(args=(2,), delay=1_000)
    freezer.tick(1)
    faults.fail(exchange, when=when)
    for _ in range(4):
        drain()
    assert sorted(ran) == [1, 2]


def test_a_message_that_was_decided_on_is_what_is_committed(broker: RedisBroker) -> None:
    broker.enqueue(message(1))
    source = broker.consume("q", prefetch=1, timeout=1)
    found = held(source)
    found.outcome.decide(Disposition.RETRY, delay=0)
    found.options["retries"] = 1
    source.ack(found)
    assert held(broker.consume("q", prefetch=1, timeout=1)).retries == 1


def held(source: Any) -> HeldMessage:
    for _ in range(4):
        found = next(source)
        if found is not None:
            assert isinstance(found, HeldMessage)
            return found
    raise AssertionError("nothing came")
