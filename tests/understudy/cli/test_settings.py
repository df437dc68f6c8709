from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.settings import Settings, describe

from .helpers import Here


def test_every_setting_is_listed_with_its_meaning(here: Here) -> None:
    ended = here("settings")
    assert ended.code == 0
    for info in describe(Settings):
        assert info.name in ended.out


def test_what_was_set_is_told_from_what_is_default(here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNDERSTUDY_THREADS", "3")
    monkeypatch.setenv("UNDERSTUDY_DATA_DIR", str(tmp_path))
    ended = here("settings", "--json")
    found = json.loads(ended.out)
    assert (found["UNDERSTUDY_THREADS"]["value"], found["UNDERSTUDY_THREADS"]["source"]) == (3, "environment")
    assert (found["UNDERSTUDY_PROCESSES"]["value"], found["UNDERSTUDY_PROCESSES"]["source"]) == (2, "default")
    assert found["UNDERSTUDY_DATA_DIR"]["value"] == str(tmp_path)
    assert found["UNDERSTUDY_MODULES"]["value"] == "tasks,workflows"
    assert found["REDIS_URL"]["value"] is None


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_passwords_are_masked(here: Here, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://me:hush@host/0")
    ended = here("settings", *form)
    assert "redis://me:***@host/0" in ended.out
    assert "hush" not in ended.out
