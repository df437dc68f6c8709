"""Nothing that was handed out is forgotten, whatever happens to the reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.understudy.brokers.helpers import pending
from understudy import Idempotency, actor, handle
from understudy.brokers.consumer import StreamConsumer
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.brokers.workqueue import WorkQueue
from understudy.holds import GROUP
from understudy.storage.client import Storage
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


def test_who_comes_back_under_another_name_tells_of_a_queue_that_is_lost(
    broker: RedisBroker, caplog: pytest.LogCaptureFixture
) -> None:
    source = consumer(broker)
    assert read(source, 1) == []
    broker.lease_lost()
    assert read(source, 1) == []
    assert "the server has lost it" not in caplog.text
    for stream in broker.keys_of("default").streams:
        broker.storage.client.delete(stream)
    broker.lease_lost()
    assert read(source, 1) == []
    assert "queue default: the server has lost it" in caplog.text


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
    broker.settings = broker.settings.model_copy(update={"prefetch": (("", 1),)})
    for priority in (-1, 0, 1):
        for x in range(10 * (priority + 1), 10 * (priority + 2)):
            broker.actors["body"].send_with_options(args=(x,), priority=priority)
    source = consumer(broker)
    assert read(source, 8) == [0, 1], "one thread, and one more"
    held = next(iter(broker.holds.values()))
    broker.commit(held)
    assert read(source, 8) == [2]


def test_strict_counting_starves_nobody(broker: RedisBroker) -> None:
    declared(broker)
    broker.settings = broker.settings.model_copy(update={"prefetch": (("", 0),)})
    broker.actors["body"].send_with_options(args=(99,), priority=9)
    for x in range(40):
        broker.actors["body"].send_with_options(args=(x,), priority=-1)
    source = consumer(broker)
    found = []
    for _ in range(20):
        found += read(source, 1)
        for held in list(broker.holds.values()):
            broker.commit(held)
    assert 99 in found
    assert [x for x in found if x != 99] == list(range(19))


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


def test_after_a_reconnect_what_the_server_holds_for_this_worker_is_looked_at(broker: RedisBroker) -> None:
    """A server that lost its last writes has an entry pending again whose outcome it had confirmed."""
    declared(broker)
    source = consumer(broker)
    send(broker, 1)
    assert read(source) == [1]
    (held,) = broker.holds.values()
    broker.storage.call("SREM", broker.storage.keys.queues, "default")
    broker._let_go(held)
    assert read(source) == []
    broker.reader = Storage(broker.storage.client, namespace=broker.storage.keys.namespace)
    broker.reader.connections = 1
    try:
        assert read(source) == [1]
        assert broker.storage.call("SISMEMBER", broker.storage.keys.queues, "default") == 1
        assert read(source) == [], "once"
    finally:
        broker.reader = None


def test_a_queue_is_on_record_before_its_streams_are_made(broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a crash of the server takes away behind some command, reapers find every stream that is left."""
    on_record: list[bool] = []
    made = broker.ensure_streams

    def looked(streams: Iterable[str]) -> bool:
        on_record.append(bool(broker.storage.call("SISMEMBER", broker.storage.keys.queues, "default")))
        return made(streams)

    monkeypatch.setattr(broker, "ensure_streams", looked)
    declared(broker)
    assert read(consumer(broker), 1) == []
    assert on_record == [True]


def test_a_delivery_that_the_server_has_forgotten_is_not_taken_for_another_one(broker: RedisBroker) -> None:
    declared(broker)
    source = consumer(broker)
    send(broker, 1, 2)
    assert read(source) == [1, 2]
    broker.storage.call("XGROUP", "SETID", broker.keys_of("default").streams[1], GROUP, "0")
    assert read(source) == []
    for held in list(broker.holds.values()):
        broker.commit(held)
    assert broker._room._held["default"] == 0
    assert broker.size("default") == 0


def test_what_comes_in_after_the_worker_was_told_to_stop_goes_back(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(broker)
    source = consumer(broker)
    assert read(source) == []
    send(broker, 1)
    taken = broker.read

    def late(*args: Any, **kwargs: Any) -> Any:
        broker.draining.set()
        return taken(*args, **kwargs)

    monkeypatch.setattr(broker, "read", late)
    assert read(source, 1) == []
    assert broker.holds == {}
    assert broker.size("default") == 1


def test_a_worker_is_handed_what_was_fetched_all_at_once_but_for_what_it_may_not_run(broker: RedisBroker) -> None:
    declared(broker)
    work = WorkQueue()
    source = StreamConsumer(broker, broker.keys_of("default"), prefetch=10, timeout=1, work=work)
    send(broker, 1, 2)
    broker.enqueue(broker.actors["body"].message(3).copy(options={"eta": 0}))
    broker.enqueue(broker.actors["body"].message(4).copy(actor_name="a stranger"))
    send(broker, 5)
    # Dramatiq delays the one, and does not know the actor of the other.
    assert read(source) == [3, 4]
    assert [work.get_nowait().message.args[0] for _ in range(work.qsize())] == [1, 2, 5]
    assert len(broker.holds) == 5
