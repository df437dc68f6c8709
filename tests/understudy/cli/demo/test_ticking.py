"""What the demo says of ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from understudy.cli.demo.ticking import judge, terms
from understudy.scheduler.overview import Run

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(seconds: float, term: int = 1) -> Run:
    fire = NOON + timedelta(seconds=seconds)
    return Run(fire, "sent", fire.timestamp(), 0.0, f"demo_tick@{seconds}", 0, False, term)


def test_ticks_that_are_half_a_second_apart_are_right() -> None:
    assert judge([run(0), run(0.5), run(1)]) == []


def test_one_that_is_doubled_or_missing_is_told() -> None:
    (doubled,) = judge([run(0), run(0), run(0.5)])
    (missing,) = judge([run(0), run(1)])
    assert "12:00:00.000000 and 12:00:00.000000 is not half a second" in doubled
    assert "12:00:00.000000 and 12:00:01.000000" in missing


def test_terms_are_told_in_order() -> None:
    assert terms([run(0), run(1, term=2), run(2, term=2)]) == "1 and 2"
