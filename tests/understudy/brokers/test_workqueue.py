"""Work is handed over in order, nobody is woken for nothing, and nothing waits for a thread that will not come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest

from tests.understudy.brokers.helpers import SOON
from understudy.brokers import workqueue
from understudy.brokers.workqueue import LATE, QUICK, SHORT, WorkQueue
from understudy.testing.conditions import wait_until


def item(number: int, *, priority: int = 0, actor: str = "a") -> Any:
    return SimpleNamespace(priority=priority, number=number, message=SimpleNamespace(actor_name=actor))


@dataclass
class Crew:
    """Threads that take items, and do with each what ``body`` says."""

    queue: WorkQueue
    done: list[int] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def body(self, work: Any) -> None:
        pass

    def live(self) -> None:
        while not self.ended.is_set():
            try:
                work = self.queue.get(timeout=0.05)
            except Empty:
                continue
            self.body(work)
            self.done.append(work.number)
            self.by.append(threading.current_thread().name)
            self.queue.task_done()


@contextmanager
def crew(queue: WorkQueue, size: int, body: Any = None) -> Iterator[Crew]:
    made = Crew(queue)
    if body is not None:
        made.body = body  # type: ignore[method-assign]
    threads = [threading.Thread(target=made.live) for _ in range(size)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        for thread in threads:
            thread.join(SOON)


def learn_that_it_is_short(queue: WorkQueue, actor: str = "a", alone: float = QUICK / 2) -> None:
    queue._took[actor] = SHORT / 10
    queue._took_alone[actor] = alone


def test_items_come_out_by_priority_and_then_in_order() -> None:
    queue = WorkQueue()
    for number, priority in enumerate([5, 0, 5, -1, 0]):
        queue.put(item(number, priority=priority))
    assert [queue.get_nowait().number for _ in range(5)] == [3, 1, 4, 0, 2]
    with pytest.raises(Empty):
        queue.get_nowait()


def test_every_item_comes_out_once_however_many_threads_there_are() -> None:
    queue = WorkQueue()
    with crew(queue, 8) as made:
        for number in range(2_000):
            queue.put(item(number))
        queue.join()
    assert sorted(made.done) == list(range(2_000))
    assert queue.unfinished_tasks == 0


def test_get_waits_its_time_and_no_longer() -> None:
    queue = WorkQueue()
    for _ in range(3):
        with pytest.raises(Empty):
            queue.get(timeout=0.01)
    queue.put(item(1))
    assert queue.get(timeout=0.01).number == 1


def test_long_bodies_run_side_by_side() -> None:
    queue = WorkQueue()
    together = threading.Barrier(6)
    with crew(queue, 6, lambda work: together.wait(SOON)) as made:
        for number in range(6):
            queue.put(item(number))
        queue.join()  # the barrier breaks unless all six are inside
    assert len(made.done) == 6


def test_short_bodies_are_worked_off_by_few_threads() -> None:
    queue = WorkQueue()
    learn_that_it_is_short(queue)
    with crew(queue, 8) as made:
        wait_until(lambda: len(queue._parked) == 8)
        for number in range(1_000):
            queue.put(item(number))
        queue.join()
    assert len(set(made.by)) < 8
    assert sorted(made.done) == list(range(1_000))


@pytest.mark.parametrize(
    ("late", "alone", "found"), [(SOON, QUICK / 2, None), (0.0, QUICK / 2, 2), (SOON, QUICK * 2, 2)]
)
def test_who_finds_another_one_at_quick_bodies_sleeps_though_there_is_work(
    monkeypatch: pytest.MonkeyPatch, late: float, alone: float, found: int | None
) -> None:
    """They would block each other at each message, for as long as the line does not end. Who does not come back is not
    waited for; nor is a body that waits for something else than the interpreter, for a moment, waited for by others."""
    monkeypatch.setattr(workqueue, "LATE", late)
    now = [100.0]
    monkeypatch.setattr(workqueue, "monotonic", lambda: now[0])
    queue = WorkQueue()
    inside, release = threading.Event(), threading.Event()

    def body(work: Any) -> None:
        inside.set()
        release.wait(SOON)

    queue.put(item(0))
    queue.get()  # here is one who has done such a body
    learn_that_it_is_short(queue, alone=alone)
    with crew(queue, 1, body) as made:
        queue.put_all([item(1), item(2)])
        queue.nudge()
        assert inside.wait(SOON)
        now[0] += 1.0
        monkeypatch.setattr(workqueue, "WEIGHT", 0.0)  # what this took is not to be learned
        try:
            assert queue.get(timeout=0.01).number == found
        except Empty:
            assert found is None
        made.ended.set()
        release.set()


def test_what_a_body_takes_is_measured_alone_or_only_to_be_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, now = WorkQueue(), [100.0]
    monkeypatch.setattr(workqueue, "monotonic", lambda: now[0])

    def work_for(seconds: float, *, beside: bool) -> float:
        queue.put(item(0))
        queue.get_nowait()
        if beside:
            queue._near.add(workqueue._Seat())
        now[0] += seconds
        with pytest.raises(Empty):
            queue.get_nowait()
        queue._near.clear()
        return queue._took_alone["a"]

    assert work_for(1.0, beside=False) == pytest.approx(1.0)
    assert work_for(2.0, beside=False) == pytest.approx(1.1)
    assert work_for(5.0, beside=True) == pytest.approx(1.1)
    assert work_for(0.5, beside=True) == pytest.approx(0.5)


def test_who_is_long_for_once_is_not_waited_for_at_every_item() -> None:
    queue = WorkQueue()
    learn_that_it_is_short(queue)
    release, inside = threading.Event(), threading.Event()

    def body(work: Any) -> None:
        if work.number == 0:
            inside.set()
            release.wait(SOON)

    nudges = 0
    try:
        with crew(queue, 2, body) as made:
            wait_until(lambda: len(queue._parked) == 2)
            queue.put(item(0))
            assert inside.wait(SOON)
            queue.put_all([item(number) for number in range(1, 500)])
            while len(made.done) < 499:
                assert nudges < 100
                queue.nudge()
                nudges += 1
                time.sleep(LATE)  # as often as it comes
            release.set()
    finally:
        release.set()


def test_a_body_that_is_long_for_once_holds_up_nobody_for_long() -> None:
    queue = WorkQueue()
    learn_that_it_is_short(queue)
    release = threading.Event()
    try:
        with crew(queue, 2, lambda work: work.number == 0 and release.wait(SOON)) as made:
            wait_until(lambda: len(queue._parked) == 2)
            queue.put(item(0))
            queue.put(item(1))

            def nudged() -> bool:
                queue.nudge()
                return made.done == [1]

            wait_until(nudged, what="the second item, while the first one waits")
            release.set()
    finally:
        release.set()


def test_who_waits_for_the_server_is_replaced() -> None:
    queue = WorkQueue()
    learn_that_it_is_short(queue)
    release = threading.Event()

    def body(work: Any) -> None:
        if work.number == 0:
            with queue.waiting():
                release.wait(SOON)

    try:
        with crew(queue, 2, body) as made:
            wait_until(lambda: len(queue._parked) == 2)
            queue.put(item(0))
            queue.put(item(1))
            wait_until(lambda: made.done == [1], what="the second item")
            release.set()
            queue.join()
    finally:
        release.set()


def test_waiting_outside_of_a_worker_thread_is_nothing() -> None:
    queue = WorkQueue()
    with queue.waiting():
        queue.put(item(1))
    assert queue.get_nowait().number == 1


def test_what_an_actor_takes_is_learned_and_waiting_for_the_server_is_not_part_of_it() -> None:
    queue = WorkQueue()
    queue.put(item(1, actor="slow"))
    queue.get_nowait()
    time.sleep(SHORT * 5)  # this is the body
    queue.put(item(2, actor="quick"))
    queue.get_nowait()
    with queue.waiting():
        time.sleep(SHORT * 5)
    with pytest.raises(Empty):
        queue.get_nowait()
    assert queue._took["slow"] > SHORT * 4
    assert queue._took["quick"] < SHORT * 4


def test_a_closed_queue_gives_no_more_work_and_keeps_what_it_has() -> None:
    queue = WorkQueue()
    with crew(queue, 2) as made:
        wait_until(lambda: len(queue._parked) == 2)
        queue.close()
        queue.put(item(1))
        wait_until(lambda: len(queue._parked) == 2, what="both look, and find nothing that is theirs")
    assert made.done == []
    assert queue.get_nowait().number == 1


def test_what_comes_together_is_put_in_line_by_its_priority_and_wakes_one_thread() -> None:
    queue = WorkQueue()
    with crew(queue, 4) as made:
        wait_until(lambda: len(queue._parked) == 4, timeout=SOON)
        queue.put_all([])
        queue.put_all([item(number, priority=number % 2) for number in range(6)])
        queue.join()
    assert sorted(made.done) == list(range(6))
    queue.put_all([item(number, priority=number % 2) for number in range(6)])
    assert [queue.get_nowait().number for _ in range(6)] == [0, 2, 4, 1, 3, 5]
