"""What became of each cell, noted from pytest's own reports. Imports nothing of the project: ``__main__`` needs it
before pytest has prepared the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from .cells import Cell
    from .mains.trials import Trial

Word = Literal["pass", "FAIL", "excused", "due"]
WORDS: tuple[Word, ...] = ("pass", "FAIL", "excused", "due")


@dataclass(frozen=True)
class Verdict:
    """``detail``: what went wrong, what excuses it, or what it waits for."""

    word: Word
    detail: str = ""


class Verdicts:
    """The verdicts of one run.

    Attributes:
      rows: the rows that have a verdict, in the ``order`` that was given, else as they came.
      columns: the kinds of broker, in the order in which they came.
      cells: subject -> row -> column -> verdict.
      kinds: what each subject is: an actor, a workflow, a periodic job.
    """

    def __init__(self, order: Sequence[str] = ()) -> None:
        self._order = list(order)
        self.rows: list[str] = []
        self.columns: list[str] = []
        self.cells: dict[str, dict[str, dict[str, Verdict]]] = {}
        self.kinds: dict[str, str] = {}

    def note(self, cell: Cell | Trial, column: str, *, failure: str | None, decides: bool = True) -> None:
        """One phase (set-up, call, clean-up) of one test of ``cell`` has ended. A failure is never taken back;
        a test that does not decide can only make the cell fail."""
        if failure is None and not decides:
            return
        for known, new in ((self.rows, cell.row), (self.columns, column)):
            if new not in known:
                known.append(new)
        if self._order:
            self.rows.sort(key=self._order.index)
        self.kinds[cell.subject.name] = cell.subject.kind
        by_column = self.cells.setdefault(cell.subject.name, {}).setdefault(cell.row, {})
        before = by_column.get(column)
        if before is not None and before.word == "FAIL":
            return
        by_column[column] = Verdict(cell.aim, cell.detail) if failure is None else Verdict("FAIL", failure)

    def counts(self) -> dict[Word, int]:
        """How many cells read what, each broker's counted by itself."""
        found = [v.word for rows in self.cells.values() for row in rows.values() for v in row.values()]
        return {word: found.count(word) for word in WORDS}

    def as_json(self) -> dict[str, Any]:
        """For ``--json``: the same, with the counts."""
        return {
            "rows": self.rows,
            "columns": self.columns,
            "subjects": {
                name: {
                    row: {column: {"verdict": v.word, "detail": v.detail} for column, v in by_column.items()}
                    for row, by_column in by_row.items()
                }
                for name, by_row in self.cells.items()
            },
            "counts": self.counts(),
        }


#: Where the run keeps them: in ``config.stash``.
VERDICTS = pytest.StashKey[Verdicts]()
#: Where it keeps those of the main actors, and their one column.
MAIN_VERDICTS = pytest.StashKey[Verdicts]()
WORKERS = "workers"


def failure_of(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str | None:
    """The first line of what went wrong, or None. A test that was skipped has shown nothing."""
    if report.passed:
        return None
    if call.excinfo is None:
        return f"not passed in {report.when}"
    text = str(call.excinfo.value).strip().splitlines() or [""]
    name = "" if call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)) else call.excinfo.typename
    return ": ".join(part for part in (name, text[0]) if part) or call.excinfo.typename
