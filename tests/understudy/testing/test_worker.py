"""``drain``: one worker step at a time, in the test's own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, actor, handle
from understudy.brokers.settlement import SettlingBroker
from understudy.options import Isolation
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


def test_it_counts_executions_and_runs_in_this_thread(broker: SettlingBroker, drain: Drain) -> None:
    threads: list[threading.Thread] = []

    @actor
    def body(left: int) -> None:
        threads.append(threading.current_thread())
        if left:
            body.send(left - 1)

    body.send(2)
    assert drain() == 3
    assert drain() == 0
    assert set(threads) == {threading.current_thread()}


def test_one_step_is_one_message(broker: SettlingBroker, step_worker: StepWorker) -> None:
    ran: list[int] = []

    @actor
    def body(x: int) -> None:
        ran.append(x)

    body.send(1)
    body.send(2)
    assert step_worker.run_once()
    assert ran == [1]
    assert step_worker.run_once()
    assert not step_worker.run_once()


def test_a_message_that_comes_back_for_ever_is_noticed(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body() -> None:
        body.send()

    body.send()
    with pytest.raises(AssertionError, match="for ever"):
        drain(limit=5)


def test_delayed_messages_wait_for_frozen_time(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body() -> None: ...

    body.send_with_options(delay=5_000)
    assert drain() == 0
    freezer.tick(4.999)
    assert drain() == 0
    freezer.tick(0.001)
    assert drain() == 1


def test_what_a_dead_worker_held_is_delivered_again(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    ran: list[str] = []

    @actor
    def body(name: str) -> None:
        ran.append(name)
        if len(ran) == 1:
            faults.kill_worker()

    body.send("a")
    body.send("b")
    body.send_with_options(args=("later",), delay=30_000)
    drain()
    freezer.tick(30)
    drain()
    freezer.tick(30)
    drain()
    assert sorted(ran) == ["a", "a", "b", "later"]


def test_a_cut_connection_does_not_lose_what_is_delayed(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    @actor
    def body(x: int) -> int:
        return x

    messages = [body.send_with_options(args=(x,), delay=1_000) for x in range(3)]
    drain()
    freezer.tick(1)
    faults.fail("enqueue", nth=2)
    drain()
    drain()
    assert [handle(message).get() for message in messages] == [0, 1, 2]


def test_several_queues_are_drained(broker: SettlingBroker, drain: Drain) -> None:
    ran: list[str] = []

    @actor(queue_name="one", idempotency=Idempotency())
    def first() -> None:
        ran.append("first")
        second.send()

    @actor(queue_name="two")
    def second() -> None:
        ran.append("second")

    first.send()
    assert drain() == 2
    assert ran == ["first", "second"]


def test_a_queue_is_read_from_when_something_is_in_it(broker: SettlingBroker, drain: Drain, faults: Faults) -> None:
    @actor(queue_name="one")
    def first() -> None: ...

    @actor(queue_name="two")
    def second() -> None: ...

    first.send()
    drain()
    faults.exchanges.clear()
    assert drain() == 0
    alone = faults.exchanges.count("fetch")
    second.send()
    assert drain() == 1
    faults.exchanges.clear()
    drain()
    assert faults.exchanges.count("fetch") == alone + 1


def test_isolation_can_be_chosen_and_is_remembered(broker: SettlingBroker, step_worker: StepWorker) -> None:
    seen = [broker.settings]
    choices: list[Isolation | None] = ["process", "thread", None, "process"]
    for chosen in choices:
        step_worker.drain(isolation=chosen)
        seen.append(broker.settings)
    assert [settings.isolation for settings in seen] == ["simulated", "process", "thread", "thread", "process"]
    assert seen[4] is seen[1], "a child goes on under the same settings only"
