from __future__ import annotations

from typing import Any

import pytest

from . import planted as plants
from .cells import Cell, cells
from .planted import Greet, planted
from .verdicts import Verdict, Verdicts, failure_of

CELLS = {cell.row: cell for cell in cells([planted(plants.greet, **plants.OPTIONS)], {"greet": Greet})}
RETRY = CELLS["retry"]


def noted(cell: Cell, *failures: str | None) -> Verdict:
    verdicts = Verdicts()
    for failure in failures:
        verdicts.note(cell, "stub", failure=failure)
    return verdicts.cells["greet"][cell.row]["stub"]


def test_a_cell_reads_pass_excused_or_due_when_its_test_passed() -> None:
    assert noted(RETRY, None, None, None) == Verdict("pass")
    assert noted(CELLS["progress"], None) == Verdict("excused", "no item loop, declared shorter than 1 s")
    assert noted(CELLS["chain_stop"], None).word == "due"


def test_rows_stand_in_the_order_that_was_given() -> None:
    verdicts = Verdicts(["timeout", "retry"])
    for row in ("retry", "timeout"):
        verdicts.note(CELLS[row], "stub", failure=None)
    assert verdicts.rows == ["timeout", "retry"]


def test_a_failure_in_any_phase_is_never_taken_back() -> None:
    assert noted(RETRY, None, "broken", None) == Verdict("FAIL", "broken")
    assert noted(RETRY, None, None, "clean-up broken") == Verdict("FAIL", "clean-up broken")
    assert noted(CELLS["timeout"], "nobody waits for it") == Verdict("FAIL", "nobody waits for it")


def test_a_test_that_does_not_decide_can_only_make_a_cell_fail() -> None:
    verdicts = Verdicts()
    verdicts.note(RETRY, "stub", failure=None, decides=False)
    assert verdicts.cells == {}
    verdicts.note(RETRY, "stub", failure=None)
    verdicts.note(RETRY, "stub", failure="cannot fail", decides=False)
    assert verdicts.cells["greet"]["retry"]["stub"] == Verdict("FAIL", "cannot fail")


def test_each_broker_is_counted_by_itself() -> None:
    verdicts = Verdicts()
    for cell in CELLS.values():
        verdicts.note(cell, "stub", failure=None)
        verdicts.note(cell, "server", failure="down" if cell is RETRY else None)
    assert verdicts.counts() == {"pass": 5, "FAIL": 1, "excused": 4, "due": 2}
    assert verdicts.columns == ["stub", "server"]
    assert verdicts.as_json()["subjects"]["greet"]["retry"] == {
        "stub": {"verdict": "pass", "detail": ""},
        "server": {"verdict": "FAIL", "detail": "down"},
    }


def failure(outcome: Any, raises: BaseException | None) -> str | None:
    def body() -> None:
        if raises is not None:
            raise raises

    call = pytest.CallInfo[None].from_call(body, "call")
    return failure_of(pytest.TestReport("id", ("", 0, ""), {}, outcome, None, "call"), call)


def test_what_went_wrong_is_told_in_one_line() -> None:
    assert failure("passed", None) is None
    assert failure("failed", AssertionError("assert 1 == 2\n + where")) == "assert 1 == 2"
    assert failure("failed", ConnectionError("refused")) == "ConnectionError: refused"
    assert failure("failed", KeyError()) == "KeyError"
    assert failure("failed", AssertionError()) == "AssertionError"


def test_a_test_that_was_skipped_has_shown_nothing() -> None:
    assert failure("skipped", pytest.skip.Exception("no server")) == "Skipped: no server"
