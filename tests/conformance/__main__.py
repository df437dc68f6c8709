"""``python -m tests.conformance [PATH ...]``: runs the behaviours and prints the table.

Exit code 0: every behaviour has the verdict that is wanted, and the rules hold; 1: not so; 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .table import VERDICTS, Verdicts, write

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class _Keep:
    """A pytest plugin: keeps what the run has noted when the run is over."""

    def __init__(self) -> None:
        self.verdicts = Verdicts()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.verdicts = session.config.stash.get(VERDICTS, self.verdicts)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description="Run every behaviour of Celery and print the table."
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", default=[HERE], help="tests to run instead")
    given = parser.parse_args(argv)
    keep = _Keep()
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-q", "--no-header"]
    code = pytest.main([*options, *map(str, given.paths)], plugins=[keep])
    sys.stdout.write("\n")
    fine = write(keep.verdicts, sys.stdout)
    if fine and code != 0:
        sys.stdout.write("every behaviour is as wanted, but a rule is broken: see above\n")
    return 0 if fine and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
