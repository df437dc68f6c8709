"""polars reads and writes files in ``tasks/adapters`` only, where paths and sizes are checked; elsewhere it counts."""

import ast
from pathlib import Path

import pytest

from tests.house.project import PACKAGES, ROOT, project_files, write

ADAPTERS = Path("tasks/adapters")
_DOORS = ("read_", "scan_", "write_", "sink_")


def doors(source: str) -> list[int]:
    """The lines in which something is called that reads or writes, in a module that imports polars."""
    tree = ast.parse(source)
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    names = [getattr(node, "module", None) or alias.name for node in imports for alias in node.names]
    if not any(name.partition(".")[0] == "polars" for name in names):
        return []
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return sorted(node.lineno for node in calls if node.attr.startswith(_DOORS))


def violations(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}:{line} reads or writes with polars; use tasks/adapters/files.py"
        for package in PACKAGES
        for path in project_files(root / package, ".py")
        if not path.relative_to(root).is_relative_to(ADAPTERS)
        for line in doors(path.read_text())
    ]


def test_only_adapters_read_and_write_with_polars() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    "source",
    [
        "import polars as pl\n\npl.read_csv('a')",
        "def f():\n    import polars\n    polars.scan_parquet('a')",
        "import polars as pl\n\npl.DataFrame().write_csv('a')",
        "from polars import LazyFrame\n\nLazyFrame().sink_parquet('a')",
    ],
)
def test_each_way_of_reading_and_writing_is_seen(source: str) -> None:
    assert doors(source) == [3]


def test_computing_and_other_libraries_are_let_pass(tmp_path: Path) -> None:
    write(tmp_path / "workflows/flow.py", "import polars as pl\npl.DataFrame().select(pl.col('a'))\n")
    write(tmp_path / "workflows/other.py", "wire.read_message()\n")
    write(tmp_path / "tasks/adapters/frames.py", "import polars as pl\npl.read_csv('a')\n")
    assert violations(tmp_path) == []
    write(tmp_path / "tasks/late.py", "import polars as pl\npl.read_csv('a')\n")
    assert violations(tmp_path) == ["tasks/late.py:2 reads or writes with polars; use tasks/adapters/files.py"]
