"""The matrix itself: every subject in every row, on every broker."""

from __future__ import annotations

import pytest

from . import cases
from .cells import SABOTAGE, Cell, Sabotage, cells, run, run_sabotaged
from .entries import ENTRIES
from .rules import problems_of_entries
from .subjects import subjects

assert cases  # importing it has filled ENTRIES
SUBJECTS = subjects()
CELLS = cells(SUBJECTS, ENTRIES)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(cell: Cell, broker_kind: str, request: pytest.FixtureRequest) -> None:
    run(cell, request)


@pytest.mark.brokers("stub")
@pytest.mark.parametrize(
    ("sabotaged_cell", "sabotage"),
    [
        pytest.param(cell, sabotage, id=f"{cell}-{sabotage.__name__.strip('_')}")
        for cell in CELLS
        if cell.is_case
        for sabotage in SABOTAGE[cell.row]
    ],
)
def test_a_case_notices_when_something_is_taken_away(
    sabotaged_cell: Cell, sabotage: Sabotage, broker_kind: str, request: pytest.FixtureRequest
) -> None:
    run_sabotaged(sabotaged_cell, sabotage, request)


def test_every_entry_belongs_to_a_subject_and_has_rows_only() -> None:
    assert problems_of_entries(SUBJECTS, ENTRIES) == []
