"""``understudy demo``, for real: an embedded server, a worker, a mail server, five hundred mails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.cli.demo.command import clean_up
from understudy.runtime import build
from understudy.settings import Settings, load


def run(tmp_path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("BROKER_URL", "REDIS_URL")}
    return subprocess.run(
        [sys.executable, "-m", "understudy.cli", "demo", "--directory", str(tmp_path / "demo"), *options],
        env={**clean, "UNDERSTUDY_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_demo_with_a_kill_reports_the_truth_and_mails_nobody_twice(tmp_path: Path) -> None:
    done = run(tmp_path, "--kill")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The report matches what the mail server received." in done.stdout
    assert "Each tick was sent once, and none is missing." in done.stdout
    journal = (tmp_path / "demo" / "mails.jsonl").read_text()
    assert journal.count('"recipient') >= 500


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"BROKER_URL": "stub://"}, "needs a real server"), ({"UNDERSTUDY_THREADS": "0"}, "UNDERSTUDY_THREADS")],
)
def test_a_demo_that_cannot_run_says_why(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    done = run(tmp_path, **environment)
    assert done.returncode not in (0, 1)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_away_is_told_in_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: the server did not answer")
    assert len(done.stderr.splitlines()) == 1


def test_a_demo_that_is_interrupted_leaves_no_key_behind(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = build(load(Settings, environ={"REDIS_URL": server_url, "UNDERSTUDY_NAMESPACE": "demo-interrupted"}))
    storage = broker.storage
    for number in range(20):
        storage.call("SET", f"{storage.keys.namespace}:{number}", "left")
    real = storage.call
    interrupted: list[int] = []

    def call(*command: Any, **options: Any) -> Any:
        if not interrupted:
            interrupted.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        return real(*command, **options)

    monkeypatch.setattr(storage, "call", call)
    clean_up(broker)
    assert interrupted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert real("KEYS", storage.keys.pattern()) == []
    storage.close()


def test_a_campaign_file_that_is_missing_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "--file", str(tmp_path / "none.csv"))
    assert done.returncode != 0
    assert "cannot be read" in done.stderr
