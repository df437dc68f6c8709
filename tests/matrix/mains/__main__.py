"""``python -m tests.matrix.mains [--count N] [--page FILE]``: measures the main actors, and writes the figures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from understudy import clock


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix.mains", description="Measure the main actors.")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="messages of each (default %(default)s)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the figures to FILE in Markdown")
    given = parser.parse_args(argv)
    # As pytest does: what is imported now stands on the broker in memory, and its bodies run here.
    os.environ["BROKER_URL"] = "stub://"
    from .figures import measure, page

    with tempfile.TemporaryDirectory() as directory:
        text = page(measure(Path(directory), given.count), on=clock.utc(clock.now()).date())
    sys.stdout.write(text)
    if given.page is not None:
        given.page.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
