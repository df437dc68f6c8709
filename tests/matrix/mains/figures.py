"""How fast the main actors are: measured, and as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from .mains import MAINS, Main
from .scenes import work


@dataclass(frozen=True)
class Figure:
    """Seconds that a plain loop and a worker thread needed for ``count`` messages of a main actor, and the most bytes
    that a process of the worker ever took until then."""

    main: Main
    count: int
    loop: float
    worker: float
    memory: int


def measure(directory: Path, count: int) -> Iterator[Figure]:
    """The figures of all main actors, one after the other."""
    with work(directory) as made:
        for name in sorted(MAINS):
            loop, worker = made.compare(MAINS[name], count)
            made.house.look()
            yield Figure(MAINS[name], count, loop, worker, made.house.peak)


def page(figures: Iterable[Figure], *, on: date) -> str:
    """The page, in Markdown."""
    return "\n".join(_page(list(figures), on)) + "\n"


def _page(figures: list[Figure], on: date) -> Iterator[str]:
    yield "# How fast the main actors are"
    yield ""
    yield (
        f"Measured by `make throughput` on {on.isoformat()}: {os.cpu_count()} processors, Python "
        f"{platform.python_version()}, {figures[0].count} messages each, a worker of one thread, the server with "
        "`appendfsync always`. Beside it a plain loop over the same bodies, in the same minute, on the same mail "
        "server, receiver, files and SQLite. The times are those of one machine and its load; the ratio is what the "
        "guards, the process of the body and the commit cost. `tests/matrix/mains` holds it below a wide bound."
    )
    yield ""
    yield "| main actor | one message | loop, ms each | worker, ms each | messages a second | ratio |"
    yield "|---|---|---:|---:|---:|---:|"
    for found in figures:
        loop, worker = (1000 * seconds / found.count for seconds in (found.loop, found.worker))
        yield (
            f"| `{found.main.name}` | {found.main.unit} | {loop:.1f} | {worker:.1f} | {1000 / worker:.0f} | "
            f"{worker / loop:.1f} |"
        )
    yield ""
    yield f"No process of the worker took more than {max(found.memory for found in figures) / 1024**2:.0f} MiB."
