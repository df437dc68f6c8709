from pathlib import Path

from tests.house.project import ROOT, project_files, write


def names(root: Path, *suffixes: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in project_files(root, *suffixes)]


def test_ignored_directories_and_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / ".gitignore", "# made by tools\n.venv/\n*.pyc\n")
    for name in ("a.py", "b/c.lua", ".venv/lib/d.py", "b/e.pyc", ".git/config"):
        write(tmp_path / name, "")
    assert names(tmp_path) == [".gitignore", "a.py", "b/c.lua"]


def test_suffixes_choose_the_files(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.lua", "d.md"):
        write(tmp_path / name, "")
    assert names(tmp_path, ".py", ".lua") == ["a.py", "b/c.lua"]


def test_the_checkout_is_seen_but_not_its_environment() -> None:
    found = names(ROOT)
    assert {"pyproject.toml", ".ci/run", "understudy/clock.py", "tests/house/project.py"} <= set(found)
    assert not [name for name in found if name.startswith((".venv/", ".git/", ".understudy/"))]
