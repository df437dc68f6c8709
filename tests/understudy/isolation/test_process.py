from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.understudy.isolation.test_runner import ends
from understudy.errors import IsolationError, TimeLimitExceeded
from understudy.holds import Hold
from understudy.isolation import process as module
from understudy.isolation.jobs import Answer, Boot, Done, Job, Question
from understudy.isolation.process import CannotStart, Died, Gone, Process
from understudy.limits import Limits
from understudy.settings import Settings, load

HERE = "tests.understudy.isolation.actors_for_tests"
Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Process] = []

    def start(*modules: str, **environ: str) -> Process:
        settings = load(Settings, environ={"BROKER_URL": "stub://", **environ})
        started.append(Process(Boot(settings, list(modules), list(sys.path)), "a thread"))
        return started[-1]

    yield start
    for process in started:
        process.end()


def job(actor: str, *args: Any, limit: float = 20.0, module: str = HERE) -> Job:
    hold = Hold("s", "1-1", "default/1/1-1")
    return Job("m", f"isolation.{actor}", module, args, {}, hold, 0, {}, None, "m", "m", None, Limits(limit))


def refuse(question: Question) -> Answer:
    raise AssertionError(f"nobody should ask {question}")


def test_it_imports_what_the_worker_has_imported_and_more_when_it_must(start: Start) -> None:
    for process in (start("tasks", HERE), start()):
        done = process.run(job("echo", 1), refuse)
        assert done.error is None
        assert process.alive


def test_it_ends_when_it_is_told_to(start: Start) -> None:
    process = start()
    process.end()
    assert not process.alive
    process.end()  # nothing is left to be done


def test_one_that_went_away_before_its_job_has_done_nothing(start: Start) -> None:
    process = start()
    os.kill(process.pid, signal.SIGKILL)
    ends(process.pid)
    with pytest.raises((Gone, Died)):
        process.run(job("echo"), refuse)


def test_a_body_that_ends_its_process_has_died(start: Start) -> None:
    process = start()
    with pytest.raises(Died, match="exit code 1"):
        process.run(job("dies", "exit"), refuse)
    assert not process.alive


def test_an_error_of_the_worker_ends_the_body(start: Start) -> None:
    process = start()
    with pytest.raises(AssertionError, match="nobody should ask"):
        process.run(job("count", 3), refuse)
    assert not process.alive


def test_signals_that_are_meant_for_the_worker_do_nothing(start: Start) -> None:
    process = start(HERE)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(process.pid, number)
    assert isinstance(process.run(job("echo", 1), refuse), Done)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('no way')", "no way"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("import nothing_here", "nothing_here"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    (tmp_path / "broken_here.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(IsolationError, match=said):
        start("broken_here")


def test_one_that_dies_before_it_is_ready_may_start_another_time(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fatal_here.py").write_text("import os; os._exit(9)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CannotStart, match="exit code 9"):
        start("fatal_here")


def test_one_that_takes_too_long_to_be_ready_is_given_up(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_here.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "START", 0.5)
    with pytest.raises(CannotStart, match="not ready within"):
        start("slow_here")


def test_a_process_that_cannot_be_made_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(CannotStart, match="no process could be made"):
        start()


def test_the_limit_counts_from_the_beginning_of_the_body(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_import.py").write_text("import time; time.sleep(1)")
    monkeypatch.syspath_prepend(tmp_path)
    process = start("slow_import", HERE)
    assert process.run(job("echo", limit=0.9), refuse).error is None
    with pytest.raises(TimeLimitExceeded):
        process.run(job("sleeps", limit=0.2), refuse)
