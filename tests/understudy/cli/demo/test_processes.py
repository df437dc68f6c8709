"""The demo's worker process: it ends when told, and says why when it ends by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from understudy.cli.demo.processes import MISBEHAVIOUR, WorkerProcess
from understudy.errors import UnderstudyError
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until


def settings(tmp_path: Path, namespace: str) -> Settings:
    return load(Settings, environ={"UNDERSTUDY_DATA_DIR": str(tmp_path), "UNDERSTUDY_NAMESPACE": namespace})


def test_a_worker_that_ends_by_itself_is_told_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    worker = WorkerProcess(settings(tmp_path, "demo-test"), smtp_port=1, log=tmp_path / "worker.log")
    worker.start()

    said = ""

    def ended() -> bool:
        nonlocal said
        try:
            worker.check()
        except UnderstudyError as error:
            said = str(error)
        return bool(said)

    try:
        wait_until(ended, timeout=30)
    finally:
        worker.stop()
    assert "exit code 2" in said
    assert "LOG_LEVEL" in said


def test_the_worker_inherits_no_mail_login_and_no_setting_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_USERNAME", "ada")
    monkeypatch.setenv("smtp_password", "hush")
    monkeypatch.setenv("UNDERSTUDY_MAX_MESSAGES", "1")
    given: dict[str, str] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda command, *, env, **options: given.update(env))
    WorkerProcess(settings(tmp_path, "demo-test"), smtp_port=1, log=tmp_path / "worker.log").start()
    ours = {name for name in given if name.upper().startswith(("SMTP_", "UNDERSTUDY_"))}
    assert ours == {
        "UNDERSTUDY_NAMESPACE",
        "UNDERSTUDY_DATA_DIR",
        "UNDERSTUDY_MODULES",
        "SMTP_HOST",
        "SMTP_PORT",
        "SMTP_SECURITY",
        "SMTP_FROM",
    }


def test_a_second_ctrl_c_kills_a_worker_that_is_still_ending(tmp_path: Path) -> None:
    worker = WorkerProcess(settings(tmp_path, "demo-test"), smtp_port=1, log=tmp_path / "worker.log")
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(signal.SIGTERM, lambda *_: None)\nwhile 1: signal.pause()",
        ],
        start_new_session=True,
    )
    real = process.wait

    def interrupted(timeout: float | None = None) -> int:
        if timeout is not None:
            raise KeyboardInterrupt
        return real()

    process.wait = interrupted  # type: ignore[method-assign]
    worker._process = process
    with pytest.raises(KeyboardInterrupt):
        worker.stop()
    assert process.returncode is not None


def test_the_mail_server_misbehaves_in_every_promised_way() -> None:
    assert MISBEHAVIOUR.refuse_pattern
    assert MISBEHAVIOUR.greylist
    assert MISBEHAVIOUR.drop_before_data
    assert MISBEHAVIOUR.outage_connections
