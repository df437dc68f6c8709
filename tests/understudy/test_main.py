"""The console entry point, also where the command line's own dependencies are not installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.house.project import ROOT
from understudy.__main__ import main


def test_it_runs_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["understudy", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("understudy ")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_cli_extra_it_is_said_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from understudy.__main__ import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", program, "doctor"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "the command line needs: pip install 'understudy[cli]'\n"


def test_a_missing_module_of_the_programs_own_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "understudy.cli", None)
    with pytest.raises(ModuleNotFoundError, match=r"understudy\.cli"):
        main()


def test_it_is_what_the_command_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"understudy": "understudy.__main__:main"}
