"""What makes an import fail is told in ``tests/understudy/cli/test_preflight.py``, which uses the same function."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import dramatiq.broker
import pytest

from understudy.supervisor.boot import CannotStart, freeze, import_modules, look_in_the_working_directory


def test_the_broker_that_the_modules_install_is_found() -> None:
    import tasks  # noqa: F401 - already imported by the tests' conftest

    assert import_modules(["tasks"]) is dramatiq.broker.global_broker


def test_a_module_that_cannot_be_imported_says_why() -> None:
    with pytest.raises(CannotStart, match="there is no module 'nowhere_at_all'"):
        import_modules(["tasks", "nowhere_at_all"])


def test_modules_without_a_broker_of_ours_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    with pytest.raises(CannotStart, match="install no broker; let the first one call"):
        import_modules(["json"])


def test_the_working_directory_is_looked_in_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    look_in_the_working_directory()
    look_in_the_working_directory()
    assert sys.path == [str(tmp_path), "elsewhere"]


def test_garbage_is_collected_again_after_the_boot_and_what_was_loaded_is_not_looked_at() -> None:
    before = gc.get_threshold()
    gc.disable()
    try:
        freeze()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        gc.enable()
