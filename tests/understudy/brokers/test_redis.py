"""The transport on a real server, and Dramatiq's own worker with its threads on top of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import PriorityQueue
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq import Message
from dramatiq.errors import ConnectionClosed
from dramatiq.worker import _ConsumerThread

from understudy import Idempotency, Retry, actor, each, handle
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults

pytestmark = pytest.mark.brokers("server")

#: Seconds within which a thread must be done; none of these tests waits so long unless it fails.
SOON = 20.0


@contextmanager
def worker(broker: RedisBroker, threads: int = 2) -> Iterator[dramatiq.Worker]:
    broker.storage.can_wait = True
    running = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def keys(broker: RedisBroker, queue: str = "default") -> Any:
    """Entries on the queue, and messages that are kept for it."""
    name = f"{broker.namespace}:{queue}"
    return broker.client.lrange(name, 0, -1), broker.client.hlen(f"{name}.msgs")


def test_the_same_entry_is_put_once(broker: RedisBroker) -> None:
    message = Message[object](queue_name="default", actor_name="a", args=(), kwargs={}, options={})
    for _ in range(2):
        broker.transmit(message, delay=None, entry="e")
    assert keys(broker) == ([b"e"], 1)


def test_a_success_leaves_nothing_behind_on_the_queue(broker: RedisBroker) -> None:
    @actor
    def body() -> int:
        return 1

    with worker(broker):
        message = body.send()
        assert handle(message).get(timeout=SOON) == 1
        wait_until(lambda: keys(broker) == ([], 0), timeout=SOON)


def test_the_end_is_notified(broker: RedisBroker) -> None:
    """The waiter reads once before and once after; it does not poll."""
    go = threading.Event()

    @actor
    def body() -> str:
        go.wait(SOON)
        return "done"

    with worker(broker):
        message = body.send()
        found: list[str] = []
        waiter = threading.Thread(target=lambda: found.append(handle(message).get(timeout=SOON)))
        waiter.start()
        channel = broker.storage.keys.channel(message.message_id)
        wait_until(lambda: dict(broker.client.pubsub_numsub(channel))[channel.encode()] == 1, timeout=SOON)
        go.set()
        waiter.join(SOON)
        assert found == ["done"]


def test_a_failing_body_is_retried_by_real_threads(broker: RedisBroker) -> None:
    ran: list[int] = []

    @actor(retry=Retry(2, backoff=0.01))
    def body() -> int:
        ran.append(1)
        if len(ran) < 3:
            raise ValueError
        return len(ran)

    with worker(broker):
        assert handle(body.send()).get(timeout=SOON) == 3


def test_two_threads_race_for_one_key_and_one_of_them_runs_the_body(broker: RedisBroker) -> None:
    ran: list[str] = []
    go = threading.Event()

    @actor(idempotency=Idempotency(key="{x}"))
    def body(x: int) -> str:
        ran.append("ran")
        go.wait(SOON)
        return "once"

    with worker(broker, threads=4):
        messages = [body.send(1) for _ in range(4)]
        wait_until(lambda: ran, timeout=SOON)
        go.set()
        assert [handle(message).get(timeout=SOON) for message in messages] == ["once"] * 4
    assert ran == ["ran"]


def test_a_worker_that_stops_hands_back_and_the_next_one_goes_on(broker: RedisBroker) -> None:
    done: list[int] = []
    third, go = threading.Event(), threading.Event()

    @actor(retry=Retry(0))
    def body() -> int:
        for item in each(range(6), key=str):
            done.append(item)
            if item == 2 and not go.is_set():
                third.set()
                go.wait(SOON)
        return len(done)

    with worker(broker) as first:
        message = body.send()
        assert third.wait(SOON)
        stopping = threading.Thread(target=first.stop)
        stopping.start()
        assert broker.stopping.wait(SOON)
        go.set()
        stopping.join(SOON)
    assert done == [0, 1, 2]
    assert handle(message).status == "PROGRESS"
    assert handle(message).retries == 0
    with worker(broker):
        assert handle(message).get(timeout=SOON) == 6
    assert done == [0, 1, 2, 3, 4, 5]


def consumer(broker: RedisBroker, queue: str) -> _ConsumerThread:
    """A consumer thread that is not started: its steps are called by the test."""
    thread = _ConsumerThread(broker=broker, queue_name=queue, prefetch=10, work_queue=PriorityQueue(), worker_timeout=1)
    thread.consumer = broker.consume(queue, prefetch=10, timeout=1)
    return thread


def test_delayed_messages_in_memory_survive_an_outage(broker: RedisBroker, faults: Faults) -> None:
    @actor
    def body(x: int) -> None: ...

    for x in range(3):
        body.send_with_options(args=(x,), delay=1)
    thread = consumer(broker, "default.DQ")
    assert thread.consumer is not None
    for _ in range(3):
        held = next(thread.consumer)
        assert held is not None
        thread.handle_message(held)
    wait_until(lambda: _moves(thread, faults), timeout=SOON)
    thread.close()  # what Dramatiq does with a consumer that failed
    following = broker.consume("default.DQ", prefetch=10, timeout=1)
    found = [message.args[0] for _ in range(3) if (message := next(following)) is not None]
    waiting = keys(broker)[1]
    assert sorted(found) == [0, 1, 2]
    assert waiting == 0


def _moves(thread: _ConsumerThread, faults: Faults) -> bool:
    """Whether a due message was tried to be moved, in an outage."""
    with faults.outage():
        try:
            thread.handle_delayed_messages()
        except ServerUnavailable:
            return True
    return False


def test_what_cannot_be_given_back_in_an_outage_is_given_back_by_the_next_consumer(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    @actor
    def body(x: int) -> None: ...

    for x in range(3):
        body.send(x)
    first = broker.consume("default", prefetch=3, timeout=1)
    held = next(first)
    assert isinstance(held, HeldMessage)

    def down(*args: object) -> None:
        raise redis.ConnectionError("down")

    with monkeypatch.context() as patched:
        patched.setattr(broker, "do_requeue", down)
        with pytest.raises(ConnectionClosed):
            first.requeue([held])
        first.close()
    second = broker.consume("default", prefetch=3, timeout=1)
    found = [message.args[0] for _ in range(3) if (message := next(second)) is not None]
    assert sorted(found) == [0, 1, 2]


def test_a_cut_connection_is_told_to_dramatiq_as_such(broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: object) -> None:
        raise redis.TimeoutError("slow")

    broker.declare_queue("default")
    source = broker.consume("default", timeout=1)
    monkeypatch.setattr(broker, "do_fetch", slow)
    with pytest.raises(ConnectionClosed):
        next(source)


def test_an_entry_that_was_put_twice_and_is_done_is_passed_over(broker: RedisBroker) -> None:
    @actor
    def body() -> None: ...

    broker.client.rpush(f"{broker.namespace}:default", "done-long-ago")
    message = body.send()
    source = broker.consume("default", prefetch=5, timeout=1)
    held = next(source)
    assert held is not None
    assert held.message_id == message.message_id
