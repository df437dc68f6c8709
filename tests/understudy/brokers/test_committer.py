"""Group commit with real threads: order, outages, nothing lost, and round trips that are really shared."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.understudy.brokers.helpers import SOON, pending, take_away
from understudy import actor
from understudy.brokers.committer import COMMITTED, LOST, MISFIT, MOST, Committer, Settlement
from understudy.brokers.held import HeldMessage
from understudy.brokers.operations import Operations
from understudy.brokers.redis import RedisBroker
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults, When


def hold(broker: RedisBroker, count: int) -> list[HeldMessage]:
    """So many messages, held by this worker."""

    if "body" not in broker.actors:

        @actor
        def body(x: int) -> None: ...

    for x in range(count):
        broker.actors["body"].send(x)
    source = broker.consume("default", prefetch=len(broker.holds) + count, timeout=1)
    found: list[HeldMessage] = []
    for _ in range(count + 5):
        message = next(source)
        if isinstance(message, HeldMessage):
            found.append(message)
    return found


def left(broker: RedisBroker) -> int:
    return sum(pending(broker.storage, stream) for stream in broker.keys_of("default").streams)


def settlement(held: HeldMessage, told: Callable[[str], None], size: int = 100) -> Settlement:
    def write(operations: Operations) -> int:
        return 0

    return Settlement(held.hold.stream, held.hold.entry, size, write, told)


def test_a_single_outcome_is_committed_at_once(broker: RedisBroker) -> None:
    told: list[str] = []
    broker.committer.submit(settlement(hold(broker, 1)[0], told.append))
    assert told == [COMMITTED]
    assert len(broker.committer) == 0
    assert broker.size("default") == 0


def test_outcomes_of_many_threads_share_round_trips_and_none_is_lost(broker: RedisBroker, faults: Faults) -> None:
    held = hold(broker, 200)
    told: list[str] = []
    faults.exchanges.clear()
    first_is_at_it, go = threading.Event(), threading.Event()
    inner = broker.storage.interceptor
    assert inner is not None

    def slow(name: str, when: When) -> None:
        if name == "settle" and when == "before":
            first_is_at_it.set()
            go.wait(SOON)
        inner(name, when)

    broker.storage.interceptor = slow

    def submit(part: list[HeldMessage]) -> None:
        for one in part:
            broker.committer.submit(settlement(one, told.append))

    first = threading.Thread(target=submit, args=(held[:1],))
    first.start()
    assert first_is_at_it.wait(SOON)
    others = [threading.Thread(target=submit, args=(held[1 + i :: 8],)) for i in range(8)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(SOON)
        assert not thread.is_alive(), "whoever finds somebody committing does not wait"
    # The parts overlap: an outcome that is submitted twice is committed once, and lost the other time.
    go.set()
    first.join(SOON)
    wait_until(lambda: len(told) == 1 + sum(len(held[1 + i :: 8]) for i in range(8)), timeout=SOON)
    assert told.count(COMMITTED) == 200
    assert left(broker) == 0
    assert faults.exchanges.count("settle") <= 3 + len(told) // MOST


def test_outcomes_are_committed_in_the_order_in_which_they_stand(broker: RedisBroker) -> None:
    held, order = hold(broker, 100), []
    committer = Committer(broker.storage, worker="w", pause=lambda seconds: True, busy=lambda: True)
    for number, one in enumerate(held[:20]):
        committer.submit(settlement(one, lambda verdict, number=number: order.append(number)))  # type: ignore[misc]
    assert order == [], "a busy process lets them stand in line"
    assert committer.flush()
    assert order == list(range(20))


def test_a_batch_is_bounded_in_number_and_in_size(broker: RedisBroker, faults: Faults) -> None:
    held = hold(broker, MOST + 29)
    committer = Committer(broker.storage, worker="w", pause=lambda seconds: True, busy=lambda: True)
    committer._line.extend(settlement(one, lambda verdict: None) for one in held[:-3])
    committer._line.extend(settlement(one, lambda verdict: None, size=600_000) for one in held[-3:])
    faults.exchanges.clear()
    assert committer.flush()
    assert faults.exchanges.count("settle") == 2 + 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_outage_is_waited_out_and_every_outcome_is_committed_once(
    broker: RedisBroker, faults: Faults, when: When
) -> None:
    held, told = hold(broker, 50), list[str]()
    faults.fail("settle", when=when, times=5)
    threads = [threading.Thread(target=broker.committer.submit, args=(settlement(one, told.append),)) for one in held]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    wait_until(lambda: len(told) == 50, timeout=SOON)
    assert told == [COMMITTED] * 50
    assert left(broker) == 0
    assert faults.pauses == 5


def test_what_another_worker_has_is_lost_and_its_neighbours_are_committed(broker: RedisBroker) -> None:
    first, told = hold(broker, 3), list[str]()
    assert take_away(broker) == 3
    second = hold(broker, 2)  # and the three again, in new deliveries
    committer = Committer(broker.storage, worker="w", pause=lambda seconds: True, busy=lambda: True)
    for one in (first[0], second[0], first[1], second[1], first[2]):
        committer.submit(settlement(one, told.append))
    assert committer.flush()
    assert told == [LOST, COMMITTED, LOST, COMMITTED, LOST]


def test_a_process_that_ends_in_an_outage_gives_up_and_keeps_the_line_in_order(
    broker: RedisBroker, faults: Faults
) -> None:
    held, told = hold(broker, 3), list[int]()
    committer = Committer(broker.storage, worker="w", pause=lambda seconds: False)
    with faults.outage():
        for number, one in enumerate(held):
            committer.submit(settlement(one, lambda verdict, number=number: told.append(number)))  # type: ignore[misc]
        assert not committer.finish()
    assert len(committer) == 3
    assert committer.finish()
    assert told == [0, 1, 2]


def test_a_server_that_has_lost_its_data_says_so_of_the_outcomes(broker: RedisBroker) -> None:
    held, told = hold(broker, 2), list[str]()
    for stream in broker.keys_of("default").streams:
        broker.storage.client.delete(stream)
    for one in held:
        broker.committer.submit(settlement(one, told.append))
    assert told == [LOST, LOST]


def test_finish_waits_for_whoever_commits(broker: RedisBroker) -> None:
    held, told = hold(broker, 2), list[str]()
    at_it, go = threading.Event(), threading.Event()

    def pause(seconds: float) -> bool:
        at_it.set()
        return go.wait(SOON)

    committer = Committer(broker.storage, worker="w", pause=pause)
    inner = broker.storage.interceptor
    broken = [True]

    def intercept(name: str, when: When) -> None:
        if broken and broken.pop():
            raise ConnectionError("injected")
        assert inner is not None
        inner(name, when)

    broker.storage.interceptor = intercept
    first = threading.Thread(target=committer.submit, args=(settlement(held[0], told.append),))
    first.start()
    assert at_it.wait(SOON)
    second = threading.Thread(target=committer.finish)
    second.start()
    committer.submit(settlement(held[1], told.append))
    assert told == []
    go.set()
    first.join(SOON)
    second.join(SOON)
    assert told == [COMMITTED, COMMITTED]


@pytest.mark.parametrize("times", [1, 2])
def test_what_nobody_has_foreseen_drops_no_outcome(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    held = hold(broker, 4)
    told: list[str] = []
    run, failures = broker.storage.run, iter([RuntimeError("not foreseen")] * times)

    def sometimes(name: str, *args: Any, **more: Any) -> Any:
        if name == "settle" and (failure := next(failures, None)) is not None:
            raise failure
        return run(name, *args, **more)

    monkeypatch.setattr(broker.storage, "run", sometimes)
    committer = Committer(broker.storage, worker="w", pause=lambda seconds: True, busy=lambda: True)
    committer._line.extend(settlement(one, told.append) for one in held)
    assert committer.flush()
    assert told == [MISFIT] * (times - 1) + [COMMITTED] * (5 - times)


def test_who_fails_at_its_verdict_keeps_the_others_from_none(broker: RedisBroker) -> None:
    held = hold(broker, 3)
    told: list[str] = []

    def fails(verdict: str) -> None:
        raise RuntimeError("not foreseen")

    committer = Committer(broker.storage, worker="w", pause=lambda seconds: True, busy=lambda: True)
    committer._line.extend([settlement(held[0], fails), *(settlement(one, told.append) for one in held[1:])])
    assert committer.flush()
    assert told == [COMMITTED, COMMITTED]
