from __future__ import annotations

import sys
from pathlib import Path

import pytest

from understudy.cli.preflight import examine

from .helpers import ACTORS


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable module ``planted`` to be written."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "planted.py"


def problem(*modules: str) -> str:
    found = examine(modules).problem
    assert found is not None
    return found


def test_modules_say_which_actors_and_queues_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1:1")  # importing does not connect
    found = examine([ACTORS])
    assert found.problem is None
    assert found.actors["add"] == "sums"
    assert found.queues == ["slow", "sums"]


def test_nothing_is_imported_into_this_process(module: Path) -> None:
    module.write_text("import understudy\nunderstudy.install()")
    assert examine(["planted"]).problem is None
    assert "planted" not in sys.modules


def test_a_module_that_is_not_there_is_named(module: Path) -> None:
    said = problem("planted_elsewhere")
    assert "cannot import 'planted_elsewhere': there is no module 'planted_elsewhere'" in said
    assert "UNDERSTUDY_MODULES" in said
    assert "there is no module 'nowhere'" in problem("nowhere.at.all")


def test_a_module_whose_own_import_fails_shows_the_line(module: Path) -> None:
    module.write_text("x = 1\nimport missing_library\n")
    said = problem("planted")
    assert "cannot import 'planted': ModuleNotFoundError: No module named 'missing_library'" in said
    assert f'File "{module}", line 2' in said
    assert "preflight" not in said
    assert "importlib" not in said


def test_a_syntax_error_shows_the_line(module: Path) -> None:
    module.write_text("def (:\n")
    said = problem("planted")
    assert "SyntaxError" in said
    assert "def (:" in said


def test_a_wrong_declaration_is_told_in_its_own_words_and_with_its_place(module: Path) -> None:
    module.write_text("import understudy\nunderstudy.install()\n@understudy.actor(retries=3)\ndef work():\n    pass\n")
    said = problem("planted")
    assert "cannot import 'planted': actor work: unknown option 'retries'" in said
    assert f'File "{module}", line 3' in said


def test_wrong_settings_of_a_module_are_listed(module: Path) -> None:
    module.write_text("from understudy.errors import SettingsError\nraise SettingsError(['A is wrong', 'B is wrong'])")
    assert problem("planted").startswith("2 settings are wrong:")


@pytest.mark.parametrize("line", ["import sys; sys.exit('enough')", "import os; os._exit(7)"])
def test_a_module_that_ends_the_process_is_named(module: Path, line: str) -> None:
    module.write_text(line)
    said = problem("planted")
    assert "planted" in said
    assert "enough" in said or "exit code" in said


def test_modules_without_a_broker_of_ours_are_refused(module: Path) -> None:
    module.write_text("import dramatiq.broker\ndramatiq.broker.global_broker = None")
    assert "install no broker; let the first one call understudy.install()" in problem("planted")
    module.write_text(
        "import dramatiq\nfrom dramatiq.brokers.stub import StubBroker\ndramatiq.set_broker(StubBroker())"
    )
    assert "install a StubBroker" in problem("planted")
