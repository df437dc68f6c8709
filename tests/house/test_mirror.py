"""``x/y.py`` is tested by ``tests/x/test_y.py``: nobody searches for the tests of a module."""

from collections.abc import Mapping
from pathlib import Path

from tests.house.project import PACKAGES, ROOT, project_files, write

#: Packages whose parts only make sense together: ``a/b/*.py`` is tested by ``tests/a/test_b.py``, though any
#: may have a test file of its own. Each with its reason; an entry that is no longer needed is reported.
TESTED_TOGETHER: dict[str, str] = {
    "benchmarks/sides": "one smoke test holds all of them to the same interface",
    "benchmarks/ticking/peers": "each is a process of another system's environment, and is run as one",
    "benchmarks/measures": "a measure means something only as a whole row, run from end to end",
}


def without_tests(root: Path, together: Mapping[str, str]) -> list[str]:
    """A line for each module without its test file, and for each stale entry of ``together``."""
    problems = []
    used: set[str] = set()
    for package in PACKAGES:
        for module in project_files(root / package, ".py"):
            relative = module.relative_to(root)
            if relative.name in {"__init__.py", "__main__.py"}:
                continue
            mirror = Path("tests", relative.parent, f"test_{relative.name}")
            if (root / mirror).exists():
                continue
            group = next((str(parent) for parent in relative.parents if str(parent) in together), None)
            if group is not None:
                used.add(group)
                mirror = Path("tests", Path(group).parent, f"test_{Path(group).name}.py")
                if (root / mirror).exists():
                    continue
            problems.append(f"{relative} has no {mirror}")
    stale = sorted(set(together) - used)
    return problems + [f"{name} is in TESTED_TOGETHER but no module of it needs that" for name in stale]


def outside_a_package(root: Path) -> list[str]:
    """Directories of tests without ``__init__.py``: there ``tests/tasks`` would shadow ``tasks``."""
    above = {parent for path in project_files(root / "tests", ".py") for parent in path.relative_to(root).parents}
    return sorted(str(path) for path in above - {Path()} if not (root / path / "__init__.py").exists())


def test_every_directory_of_tests_is_a_package() -> None:
    assert outside_a_package(ROOT) == []


def test_a_directory_of_tests_that_is_no_package_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "tests/__init__.py", "")
    write(tmp_path / "tests/tasks/adapters/__init__.py", "")
    write(tmp_path / "tests/understudy/test_clock.py", "")
    assert outside_a_package(tmp_path) == ["tests/tasks", "tests/understudy"]


def test_every_module_has_its_test_file() -> None:
    assert without_tests(ROOT, TESTED_TOGETHER) == []


def test_every_exception_gives_its_reason() -> None:
    assert [name for name, reason in TESTED_TOGETHER.items() if len(reason.split()) < 3] == []


def test_a_module_without_its_test_file_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "understudy/__init__.py", "")
    write(tmp_path / "understudy/clock.py", "")
    write(tmp_path / "understudy/storage/keys.py", "")
    write(tmp_path / "tests/understudy/test_clock.py", "")
    assert without_tests(tmp_path, {}) == ["understudy/storage/keys.py has no tests/understudy/storage/test_keys.py"]


def test_a_package_tested_together_needs_only_its_own_test_file(tmp_path: Path) -> None:
    together = {"workflows/pipeline": "its steps are one flow"}
    write(tmp_path / "workflows/pipeline/extract.py", "")
    write(tmp_path / "workflows/pipeline/load.py", "")
    assert without_tests(tmp_path, together) == [
        "workflows/pipeline/extract.py has no tests/workflows/test_pipeline.py",
        "workflows/pipeline/load.py has no tests/workflows/test_pipeline.py",
    ]
    write(tmp_path / "tests/workflows/test_pipeline.py", "")
    assert without_tests(tmp_path, together) == []


def test_an_exception_that_nothing_needs_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "tasks/email_tasks.py", "")
    write(tmp_path / "tests/tasks/test_email_tasks.py", "")
    assert without_tests(tmp_path, {"tasks/gone": "was one flow"}) == [
        "tasks/gone is in TESTED_TOGETHER but no module of it needs that"
    ]
