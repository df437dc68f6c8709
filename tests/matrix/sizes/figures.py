"""What was measured, and as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

MIB = 1024**2


@dataclass(frozen=True)
class Figure:
    """What became of an actor or a flow that was given much to do.

    Attributes:
      subject: its name.
      on: what it was given.
      count: how many of ``unit`` that is.
      seconds: how long it took.
      worker, body: the most memory, in bytes, that the process of the worker and one that runs bodies ever had; 0 for
        no such process.
      checked: what was looked at afterwards.
    """

    subject: str
    on: str
    count: int
    unit: str
    seconds: float
    worker: int
    body: int
    checked: str

    @property
    def line(self) -> str:
        """It in a line, for whoever waits."""
        return (
            f"{self.subject}: {self.on}: {self.seconds:.1f} s, {self.rate} {self.unit}/s, "
            f"worker {_mib(self.worker)} MiB, body {_mib(self.body)} MiB"
        )

    @property
    def rate(self) -> str:
        """How many in a second."""
        found = self.count / self.seconds
        return f"{found:,.0f}" if found >= 10 else f"{found:.1f}"


def page(figures: Sequence[Figure], *, on: date, seconds: float, without: Sequence[str] = ()) -> str:
    """The page, in Markdown. ``without`` is what the machine has not."""
    return "\n".join(_page(figures, on, seconds, without)) + "\n"


def merged(text: str, figures: Sequence[Figure], *, on: date) -> str:
    """A page with ``figures`` in the place of those that it has of the same subjects. They say their day, if it is
    another one than the page's."""
    told = "" if _day(on) in text else f" (measured on {on.isoformat()})"
    new: dict[str, list[str]] = {}
    for found in figures:
        new.setdefault(found.subject, []).append(_row(found, found.on + told))
    kept, placed = list[str](), set[str]()
    for line in text.splitlines():
        subject = subject_of(line)
        if subject not in new:
            kept.append(line)
        elif subject not in placed:
            kept += new[subject]
            placed.add(subject)
    # The table is at the end.
    return "\n".join([*kept, *(row for subject in new if subject not in placed for row in new[subject])]) + "\n"


def _day(on: date) -> str:
    return f"Measured by `make sizes` on {on.isoformat()}"


def subject_of(line: str) -> str:
    """Whose line it is; "" when it is no line of the table."""
    return line.split("`")[1] if line.startswith("| `") else ""


def _page(figures: Sequence[Figure], on: date, seconds: float, without: Sequence[str]) -> Iterator[str]:
    yield "# Every actor on data of real size"
    yield ""
    yield (
        f"{_day(on)}: {os.cpu_count()} processors, Python "
        f"{platform.python_version()}; {seconds / 60:.0f} minutes for all of it. For each line a new worker of two "
        "threads, the server with `appendfsync always`, SQLite with `synchronous = FULL`, a mail server and a receiver "
        "of webhooks on sockets, files on the disk. PostgreSQL is the one that tests start, without `fsync`"
        f"{''.join(f'; there was no {what}' for what in without)}. The times are those of one machine and its load."
    )
    yield ""
    yield (
        "The time runs from the first message that is sent to the end of the last. Of the steps of a flow, which run "
        "side by side, it is that of all their bodies together, and their memory is that of the whole flow. Memory is "
        "the most that a process ever had resident (`VmHWM`): that of the worker, and of the process of the body, "
        "where it has one of its own. A run that does not end as the last column says fails, and there is no page."
    )
    yield ""
    yield "| | on | seconds | a second | worker, MiB | body, MiB | checked |"
    yield "|---|---|---:|---:|---:|---:|---|"
    yield from (_row(found, found.on) for found in figures)


def _row(found: Figure, on: str) -> str:
    return (
        f"| `{found.subject}` | {on} | {found.seconds:.1f} | {found.rate} {found.unit} | "
        f"{_mib(found.worker)} | {_mib(found.body)} | {found.checked} |"
    )


def _mib(size: int) -> str:
    return f"{size / MIB:.0f}" if size else "–"  # noqa: RUF001 - a dash, where there is nothing
