"""``python -m benchmarks``: measures side by side, prints the table, writes the page."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from . import machine, report
from .contenders import CELERY
from .lab import fresh_server
from .measures.delaying import PATIENCE
from .process import interpreter
from .results import RowResult
from .rows import ROWS
from .runner import run
from .scale import FULL, QUICK, Scale

WIDTH = 140


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ends the process with a usage message when it is wrong."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages, one repetition: a first impression")
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help=f"some rows only: {', '.join(names)}")
    parser.add_argument("--sides", nargs="+", metavar="SIDE", help="some sides only: understudy, stock, celery")
    parser.add_argument("--reps", type=int, help="repetitions, interleaved (default: 3; 1 with --quick)")
    parser.add_argument("--delayed", type=int, help="messages of the row `delayed` (default: 1,000,000; quick 100,000)")
    parser.add_argument("--fsync", choices=("everysec", "always"), default="everysec", help="of the server, for all")
    parser.add_argument("--pin", action="store_true", help="bind each worker process to one core (Linux)")
    parser.add_argument("--tcp", action="store_true", help="connect through TCP on loopback, not a unix socket")
    parser.add_argument("--out", type=Path, help="write the page there (Markdown)")
    return parser.parse_args(arguments)


def conditions(scale: Scale, repetitions: int) -> list[str]:
    """What a reader must know of the run to judge the figures."""
    return [
        f"Repetitions: {repetitions}, interleaved, all contenders of a table on one fresh server",
        f"Messages: {scale.drain:,} a drain (Celery {CELERY.count(scale.drain):,}), {scale.delayed:,} delayed",
        "Rates leave out the first tenth of the messages; CPU is the worker's, without the server's",
        f'"never": not within {scale.recovery_limit:g} s (recovery) or {PATIENCE:g} s (delayed); not tried again',
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 130 when it was interrupted; what was measured until then is shown, and not written."""
    wanted = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    scale = QUICK if wanted.quick else FULL
    if wanted.delayed is not None:
        scale = replace(scale, delayed=wanted.delayed)
    repetitions = wanted.reps or (1 if wanted.quick else 3)
    # Into a file or a pipe no line is broken: a table is wider than the 80 columns that are assumed there.
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    progress = Console(stderr=True, style="dim", highlight=False, soft_wrap=True)
    missing = []
    if not interpreter(CELERY.side).exists():
        missing.append("Celery (`make bench` installs it)")
        progress.print("Celery is not installed, so it is left out: `make bench` installs it")
    results: list[RowResult] = []
    try:
        facts = machine.describe(wanted.fsync, pin=wanted.pin, tcp=wanted.tcp)
        for name, value in facts.items():
            console.print(f"{name}: {value}", highlight=False, markup=False)
        for result in run(
            [row for row in ROWS if wanted.only is None or row.name in wanted.only],
            scale=scale,
            repetitions=repetitions,
            open_server=partial(fresh_server, wanted.fsync, pin=wanted.pin, tcp=wanted.tcp),
            available=lambda c: interpreter(c.side).exists() and (wanted.sides is None or c.side in wanted.sides),
            say=lambda line: progress.print(line, markup=False),
        ):
            report.print_row(console, result)
            results.append(result)
    except KeyboardInterrupt:
        progress.print("interrupted; every process is ended")
        return 130
    if wanted.out is not None:
        wanted.out.parent.mkdir(parents=True, exist_ok=True)
        page = report.markdown(results, machine=facts, how=conditions(scale, repetitions), missing=missing)
        wanted.out.write_text(page)
        progress.print(f"written to {wanted.out}")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
