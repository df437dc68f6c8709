"""The wall clock is read in ``understudy/clock.py`` only: what time it is can be set by a test."""

import ast
from pathlib import Path

import pytest

from tests.house.project import PACKAGES, ROOT, project_files, write

CLOCK = Path("understudy/clock.py")

#: What reads the wall clock, by the full name it has after its import.
READERS = frozenset(
    {
        "time.time",
        "time.time_ns",
        "time.clock_gettime",
        "time.clock_gettime_ns",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
    }
)


def readers_of_the_wall_clock(source: str) -> list[tuple[int, str]]:
    """(line, full name) of every mention of a reader, called or handed on (``default_factory=time.time``)."""
    tree = ast.parse(source)
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                imported[local] = alias.name if alias.asname else local
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            head, *rest = ast.unparse(node).split(".")
            name = ".".join([imported.get(head, ""), *rest])
            if name in READERS:
                found.append((node.lineno, name))
    return found


def violations(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}:{line} reads {name}; use understudy.clock.now()"
        for package in PACKAGES
        for path in project_files(root / package, ".py")
        if path.relative_to(root) != CLOCK
        for line, name in readers_of_the_wall_clock(path.read_text())
    ]


def test_only_the_clock_module_reads_the_wall_clock() -> None:
    assert violations(ROOT) == []
    assert readers_of_the_wall_clock((ROOT / CLOCK).read_text()) != []


@pytest.mark.parametrize(
    "source",
    [
        "import time\nnow = time.time()",
        "import time as t\nnow = t.time_ns()",
        "from time import time\nnow = time()",
        "from time import time as wall\nfield(default_factory=wall)",
        "import datetime\nnow = datetime.datetime.now(tz=None)",
        "from datetime import datetime, date\nnow = datetime.utcnow()",
        "from datetime import datetime, date\nnow = date.today()",
    ],
)
def test_each_way_of_reading_it_is_seen(source: str) -> None:
    assert [line for line, _ in readers_of_the_wall_clock(source)] == [2]


@pytest.mark.parametrize(
    "source",
    [
        "import time\nstart = time.monotonic()",
        "from understudy import clock\nnow = clock.now()",
        "from datetime import datetime\nthen = datetime.fromtimestamp(0)",
        "def due(time):\n    return time.time",
        "'time.time() in a text'",
    ],
)
def test_what_does_not_read_it_is_let_pass(source: str) -> None:
    assert readers_of_the_wall_clock(source) == []


def test_a_planted_reader_is_reported_with_its_place(tmp_path: Path) -> None:
    write(tmp_path / "understudy/clock.py", "import time\ntime.time()\n")
    write(tmp_path / "tasks/late.py", "import time\n\ntime.time()\n")
    assert violations(tmp_path) == ["tasks/late.py:3 reads time.time; use understudy.clock.now()"]
