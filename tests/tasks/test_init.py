"""Importing ``tasks`` reads all settings and does no I/O."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.house.project import ROOT


def imported(program: str = "import tasks", **environment: str) -> subprocess.CompletedProcess[str]:
    ours = ("UNDERSTUDY_", "SMTP_", "FILES_", "DATABASE_", "REDIS_URL", "BROKER_URL")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, "REDIS_URL": "redis://127.0.0.1:1", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_tasks_needs_no_server() -> None:
    done = imported()
    assert done.returncode == 0, done.stderr


def test_importing_tasks_imports_no_library_that_a_sending_service_lacks() -> None:
    heavy = ("polars", "sqlalchemy", "fsspec", "fastexcel", "xlsxwriter", "psycopg", "charset_normalizer")
    done = imported(program=f"import sys, tasks, workflows; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_every_wrong_setting_is_told_at_once_when_tasks_are_imported() -> None:
    done = imported(
        UNDERSTUDY_THREADS="0", SMTP_PORT="many", SMTP_SECURTY="ssl", FILES_MAX_SIZE="big", DATABASE_URL="mysql://h/d"
    )
    assert done.returncode != 0
    assert "5 settings are wrong" in done.stderr
    for name in ("UNDERSTUDY_THREADS", "SMTP_PORT", "SMTP_SECURTY", "FILES_MAX_SIZE", "DATABASE_URL"):
        assert name in done.stderr
