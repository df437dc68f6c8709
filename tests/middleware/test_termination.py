"""Ending bodies that run (V02)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from middleware.revocation import Revocation
from middleware.termination import Termination
from tests.conformance import actors as scenes
from tests.understudy.brokers.helpers import dead_letters, working
from understudy import Idempotency, Retry, actor, each, handle, revoke
from understudy.brokers.redis import RedisBroker
from understudy.errors import Revoked
from understudy.execution import Terminated, current
from understudy.testing.conditions import wait_until

Drain = Callable[..., int]
#: Under this name lies what is remembered of a loop as a whole.
LOOP = b"\x1f"


def revoke_me(broker: RedisBroker) -> None:
    """Revoke the message whose body runs here, as somebody else would, and let this worker hear of it."""
    execution = current()
    assert execution is not None
    revoke(execution.message_id, terminate=True)
    next(part for part in broker.middleware if isinstance(part, Revocation)).run_once(broker)


def test_a_body_in_a_thread_is_interrupted_and_not_run_again(broker: RedisBroker, drain: Drain) -> None:
    ran: list[str] = []

    @actor(retry=Retry(backoff=0), idempotency=Idempotency(key="{x}"))
    def body(x: str) -> None:
        ran.append("begin")
        if len(ran) > 3:
            return
        try:
            revoke_me(broker)
            for _ in range(1_000_000):
                pass
        except Exception:  # noqa: BLE001 - such a body swallows what it can
            ran.append("swallowed")
        finally:
            ran.append("cleaned up")
        ran.append("went on")

    message = body.send("k")
    drain()
    assert ran == ["begin", "cleaned up"]
    found = handle(message)
    assert (found.status, found.failed(), found.retries) == ("REVOKED", False, 0)
    with pytest.raises(Revoked, match=r"^terminated$"):
        found.get()
    assert dead_letters(broker) == []
    again = body.send("k")
    drain()
    assert handle(again).status == "REVOKED", "the key was free"


def test_each_stops_at_the_next_item_and_nothing_is_in_doubt(broker: RedisBroker, drain: Drain) -> None:
    done: list[int] = []

    @actor
    def body() -> None:
        for number in each(range(5), key=str):
            done.append(number)
            if number == 1:
                revoke_me(broker)
            done.append(number)

    message = body.send()
    drain()
    assert done == [0, 0, 1, 1]
    assert handle(message).status == "REVOKED"
    items: Any = broker.storage.client.hgetall(broker.storage.keys.items(message.message_id))
    assert {mark for name, mark in items.items() if name != LOOP} == {b"1"}
    assert broker.storage.call("PTTL", broker.storage.keys.items(message.message_id)) > 0


def test_an_item_that_takes_too_long_is_interrupted(broker: RedisBroker, drain: Drain) -> None:
    ending = next(part for part in broker.middleware if isinstance(part, Termination))
    done: list[int] = []

    @actor
    def body() -> None:
        for number in each(range(5), key=str):
            revoke_me(broker)
            ending.run_once()
            done.append(number)
            for one in ending._bodies.values():
                one.end_at = 0.0
            ending.run_once()
            for _ in range(1_000_000):
                pass
            done.append(number)

    message = body.send()
    drain()
    assert done == [0]
    assert handle(message).status == "REVOKED"


def test_what_the_body_makes_of_it_is_no_failure_of_the_message(broker: RedisBroker, drain: Drain) -> None:
    @actor(retry=Retry(backoff=0))
    def body() -> None:
        try:
            revoke_me(broker)
            for _ in range(1_000_000):
                pass
        except Terminated:
            raise ValueError("on the way out") from None

    message = body.send()
    assert drain() == 1
    assert handle(message).status == "REVOKED"


def test_a_body_that_ends_all_the_same_has_ended(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body() -> str:
        try:
            revoke_me(broker)
            for _ in range(1_000_000):
                pass
        except Terminated:
            return "I was done anyway"
        return "never told"

    message = body.send()
    drain()
    assert handle(message).get() == "I was done anyway"


def test_a_worker_ends_the_body_when_it_hears_and_its_thread_works_on(broker: RedisBroker) -> None:
    begun = threading.Event()

    @actor
    def endless() -> None:
        begun.set()
        while True:
            time.sleep(0.01)  # the work itself, in pieces: a thread is interrupted between two instructions only

    @actor
    def other() -> int:
        return 2

    with working(broker, threads=1):
        message = endless.send()
        assert begun.wait(20)
        wait_until(lambda: handle(message).status == "STARTED", what="it is shown")
        assert revoke(message, terminate=True) == "STARTED", "it is REVOKED when it has ended, and not before"
        with pytest.raises(Revoked, match="terminated"):
            handle(message).get(timeout=20)
        assert handle(other.send()).get(timeout=20) == 2


def test_an_interrupt_that_comes_as_the_body_ends_hits_nobody(broker: RedisBroker, drain: Drain) -> None:
    ending = next(part for part in broker.middleware if isinstance(part, Termination))
    late: list[bool] = []

    @actor
    def body() -> int:
        (found,) = ending._bodies.values()
        found.held.ended = True
        found.interrupt()
        late.append(found.interrupted)
        found.held.ended = False
        return 1

    message = body.send()
    drain()
    assert late == [False]
    assert handle(message).get() == 1
    assert ending._bodies == {}


@pytest.mark.brokers("server")
def test_a_body_in_a_process_of_its_own_comes_to_the_end_of_its_item(broker: RedisBroker, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    broker.settings = broker.settings.model_copy(update={"isolation": "process"})
    with working(broker, threads=1):
        message = scenes.numbers.send(str(journal))
        wait_until(lambda: len(scenes.noted(journal)) > 3, what="some items are done")
        revoke(message, terminate=True)
        with pytest.raises(Revoked, match="terminated"):
            handle(message).get(timeout=20)
    lines = scenes.noted(journal)
    assert lines[::2] == lines[1::2], "every item that was begun was ended"
    marks: Any = broker.storage.client.hgetall(broker.storage.keys.items(message.message_id))
    assert {mark for name, mark in marks.items() if name != LOOP} == {b"1"}
    assert len(marks) == len(lines) // 2 + 1


@pytest.mark.brokers("server")
def test_a_body_in_a_process_of_its_own_ends_with_it(broker: RedisBroker, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    broker.settings = broker.settings.model_copy(update={"isolation": "process"})
    with working(broker, threads=1):
        message = scenes.terminated.send(str(journal))
        wait_until(lambda: scenes.noted(journal), what="its body runs")
        wait_until(lambda: handle(message).status == "STARTED", what="it is shown")
        revoke(message, terminate=True)
        with pytest.raises(Revoked, match="terminated"):
            handle(message).get(timeout=20)
    pid = int(scenes.noted(journal)[0])
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="its process has ended")
    assert handle(message).retries == 0
    assert dead_letters(broker) == []
