"""The transport on a real server, and Dramatiq's own worker with its threads on top of it."""

from __future__ import annotations

import threading

import pytest
from dramatiq import Message

from tests.understudy.brokers.helpers import SOON, working
from understudy import Idempotency, Retry, actor, each, handle
from understudy.brokers.redis import RedisBroker
from understudy.storage.client import Value
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults

pytestmark = pytest.mark.brokers("server")


def test_a_send_that_is_resent_is_put_once(broker: RedisBroker, faults: Faults) -> None:
    """A reply that was cut off makes the client send the script again."""
    message = Message[object](queue_name="default", actor_name="a", args=(), kwargs={}, options={})
    sent: list[tuple[list[str], list[Value]]] = []
    run = broker.storage.run

    def twice(name: str, keys: list[str], args: list[Value] | tuple[()] = (), **more: str) -> object:
        if name in ("send", "enqueue"):
            sent.append((keys, list(args)))
        run(name, keys, args)
        return run(name, keys, args)

    broker.storage.run = twice  # type: ignore[assignment, method-assign]
    broker.transmit(message, delay=None)
    broker.transmit(message, delay=None)
    broker.transmit_many([(message, None), (message, 60.0)])
    assert len(sent) == 3
    assert broker.size("default") == 4, "the same message twice is two entries, a script that is resent one"


def test_a_success_leaves_nothing_behind_on_the_queue(broker: RedisBroker) -> None:
    @actor
    def body() -> int:
        return 1

    with working(broker):
        message = body.send()
        assert handle(message).get(timeout=SOON) == 1
        wait_until(lambda: broker.size("default") == 0, timeout=SOON)


def test_the_end_is_notified(broker: RedisBroker) -> None:
    """The waiter reads once before and once after; it does not poll."""
    go = threading.Event()

    @actor
    def body() -> str:
        go.wait(SOON)
        return "done"

    with working(broker):
        message = body.send()
        found: list[str] = []
        waiter = threading.Thread(target=lambda: found.append(handle(message).get(timeout=SOON)))
        waiter.start()
        channel = broker.storage.keys.channel(message.message_id)
        wait_until(lambda: dict(broker.storage.client.pubsub_numsub(channel))[channel.encode()] == 1, timeout=SOON)
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

    with working(broker):
        assert handle(body.send()).get(timeout=SOON) == 3


def test_two_threads_race_for_one_key_and_one_of_them_runs_the_body(broker: RedisBroker) -> None:
    ran: list[str] = []
    go = threading.Event()

    @actor(idempotency=Idempotency(key="{x}"))
    def body(x: int) -> str:
        ran.append("ran")
        go.wait(SOON)
        return "once"

    with working(broker, threads=4):
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

    with working(broker) as first:
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
    with working(broker):
        assert handle(message).get(timeout=SOON) == 6
    assert done == [0, 1, 2, 3, 4, 5]


def test_a_child_of_a_fork_has_a_name_of_its_own_and_holds_nothing(broker: RedisBroker) -> None:
    """Two processes under one name would take each other's replies for their own."""
    before = (broker.worker_id, broker.committer, broker._producer)
    broker.forked()
    after = (broker.worker_id, broker.committer, broker._producer)
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert broker.holds == {}
    assert not broker.is_enrolled


def test_a_broker_that_is_closed_in_an_outage_gives_up_after_a_while(
    broker: RedisBroker, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    @actor
    def body() -> None: ...

    body.send()
    source = broker.consume("default", prefetch=1, timeout=1)
    held = next(source) or next(source)
    assert held is not None
    broker.committer = broker._new_committer()
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 1:
            broker._give_up_at = 0.0

    broker.pause = pause
    with faults.outage():
        source.ack(held)
        assert len(broker.committer) == 1
        broker.pause = lambda seconds: setattr(broker, "_give_up_at", 0.0)
        broker.close()
    assert "could not be committed" in caplog.text
