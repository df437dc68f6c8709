from __future__ import annotations

from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from rich.console import Console, RenderableType

from understudy.cli import views
from understudy.inspection import describe
from understudy.records import Record


def row(**known: Any) -> dict[str, Any]:
    return {**describe("m1", Record()), "known": True, "actor": "write", "queue": "mail", "attempts": 1, **known}


def shown(view: RenderableType) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_an_unknown_id_comes_with_a_word_of_warning() -> None:
    said = shown(views.block(describe("m1", Record())))
    assert "PENDING" in said
    assert "unknown and waiting look the same" in said


def test_progress_is_a_bar_and_words() -> None:
    said = shown(views.block(row(state="PROGRESS", progress={"current": 3, "total": 4, "item": "ada", "left": [1]})))
    assert "━━━" in said
    assert "3/4  item=ada  left=[1]" in said


@pytest.mark.parametrize(
    ("current", "total", "words"),
    [(67302, 1_000_000, "67,302/1,000,000"), (0.5, 2.5, "0.5/2.5"), (1_234_567, None, "1,234,567")],
)
def test_whole_numbers_are_written_whole(current: float, total: float | None, words: str) -> None:
    progress = {"current": current, **({} if total is None else {"total": total})}
    assert words in shown(views.block(row(state="PROGRESS", progress=progress)))


@pytest.mark.parametrize(
    "progress",
    [
        None,
        {},
        {"current": 3},
        {"total": 0, "current": 0},
        {"current": 9, "total": 4},
        {"current": "x", "total": "y"},
        7,
    ],
)
def test_any_progress_can_be_drawn(progress: Any) -> None:
    for state in views.STYLES:
        one = row(state=state, progress=progress)
        assert state in shown(views.block(one))
        assert state in shown(views.table([one]))


def test_a_long_result_is_cut_and_says_so() -> None:
    said = " ".join(shown(views.block(row(state="SUCCESS", result="x" * 1000))).split())
    assert "502 characters more: --json" in said


def test_text_of_a_message_is_not_taken_for_markup() -> None:
    one = row(state="FAILURE", exception={"type": "ValueError", "message": "[red]no[/]"})
    assert "ValueError: [red]no[/]" in shown(views.block(one))
    assert "ValueError: [red]no[/]" in shown(views.table([one]))


def test_the_traceback_is_shown_when_asked_for() -> None:
    one = row(state="FAILURE", traceback="Traceback ...\n  the line\n")
    assert "the line" not in shown(views.block(one))
    assert "add --traceback" in shown(views.block(one))
    assert "the line" in shown(views.block(one, traceback=True))


def test_a_retry_says_when_it_runs_again(freezer: FrozenDateTimeFactory) -> None:
    one = row(
        state="RETRY",
        next_run="2026-03-01T12:01:30+00:00",
        exception={"type": "smtplib.SMTPException", "message": "down"},
    )
    assert views.note(one) == "again 2026-03-01 12:01:30 UTC (in 1 min): SMTPException: down"
    assert "next run  2026-03-01 12:01:30 UTC (in 1 min)" in shown(views.block(one))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (0.9, "now"), (5, "5 s ago"), (-90, "in 1 min"), (7200, "2 h ago"), (200000, "2 d ago")],
)
def test_times_are_told_in_the_largest_unit(seconds: float, text: str) -> None:
    assert views.ago(seconds) == text


def test_rate_and_time_left_stand_beside_the_numbers() -> None:
    one = row(state="PROGRESS", progress={"current": 3, "total": 4, "item": "ada"}, rate=0.25, eta=4.0)
    assert views.note(one) == "3/4  0.25/s  4 s left  item=ada"
    assert views.note({**one, "rate": 12_345.6, "eta": 200.0}) == "3/4  12,346/s  3 min left  item=ada"
    assert views.note({**one, "rate": 1.0, "eta": None}) == "3/4  1/s  item=ada"
    assert views.note({**one, "eta": 0.0}).startswith("3/4  0.25/s  0 s left")


def many(**states: int) -> list[dict[str, Any]]:
    return [row(id=f"{state}{n}", state=state) for state, count in states.items() for n in range(count)]


def test_a_board_has_a_bar_for_each_message_and_counts_them() -> None:
    said = shown(views.board(many(SUCCESS=2, PROGRESS=3), 40))
    assert said.count("━") > 50
    assert all(name in said for name in ("SUCCESS0", "SUCCESS1", "PROGRESS0", "PROGRESS1", "PROGRESS2"))
    assert "2 of 5 have ended" in said
    assert "have ended" not in shown(views.board(many(SUCCESS=1), 40))


def test_a_board_that_is_too_long_shows_what_goes_on_and_what_failed_first() -> None:
    said = shown(views.board(many(SUCCESS=30, FAILURE=2, PROGRESS=3), 10))
    assert len(said.splitlines()) == 9
    assert all(name in said for name in ("PROGRESS0", "PROGRESS2", "FAILURE0", "FAILURE1", "SUCCESS0"))
    assert "32 of 35 have ended; 8 are shown" in said


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        ({"worker": "w1", "alive": True, "silent": None}, "held by w1, which lives"),
        (
            {"worker": "w1", "alive": False, "silent": 12.0},
            "held by w1, silent for up to 12 s: it will run elsewhere when the lease is over",
        ),
        ({"worker": None, "alive": False, "silent": None}, "held by nobody: it waits to run again"),
    ],
)
def test_who_holds_a_message_is_told(holder: dict[str, Any], words: str) -> None:
    said = " ".join(shown(views.block(row(state="PROGRESS", holder=holder, deaths=2))).split())
    assert words in said
    assert "deaths 2: so often a process died at its body" in said
    assert "held by" not in shown(views.block(row(state="RETRY", holder=holder)))
    assert "deaths" not in shown(views.block(row(state="PROGRESS", holder=holder, deaths=0)))
