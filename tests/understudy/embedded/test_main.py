"""``python -m understudy.embedded``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from understudy.embedded import EmbeddedServer, __main__
from understudy.embedded.__main__ import main


def test_help_says_what_it_is_for() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "understudy.embedded", "--help"], capture_output=True, text=True, check=True
    )
    assert "Supervise the embedded server of DIRECTORY" in done.stdout
    assert "--linger SECONDS" in done.stdout
    assert "--lock-fd" not in done.stdout


def test_wrong_arguments_are_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--fsync", "never", "somewhere"])
    assert caught.value.code == 2


def test_a_second_supervisor_leaves_the_first_alone(server: EmbeddedServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.ensure()
    before = server.status()
    assert main([str(server.directory)]) == 3
    assert "another supervisor is at work" in capsys.readouterr().err
    assert server.status() == before


def test_a_directory_that_cannot_be_used_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert __main__.main([str(tmp_path / "file" / "below")]) == 1
    assert "file" in capsys.readouterr().err


def test_by_hand_it_runs_in_the_foreground_and_ends_without_users(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "understudy.embedded", str(tmp_path / "a"), "--linger", "0.2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "supervisor: starting" in done.stderr
    assert "supervisor: the last user has left" in done.stderr
