from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from understudy.errors import LeaseLost, ServerUnavailable
from understudy.execution import Execution
from understudy.isolation import standing
from understudy.isolation.jobs import Answer, Question
from understudy.isolation.page import Page, new_page
from understudy.isolation.parcels import pack
from understudy.isolation.standing import Asker, RemoteReporter, Stopping
from understudy.isolation.wire import Channel, Closed


class Worker:
    """The other side: answers everything in a thread, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.answer: Callable[[Question], Answer] = lambda question: Answer(None, None, False, False)
        ours, theirs = socket.socketpair()
        self.channel = Channel(theirs)
        self._mine = Channel(ours)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                self.asked.append(self._mine.receive())
                self._mine.send(self.answer(self.asked[-1]))
        except Closed:
            self._mine.close()

    def close(self) -> None:
        self.channel.close()
        self._thread.join()


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


@pytest.fixture
def execution() -> Execution:
    found = SimpleNamespace(lost=False, overdue=None, message_id="m")
    found.hold_lost = lambda: Execution.hold_lost(cast("Execution", found))
    found.confirm = lambda held=True: Execution.confirm(cast("Execution", found), held)
    return cast("Execution", found)


@pytest.fixture
def asker(worker: Worker, execution: Execution) -> Asker:
    made = Asker(worker.channel)
    made.begin(execution)
    return made


@pytest.fixture
def page() -> Iterator[Page]:
    made = new_page()
    yield made
    made.close()


def test_a_question_gets_the_value_or_the_error(worker: Worker, asker: Asker) -> None:
    worker.answer = lambda question: Answer(question.args, None, False, False)
    assert asker.ask("run", 1, "x") == (1, "x")
    worker.answer = lambda question: Answer(None, pack(ServerUnavailable("away")), False, False)
    with pytest.raises(ServerUnavailable, match="away"):
        asker.ask("run")


def test_what_the_worker_knows_comes_with_every_answer(worker: Worker, asker: Asker, execution: Execution) -> None:
    worker.answer = lambda question: Answer(None, None, True, True)
    asker.ask("run")
    assert asker.stopping
    assert execution.lost


def test_nobody_asks_when_no_body_runs(worker: Worker, asker: Asker) -> None:
    asker.end()
    with pytest.raises(RuntimeError, match="must end with it"):
        asker.ask("run")
    assert not Stopping(asker).is_set()
    assert worker.asked == []


def test_news_that_is_fresh_is_not_asked_for(worker: Worker, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "FRESH", 3_600.0)
    assert not Stopping(asker).is_set()
    assert worker.asked == []
    monkeypatch.setattr(standing, "FRESH", 0.0)
    worker.answer = lambda question: Answer(None, None, True, False)
    assert Stopping(asker).is_set()
    assert [question.what for question in worker.asked] == ["news"]


def test_a_body_can_wait_for_the_stop(worker: Worker, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "FRESH", 0.001)
    stopping = Stopping(asker)
    assert not stopping.wait(0.01)
    worker.answer = lambda question: Answer(None, None, len(worker.asked) > 5, False)
    assert stopping.wait(20)


def test_progress_is_noted_and_asked_for_when_its_time_has_come(
    worker: Worker, asker: Asker, execution: Execution, page: Page
) -> None:
    worker.answer = lambda question: Answer(True, None, False, False)
    reporter = RemoteReporter(execution, interval=3_600.0, asker=asker, page=page)
    reporter.update(1, 9)
    reporter.update(2, 9)
    reporter.update(3, 9)
    assert [question.what for question in worker.asked] == ["progress"]
    assert page.take() == b'{"current":3,"total":9}'


def test_progress_that_has_no_room_is_written_at_once(
    worker: Worker, asker: Asker, execution: Execution, page: Page
) -> None:
    worker.answer = lambda question: Answer(True, None, False, False)
    reporter = RemoteReporter(execution, interval=3_600.0, asker=asker, page=page)
    reporter.update(1, 9)
    reporter.update(2, 9, text="x" * 20_000)
    assert len(worker.asked) == 2
    assert page.take() is None


def test_progress_of_a_message_that_is_lost_stops_the_body(
    worker: Worker, asker: Asker, execution: Execution, page: Page
) -> None:
    worker.answer = lambda question: Answer(False, None, False, False)
    reporter: Any = RemoteReporter(execution, interval=0.0, asker=asker, page=page)
    with pytest.raises(LeaseLost):
        reporter.update(1, 9)
