from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.house.project import ROOT
from understudy.settings import Settings, describe

from .helpers import Here, environment, there


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


def test_the_settings_of_the_modules_are_listed_too(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_HOST", "mail.example.com")
    found = json.loads(here("settings", "--json").out)
    assert (found["SMTP_HOST"]["value"], found["SMTP_HOST"]["source"]) == ("mail.example.com", "environment")
    assert (found["SMTP_SECURITY"]["value"], found["SMTP_SECURITY"]["source"]) == ("none", "default")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_password_of_the_mail_server_is_masked(
    here: Here, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    monkeypatch.setenv("SMTP_USERNAME", "ada")
    monkeypatch.setenv("SMTP_PASSWORD", "hush")
    ended = here("settings", *form)
    assert ended.code == 0
    assert "hush" not in ended.out + ended.err


def test_modules_that_cannot_be_imported_are_told_and_the_rest_is_listed(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("print('noise')\nraise SystemExit(7)\n")
    env = environment(tmp_path, UNDERSTUDY_MODULES="no_such_module,broken", PYTHONPATH=f"{ROOT}:{tmp_path}")
    ended = there(env, "settings", "--json")
    assert ended.code == 0
    assert "UNDERSTUDY_THREADS" in json.loads(ended.out)
    assert "no_such_module" in ended.err
    assert "broken" in ended.err
    assert "Traceback" not in ended.err


def test_wrong_settings_of_engine_and_modules_are_told_together(tmp_path: Path) -> None:
    env = environment(tmp_path, UNDERSTUDY_MODULES="tasks", SMTP_PORT="many", UNDERSTUDY_THREADS="0")
    ended = there(env, "settings")
    assert ended.code == 2
    assert "2 settings are wrong" in ended.err
    assert "SMTP_PORT" in ended.err
    assert "UNDERSTUDY_THREADS" in ended.err


def test_a_worker_with_wrong_mail_settings_does_not_start(tmp_path: Path) -> None:
    env = environment(tmp_path, UNDERSTUDY_MODULES="tasks", SMTP_PORT="many", SMTP_USERNAME="ada", SMTP_TYPO="1")
    ended = there(env, "worker")
    assert ended.code == 2
    assert "SMTP_PORT" in ended.err
    assert "SMTP_TYPO" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_passwords_are_masked(here: Here, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://me:hush@host/0")
    ended = here("settings", *form)
    assert "redis://me:***@host/0" in ended.out
    assert "hush" not in ended.out


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_settings_of_several_parts_are_shown_as_they_are_written(
    here: Here, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    monkeypatch.setenv("UNDERSTUDY_PREFETCH", "email=0,4")
    monkeypatch.setenv("NOTIFY_CHANNELS", "ops=json://me:top-secret@host sms=json://host")
    ended = here("settings", *form)
    assert ended.code == 0
    assert "email=0,4" in ended.out
    assert "ops=" in ended.out
    assert "top-secret" not in ended.out
