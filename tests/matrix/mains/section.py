"""The main actors on the page of the matrix: their verdicts, and what is promised of each."""

from __future__ import annotations

from collections.abc import Iterator

from tests.matrix.table import header, lines, notes, shown
from tests.matrix.verdicts import Verdicts

from .mains import MAINS, Main
from .trials import TRIALS

_TOP = """
## The main actors, at work

One actor of each domain in real workers, on a real server, a mail server, a receiver of webhooks, files and SQLite:
"""
_PROMISED = """
How often a message takes effect that is ended at its time limit while nothing answers, and one whose worker is killed
in its body:
"""
_FIGURES = """
How fast each is stands in [throughput.md](throughput.md), with the machine and the day."""


def section(verdicts: Verdicts) -> Iterator[str]:
    """The lines, in Markdown."""
    yield _TOP
    yield f"| main actor | of | {' | '.join(header(verdicts))} |"
    yield "|" + "---|" * (2 + len(verdicts.rows))
    for name, cells in lines(verdicts):
        yield f"| `{name}` | {verdicts.kinds[name]} | {' | '.join(map(shown, cells))} |"
    yield ""
    yield from (f"- {row.replace('_', ' ')}: {meaning}" for row, meaning in TRIALS.items())
    yield from (f"- {note}" for note in notes(verdicts))
    yield _PROMISED
    yield "| main actor | one message | at its limit | killed |"
    yield "|---|---|---|---|"
    yield from (_promised(MAINS[domain]) for domain in sorted(MAINS))
    yield _FIGURES


def _promised(main: Main) -> str:
    state, times = main.killed
    return f"| `{main.name}` | {main.unit} | {_times(main.ended)}, FAILURE | {_times(times)}, {state} |"


def _times(count: int) -> str:
    return ("not", "once", "twice")[count]
