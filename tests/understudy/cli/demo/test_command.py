"""``understudy demo``, for real: an embedded server, a worker, a mail server, five hundred mails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


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


def test_a_campaign_file_that_is_missing_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "--file", str(tmp_path / "none.csv"))
    assert done.returncode != 0
    assert "cannot be read" in done.stderr
