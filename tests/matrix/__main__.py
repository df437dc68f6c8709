"""``python -m tests.matrix [--json FILE] [--page FILE] [-k NAME] [PATH ...]``: runs the matrix and prints it.

Exit code 0: no cell failed, and neither did a test of the matrix itself; 1: something did; 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .table import write
from .verdicts import MAIN_VERDICTS, VERDICTS, Verdicts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class _Keep:
    """A pytest plugin: keeps what the run has noted when the run is over."""

    def __init__(self) -> None:
        self.verdicts, self.mains = Verdicts(), Verdicts()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.verdicts = session.config.stash.get(VERDICTS, self.verdicts)
        self.mains = session.config.stash.get(MAIN_VERDICTS, self.mains)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.matrix", description="Run every cell of the test matrix and print the table."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts to FILE as well")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table to FILE in Markdown as well")
    parser.add_argument("-k", metavar="NAME", help="only the cells of subjects (or rows) with this in their name")
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", default=[HERE], help="tests to run instead")
    given = parser.parse_args(argv)
    if given.page is not None and given.k is not None:
        parser.error("--page is a page of all subjects, so it does not go with -k")
    keep = _Keep()
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-q", "--no-header"]
    if given.k is not None:
        options += ["-k", given.k]
    code = pytest.main([*options, *map(str, given.paths)], plugins=[keep])
    verdicts, mains = keep.verdicts, keep.mains
    if given.json is not None:
        told = verdicts.as_json() | ({"mains": mains.as_json()} if mains.cells else {})
        given.json.write_text(json.dumps(told, indent=2) + "\n")
    if given.page is not None and verdicts.cells:
        from .page import page  # it imports the cells, for which pytest had to prepare the ground

        given.page.write_text(page(verdicts, mains))
    for table in (verdicts, mains):
        if table.cells:
            sys.stdout.write("\n")
            write(table, sys.stdout)
    if not verdicts.cells and not mains.cells:
        sys.stdout.write("no cell was run\n")
        return 1
    failed = verdicts.counts()["FAIL"] + mains.counts()["FAIL"]
    if code != 0 and not failed:
        sys.stdout.write("every cell is in order, but a test of the matrix itself is not: see above\n")
    return 1 if code != 0 or failed else 0


if __name__ == "__main__":
    sys.exit(main())
