"""Nothing that was handed out is forgotten, whatever happens to the reply."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.understudy.brokers.helpers import SOON, pending
from understudy import Idempotency, actor, handle
from understudy.brokers.consumer import Room, StreamConsumer
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults, When

Drain = Callable[..., int]


def declared(broker: RedisBroker) -> None:
    @actor
    def body(x: int) -> int:
        return x


def send(broker: RedisBroker, *numbers: int) -> None:
    for x in numbers:
        broker.actors["body"].send(x)


def read(source: StreamConsumer, steps: int = 6) -> list[int]:
    return [message.args[0] for _ in range(steps) if (message := next(source)) is not None]


def consumer(broker: RedisBroker, prefetch: int = 10) -> StreamConsumer:
    found = broker.consume("default", prefetch=prefetch, timeout=1)
    assert isinstance(found, StreamConsumer)
    return found


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cut_reply_of_a_read_forgets_nothing(broker: RedisBroker, faults: Faults, when: When) -> None:
    declared(broker)
    source = consumer(broker)
    send(broker, 1, 2)
    assert read(source) == [1, 2]
    send(broker, 3, 4, 5)
    faults.fail("fetch", when=when)
    assert sorted(read(source, 9)) == [3, 4, 5]
    assert read(source) == [], "nothing is given out twice"
    assert len(broker.holds) == 5


def test_a_second_cut_while_taking_up_forgets_nothing(broker: RedisBroker, faults: Faults) -> None:
    declared(broker)
    source = consumer(broker, prefetch=250)
    send(broker, *range(230))
    faults.fail("fetch", when="after", nth=2, times=3)
    assert sorted(read(source, 300)) == list(range(230))


def test_an_outage_never_reaches_the_worker(broker: RedisBroker, faults: Faults) -> None:
    declared(broker)
    source = consumer(broker)
    send(broker, 1)
    with faults.outage():
        assert read(source, 4) == []
    assert read(source) == [1]


@pytest.mark.brokers("server")
def test_an_outage_while_the_group_is_made_again_never_reaches_the_worker(broker: RedisBroker, faults: Faults) -> None:
    declared(broker)
    source = consumer(broker)
    assert read(source, 1) == []
    for stream in broker.keys_of("default").streams:
        broker.storage.client.delete(stream)
    faults.fail("XGROUP")
    assert read(source, 4) == []
    send(broker, 1)
    assert read(source) == [1]


def test_a_server_that_has_lost_everything_is_survived(
    broker: RedisBroker, drain: Drain, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    @actor
    def body(lose: bool) -> str:
        if lose:
            for key in list(broker.storage.client.scan_iter(match=broker.storage.keys.pattern())):
                broker.storage.client.delete(key)
        return "done"

    lost = body.send(True)
    drain()
    found = body.send(False)
    drain()
    assert handle(found).get() == "done"
    assert handle(lost).status == "PENDING", "what was lost with the data is not made up"
    assert "has lost it" in caplog.text or "lost its data" in caplog.text


def test_no_more_is_held_than_prefetch_allows(broker: RedisBroker) -> None:
    declared(broker)
    send(broker, *range(10))
    source = consumer(broker, prefetch=2)
    assert read(source, 8) == [0, 1]
    held = next(iter(broker.holds.values()))
    broker.commit(held)
    assert read(source, 8) == [2]


def test_a_consumer_that_is_closed_hands_back_what_nobody_has_seen(broker: RedisBroker) -> None:
    declared(broker)
    send(broker, *range(5))
    source = consumer(broker)
    first = next(source)
    assert first is not None
    source.close()
    assert list(broker.holds.values()) == [first]
    assert read(consumer(broker), 9) == [1, 2, 3, 4]


def test_requeued_messages_wait_at_the_end_of_their_queue(broker: RedisBroker) -> None:
    declared(broker)
    send(broker, 1, 2, 3)
    source = consumer(broker)
    held = [next(source), next(source), next(source)]
    source.requeue(held[:2])
    assert read(source) == [1, 2]
    assert len(broker.holds) == 3


def test_what_was_flushed_after_it_was_handed_out_is_let_go(broker: RedisBroker, faults: Faults) -> None:
    declared(broker)
    source = consumer(broker)
    assert read(source, 1) == []
    send(broker, 1, 2)
    faults.fail("fetch", when="after")
    assert read(source, 1) == []
    broker.flush("default")
    assert read(source, 4) == []
    assert sum(pending(broker.storage, stream) for stream in broker.keys_of("default").streams) == 0
    assert broker.storage.call("ZCARD", broker.keys_of("default").dead) == 0


@pytest.mark.parametrize("nack", [False, True])
def test_ack_and_nack_both_commit_the_outcome_that_was_collected(broker: RedisBroker, nack: bool) -> None:
    declared(broker)
    send(broker, 1)
    source = consumer(broker)
    message = next(source)
    assert isinstance(message, HeldMessage)
    (source.nack if nack else source.ack)(message)
    assert broker.size("default") == 0
    assert broker.holds == {}


def test_a_claim_of_a_message_that_is_taken_up_is_its_own(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency(on_doubt="skip"))
    def body(x: int) -> int:
        ran.append(x)
        return x

    message = body.send(1)
    faults.fail("fetch", when="after")
    for _ in range(3):
        drain()
    assert ran == [1]
    assert handle(message).get() == 1


def test_room_is_waited_for_until_half_of_it_is_free() -> None:
    room = Room()
    for _ in range(10):
        room.add("q")
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(room.wait("q", 10, SOON)))
    waiter.start()
    for _ in range(5):
        assert found == []
        room.remove("q")
    waiter.join(SOON)
    assert found == [5]


def test_room_of_one_queue_is_not_that_of_another() -> None:
    room = Room()
    room.add("a")
    assert room.wait("b", 1, 0) == 1
    assert room.wait("a", 1, 0) == 0
