"""``python -m tests.matrix.sizes [--quick] [--only NAME ...] [--page FILE]``: every actor on data of real size."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from understudy import clock

#: What a shell says of a process that Ctrl-C has ended.
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """0: all ended as they should; 1: some did not; 2: wrong options; 130: Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix.sizes", description="Every actor on real data.")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all of it works")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="the scenes of these actors and flows")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the figures, or with --only their lines")
    given = parser.parse_args(argv)
    if given.page is not None and given.quick:
        parser.error("--page is for real sizes: leave --quick away")
    # As pytest does: what is imported now stands on the broker in memory.
    os.environ["BROKER_URL"] = "stub://"
    from tests import postgres

    from . import subjects
    from .figures import merged, page
    from .scenes import SceneFailed, perform, wanted

    assert subjects  # importing them has filled SCENES
    try:
        scenes = wanted(given.only)
    except ValueError as error:
        parser.error(str(error))
    began = clock.monotonic()
    for signum in (signal.SIGINT, signal.SIGTERM):  # also where a shell has it ignored
        signal.signal(signum, signal.default_int_handler)
    try:
        figures = perform(scenes, quick=given.quick, tell=_tell)
    except SceneFailed as error:
        sys.stderr.write(f"FAILED\n{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: everything is stopped, nothing was written\n")
        return INTERRUPTED
    without = [] if postgres.programs() else ["PostgreSQL"]
    today = clock.utc(clock.now()).date()
    text = page(figures, on=today, seconds=clock.monotonic() - began, without=without)
    sys.stdout.write(text)
    if given.page is not None:
        given.page.write_text(merged(given.page.read_text(), figures, on=today) if given.only else text)
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{clock.utc(clock.now()):%H:%M:%S} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
