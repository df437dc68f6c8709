"""The rows: what is asked of a main actor that works for real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from . import domains
from .mains import MAINS, Main

assert domains  # importing them has filled MAINS

#: The rows, with what a passing trial has shown.
TRIALS: dict[str, str] = {
    "throughput": "a worker thread is not much slower with its messages than a plain loop over the same bodies",
    "time_out": "a body for which nothing answers is ended by its limit, and its thread does the next message",
    "server_restart": "through a restart of the server while its body runs and others wait, each takes effect once",
    "worker_kill": "after kill -9 of the worker in its body, each takes effect as often as is promised, and ends",
}


@dataclass(frozen=True)
class Shown:
    """What the table shows of a main actor: its name, and its domain."""

    name: str
    kind: str


@dataclass(frozen=True)
class Trial:
    """One main actor in one row. To the table it is a cell that is never excused."""

    main: Main
    row: str

    #: All rows, in order.
    rows: ClassVar[tuple[str, ...]] = tuple(TRIALS)
    #: What the table reads of a cell.
    aim: ClassVar[Literal["pass"]] = "pass"
    detail: ClassVar[str] = ""
    problem: ClassVar[None] = None

    def __str__(self) -> str:
        return f"{self.main.name}-{self.row}"

    @property
    def subject(self) -> Shown:
        """What the table calls it."""
        return Shown(self.main.name, self.main.domain)


def trials(row: str | None = None) -> list[Trial]:
    """Every main actor, in every row or in this one."""
    return [Trial(MAINS[name], asked) for name in sorted(MAINS) for asked in TRIALS if row in (None, asked)]
