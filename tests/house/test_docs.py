"""The documentation does not drift: links lead somewhere, and its map of the floors is the enforced one."""

import re
import tomllib
from pathlib import Path

from tests.house.project import ROOT, project_files, write

ARCHITECTURE = ROOT / "docs/explanation/architecture.md"


def broken_links(root: Path) -> list[str]:
    """A line for each relative link of a Markdown file that leads to no file."""
    return [
        f"{path.relative_to(root)} links to {target}, which does not exist"
        for path in project_files(root, ".md")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]


def enforced_floors(pyproject: str) -> list[set[str]]:
    """The modules of each floor of the import contract, lowest first."""
    contracts = tomllib.loads(pyproject)["tool"]["importlinter"]["contracts"]
    (floors,) = (contract["layers"] for contract in contracts if contract["id"] == "floors")
    return [set(re.findall(r"\w+", floor)) for floor in reversed(floors)]


def drawn_floors(page: str) -> list[set[str]]:
    """The modules of each floor of the page's table, lowest first."""
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", modules)) for _, modules in sorted(rows, key=lambda row: int(row[0]))]


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    assert broken_links(ROOT) == []


def test_a_link_to_nowhere_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "docs/b.md", "")
    write(tmp_path / "a.md", "[b](docs/b.md#part) [c](docs/c.md) [web](https://example.org/x) [here](#top)")
    assert broken_links(tmp_path) == ["a.md links to docs/c.md, which does not exist"]


def missing_tests(page: str, root: Path) -> list[str]:
    """What a page names as a test, in backticks, and is not there."""
    named = re.findall(r"`((?:tests|benchmarks)/[^`]*)`", page)
    return [name for name in named if not (root / name).exists()]


def test_every_test_that_the_guarantees_name_is_there() -> None:
    assert missing_tests((ROOT / "docs/explanation/guarantees.md").read_text(), ROOT) == []


def test_a_test_that_is_gone_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "tests/test_a.py", "")
    assert missing_tests("`tests/test_a.py`, `tests/test_b.py`, `make demo`", tmp_path) == ["tests/test_b.py"]


def test_the_floors_of_the_page_are_those_that_are_enforced() -> None:
    enforced = enforced_floors((ROOT / "pyproject.toml").read_text())
    assert drawn_floors(ARCHITECTURE.read_text()) == enforced


def test_a_module_that_the_page_forgets_is_reported() -> None:
    page = "| 2 | `settings` | values |\n| 1 | `errors`, `clock` | nothing |\n"
    contract = """[[tool.importlinter.contracts]]
    id = "floors"
    layers = ["settings : (urls)", "errors : clock"]
    """
    assert drawn_floors(page) == [{"errors", "clock"}, {"settings"}]
    assert enforced_floors(contract) == [{"errors", "clock"}, {"settings", "urls"}]
