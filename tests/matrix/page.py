"""The verdicts as a page of the documentation, without dates and durations: it changes with the matrix only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .cells import Cell
from .table import header, lines, notes
from .verdicts import Verdict, Verdicts

#: The kinds of broker, in the order of a run.
BROKERS = ("stub", "server")

_TOP = """# The matrix, as it was last run

Written by `make matrix-page`, which runs every cell; a test fails when this page does not say what the registered
subjects and their entries give. What a row asks, and how an excuse is granted, stands
[elsewhere](../explanation/matrix.md).
"""


def page(verdicts: Verdicts) -> str:
    """The page, in Markdown."""
    return "\n".join(_page(verdicts)) + "\n"


def promised(cells: Iterable[Cell], brokers: Iterable[str] = BROKERS) -> Verdicts:
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
        shown = name.removeprefix(f"{verdicts.kinds[name]}:")
        yield f"| `{shown}` | {verdicts.kinds[name]} | {' | '.join(map(_cell, cells))} |"
    yield ""
    yield from (f"- {note}" for note in notes(verdicts))


def _cell(verdicts: list[Verdict]) -> str:
    words = [verdict.word for verdict in verdicts]
    return words[0] if len(set(words)) == 1 else " / ".join(words)
