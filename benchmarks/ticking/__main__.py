"""``python -m benchmarks.ticking``: runs every contender in turn, each on a fresh server, and prints the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lab import fresh_server

from .contenders import CONTENDERS, Contender
from .tally import Tally
from .trial import END, KILL, KILL_AGAIN, START, Trial


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ticking", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="LABEL", help="contenders whose label contains one of these")
    parser.add_argument("--reps", type=int, default=1, help="trials of each (default: 1)")
    given = parser.parse_args(arguments)
    chosen = [one for one in CONTENDERS if not given.only or any(part in one.label for part in given.only)]
    lines = []
    for _ in range(given.reps):
        for contender in chosen:
            lines.append(line(contender, _one(contender)))
            sys.stderr.write(f"{lines[-1]}\n")
    sys.stdout.write("\n".join([*HEAD, *sorted(lines)]) + "\n")
    return 0


HEAD = (
    "Two schedulers, a job due each second.",
    f"The one that sent last is killed with -9 after {KILL} s and after {KILL_AGAIN} s.",
    f"Another one is started after {START} s. {END} s in all.",
    "",
    "| | seconds | sent | doubled seconds | missed seconds | until the next tick after a kill |",
    "|---|---|---|---|---|---|",
)


def line(contender: Contender, found: Tally) -> str:
    """A row of the table."""
    takeovers = ", ".join("none" if one is None else f"{one:.1f} s" for one in found.takeovers)
    counts = " | ".join(str(count) for count in (found.seconds, found.sent, found.doubled, found.missed))
    return f"| {contender.label} | {counts} | {takeovers} |"


def _one(contender: Contender) -> Tally:
    with tempfile.TemporaryDirectory() as directory, fresh_server("everysec", tcp=True) as server:
        return Trial(contender, server.url, Path(directory)).run()


if __name__ == "__main__":
    sys.exit(main())
