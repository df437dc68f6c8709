import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.contenders import CELERY, STOCK, STOCK_DEFAULTS, UNDERSTUDY, Contender, once
from benchmarks.results import RowResult
from benchmarks.runner import run, turn
from benchmarks.scale import QUICK
from benchmarks.spec import BenchmarkError
from tests.benchmarks.subjects import RATE, row


class Script:
    """Stands for a measurement: notes who is measured, and does as told."""

    def __init__(self, **does: float | str) -> None:
        self.does = does
        self.measured: list[str] = []
        self.servers = 0

    def __call__(self, server: Any, contender: Contender, scale: Any) -> dict[str, float]:
        self.measured.append(contender.side)
        told = self.does.get(contender.side, 1.0)
        if isinstance(told, str):
            raise BenchmarkError(told)
        return {"rate": told}

    @contextmanager
    def server(self) -> Iterator[Any]:
        self.servers += 1
        yield None

    def run(self, repetitions: int, **options: Any) -> list[RowResult]:
        rows = [row(self, RATE)] * 2
        return list(run(rows, scale=QUICK, repetitions=repetitions, open_server=self.server, **options))


def test_everybody_comes_first_once() -> None:
    order = (UNDERSTUDY, STOCK, CELERY)
    assert [turn(order, repetition)[0] for repetition in range(4)] == [UNDERSTUDY, STOCK, CELERY, UNDERSTUDY]
    assert turn(order, 1) == (STOCK, CELERY, UNDERSTUDY)


def test_repetitions_are_interleaved_and_each_row_has_a_fresh_server() -> None:
    script = Script()
    first, _ = script.run(2)
    assert script.servers == 2
    assert script.measured[:8] == ["understudy", "stock", "stock", "celery", "stock", "stock", "celery", "understudy"]
    assert first.values[UNDERSTUDY.label] == {"rate": [1.0, 1.0]}


def test_a_failure_stops_nobody_else_and_is_not_repeated() -> None:
    script = Script(celery="it has ended")
    said: list[str] = []
    first, _ = script.run(3, say=said.append)
    assert first.failures == {CELERY.label: "it has ended"}
    assert first.values[STOCK_DEFAULTS.label] == {"rate": [1.0, 1.0, 1.0]}
    assert script.measured.count("celery") == 2  # once for each row
    assert "drain 1/3 Celery: failed: it has ended" in said


def test_who_never_came_to_the_end_is_not_tried_again() -> None:
    first, _ = Script(stock=math.inf).run(3)
    assert first.values[STOCK.label] == {"rate": [math.inf]}


def test_who_takes_minutes_is_measured_once() -> None:
    script = Script()
    rows = [replace(row(script, RATE), contenders=(UNDERSTUDY, once(CELERY)))]
    (found,) = run(rows, scale=QUICK, repetitions=3, open_server=script.server)
    assert found.values == {UNDERSTUDY.label: {"rate": [1.0] * 3}, "Celery (once)": {"rate": [1.0]}}


def test_who_is_not_available_is_left_out() -> None:
    first, _ = Script().run(1, available=lambda contender: contender.side == "understudy")
    assert list(first.values) == [UNDERSTUDY.label]
    assert first.failures == {}
