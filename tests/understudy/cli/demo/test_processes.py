"""The demo's worker process: it ends when told, and says why when it ends by itself."""

from __future__ import annotations

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
    monkeypatch.setenv("UNDERSTUDY_RESULT_TTL", "soon")
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
    assert "UNDERSTUDY_RESULT_TTL" in said


def test_the_mail_server_misbehaves_in_every_promised_way() -> None:
    assert MISBEHAVIOUR.refuse_pattern
    assert MISBEHAVIOUR.greylist
    assert MISBEHAVIOUR.drop_before_data
    assert MISBEHAVIOUR.outage_connections
