"""The verdicts as a page of the documentation, without dates and durations: it changes with the matrix only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .cells import Cell
from .mains.section import section
from .mains.trials import Trial
from .table import header, lines, notes, shown
from .verdicts import Verdicts

#: The kinds of broker, in the order of a run.
BROKERS = ("stub", "server")

_TOP = """# The matrix, as it was last run

Written by `make matrix-page`, which runs every cell; a test fails when this page does not say what the registered
subjects and their entries give. What a row asks, and how an excuse is granted, stands
[elsewhere](../explanation/matrix.md).
"""


def page(verdicts: Verdicts, mains: Verdicts | None = None) -> str:
    """The page, in Markdown; with the verdicts on ``mains`` if those were run."""
    lines = list(_page(verdicts))
    if mains is not None and mains.cells:
        lines += section(mains)
    return "\n".join(lines) + "\n"


def promised(cells: Iterable[Cell | Trial], brokers: Iterable[str] = BROKERS) -> Verdicts:
    """What a run of ``cells`` in order gives: each reads what it aims at, and what is wrong before anything runs is
    a failure."""
    verdicts, columns = Verdicts(), list(brokers)
    for cell in cells:
        for column in columns:
            verdicts.note(cell, column, failure=cell.problem)
    return verdicts


def _page(verdicts: Verdicts) -> Iterator[str]:
    yield _TOP
    yield f"In each cell: the verdict on {' and '.join(verdicts.columns)}, once if it is the same."
    yield ""
    titles = ["subject", "kind", *header(verdicts)]
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    for name, cells in sorted(lines(verdicts), key=lambda line: (verdicts.kinds[line[0]], line[0])):
        title = name.removeprefix(f"{verdicts.kinds[name]}:")
        yield f"| `{title}` | {verdicts.kinds[name]} | {' | '.join(map(shown, cells))} |"
    yield ""
    yield from (f"- {note}" for note in notes(verdicts))
