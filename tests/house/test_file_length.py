"""No code file is longer than 500 lines: what one sitting can read."""

from pathlib import Path

from tests.house.project import ROOT, project_files, write

LIMIT = 500


def too_long(root: Path) -> list[str]:
    lengths = {path: len(path.read_text().splitlines()) for path in project_files(root, ".py", ".lua")}
    return [
        f"{path.relative_to(root)} has {length} lines (at most {LIMIT}): split it by purpose"
        for path, length in lengths.items()
        if length > LIMIT
    ]


def test_no_code_file_is_longer_than_500_lines() -> None:
    assert too_long(ROOT) == []


def test_a_file_of_501_lines_is_reported_and_one_of_500_is_not(tmp_path: Path) -> None:
    write(tmp_path / "long.py", "x = 1\n" * (LIMIT + 1))
    write(tmp_path / "lua/long.lua", "local x = 1\n" * (LIMIT + 1))
    write(tmp_path / "full.py", "x = 1\n" * LIMIT)
    assert [problem.split(" has ")[0] for problem in too_long(tmp_path)] == ["long.py", "lua/long.lua"]
