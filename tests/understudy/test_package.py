"""``import understudy``: light, and complete."""

from __future__ import annotations

import subprocess
import sys

import pytest

import understudy


def run(program: str) -> str:
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_importing_the_package_imports_no_worker_and_no_command_line() -> None:
    found = run(
        "import sys, understudy\n"
        "print({'dramatiq', 'typer', 'rich', 'redis', 'pydantic', 'structlog'} & sys.modules.keys())"
    )
    assert found == "set()"


def test_using_the_library_does_not_import_the_command_line() -> None:
    found = run("import sys\nfrom understudy import *\nprint({'typer', 'rich'} & sys.modules.keys())")
    assert found == "set()"


@pytest.mark.parametrize("name", understudy.__all__)
def test_every_exported_name_is_there_and_is_completed(name: str) -> None:
    assert getattr(understudy, name) is not None
    assert name in dir(understudy)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'handel'"):
        _ = understudy.handel  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from understudy import handel  # type: ignore[attr-defined]  # noqa: F401


def test_handle_is_the_function_whoever_imports_the_module_of_that_name() -> None:
    said = run(
        "import understudy\n"
        "before = understudy.handle\n"
        "import understudy.handle\n"
        "from understudy.handle import Handle\n"
        "from understudy import handle\n"
        "print(callable(before), before is understudy.handle is handle)"
    )
    assert said == "True True"
