"""A process beside the workers, on a clock of the test's own."""

from __future__ import annotations

import logging

import pytest

from understudy.supervisor.backoff import LONGEST, YOUNG
from understudy.supervisor.kept import Kept


class Process:
    def __init__(self) -> None:
        self.code: int | None = None
        self.terminated = self.waited = False

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated = True

    def wait(self) -> int:
        self.waited = True
        return 0


class Stage:
    def __init__(self) -> None:
        self.now = 100.0
        self.started: list[Process] = []
        self.fails = False
        self.kept = Kept("the scheduler", self._start, now=lambda: self.now)
        self.kept.run_once()

    def _start(self) -> Process:
        if self.fails:
            raise OSError("no process left")
        self.started.append(Process())
        return self.started[-1]

    def dies(self, code: int = 1, *, lived: float = 0.0) -> None:
        self.now += lived
        self.started[-1].code = code
        self.kept.run_once()

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.kept.run_once()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_it_is_started_once_and_left_alone_while_it_runs(stage: Stage) -> None:
    stage.passes(1_000)
    assert len(stage.started) == 1
    assert stage.kept.pause() == float("inf")


def test_one_that_ran_for_long_is_started_again_at_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.dies(code=-9, lived=YOUNG)
    assert len(stage.started) == 2
    assert "the scheduler ended by itself (exit code -9); starting it again" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_one_that_dies_young_waits_longer_each_time_and_not_for_ever(stage: Stage) -> None:
    waits = []
    for _ in range(12):
        stage.dies()
        waits.append(stage.kept.pause())
        stage.passes(waits[-1] * 0.9)
        before = len(stage.started)
        stage.passes(waits[-1] * 0.2)
        assert len(stage.started) == before + 1
    assert waits[:3] == [0.25, 0.5, 1.0]
    assert waits[-1] == LONGEST


def test_one_that_cannot_be_started_is_tried_again(stage: Stage) -> None:
    stage.fails = True
    stage.dies(lived=YOUNG)
    assert len(stage.started) == 1
    assert stage.kept.pause() == 0.25
    stage.fails = False
    stage.passes(0.25)
    assert len(stage.started) == 2


def test_it_ends_when_it_is_told(stage: Stage) -> None:
    stage.kept.stop()
    assert stage.started[0].terminated
    assert stage.started[0].waited
    stage.dies()
    assert len(stage.started) == 1
    stage.kept.stop()


def test_one_that_was_never_started_has_nothing_to_end() -> None:
    Kept("the scheduler", Process).stop()
