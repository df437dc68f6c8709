"""The command line as a whole: help, exit codes, what an error looks like, what is imported."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from understudy import cli, errors
from understudy.cli.console import Exit, exit_code

from .helpers import Here


def test_help_names_every_command(here: Here) -> None:
    ended = here("--help")
    assert ended.code == 0
    for name, text in cli.COMMANDS.items():
        assert f"{name} " in ended.out
        assert text in ended.text


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_help_page_that_begins_as_the_list_says(here: Here, name: str) -> None:
    ended = here(name, "--help")
    assert ended.code == 0
    assert ended.err == ""
    assert f"Usage: understudy {name}" in ended.out
    function = getattr(import_module(f"understudy.cli.{name}"), name)
    assert function.__doc__.split("\n\n")[0].strip() == cli.COMMANDS[name]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_help_page_names_the_exit_code(here: Here, name: str) -> None:
    assert "exit code" in here(name, "--help").text.lower()


def test_an_unknown_command_ends_with_2_and_a_proposal(here: Here) -> None:
    ended = here("sned")
    assert ended.code == Exit.USAGE
    assert "Did you mean 'send'?" in ended.err


def test_no_command_shows_the_help(here: Here) -> None:
    ended = here()
    assert ended.code == Exit.USAGE
    assert "Commands" in ended.out


def test_the_version_is_shown(here: Here) -> None:
    ended = here("--version")
    assert (ended.code, ended.out.split()[0]) == (0, "understudy")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError(["A is wrong"]), 2),
        (errors.DeclarationError("x"), 2),
        (errors.UnknownActor("x"), 2),
        (errors.MessageTooLarge("x"), 2),
        (errors.SerializationError("args[0]", "x"), 2),
        (errors.ServerUnavailable("x"), 3),
        (errors.GuardUnavailable("x"), 3),
        (errors.EmbeddedServerError("x"), 3),
        (errors.DecodeError("x"), 1),
        (ValueError("a bug"), None),
    ],
)
def test_errors_have_exit_codes(error: Exception, code: int | None) -> None:
    assert exit_code(error) == code


def test_every_wrong_setting_is_listed_without_a_traceback(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://user:hush@host")
    monkeypatch.setenv("UNDERSTUDY_THREADS", "many")
    monkeypatch.setenv("UNDERSTUDY_THREDS", "4")
    for command in ("worker", "up", "send add", "status x", "revoke x", "dead list", "doctor", "settings"):
        ended = here(*command.split())
        assert ended.code == Exit.USAGE
        assert "3 settings are wrong" in ended.err
        assert all(name in ended.err for name in ("REDIS_URL", "UNDERSTUDY_THREADS", "UNDERSTUDY_THREDS"))
        assert "Traceback" not in ended.err
        assert "hush" not in ended.err


@pytest.mark.parametrize(
    "command", [["worker"], ["up"], ["send", "add"], ["status", "x"], ["revoke", "x"], ["dead", "list"], ["doctor"]]
)
def test_the_unit_test_broker_is_refused(here: Here, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("BROKER_URL", "stub://")
    ended = here(*command)
    assert ended.code == Exit.USAGE
    assert "BROKER_URL='stub://' keeps messages inside one process" in ended.err


@pytest.mark.parametrize("command", [["send", "add"], ["status", "x"], ["revoke", "x"], ["dead", "list"], ["doctor"]])
def test_a_server_that_is_away_ends_with_3(here: Here, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    ended = here(*command)
    assert ended.code == Exit.SERVER
    assert "the server did not answer" in ended.err
    assert "Traceback" not in ended.err
    assert "hush" not in ended.err


def test_help_imports_neither_dramatiq_nor_a_client_nor_settings() -> None:
    program = (
        "import sys\nfrom understudy import cli\nsys.argv = ['understudy', '--help']\ncode = cli.main()\n"
        "heavy = {'dramatiq', 'redis', 'pydantic', 'structlog'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
