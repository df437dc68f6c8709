"""``understudy scheduler`` as real processes, with real signals."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from understudy.cli.console import Exit
from understudy.testing.conditions import wait_until

from .helpers import Running, environment, there

JOBS = "tests.understudy.cli.jobs_for_tests"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "data", UNDERSTUDY_MODULES=JOBS)


def scheduler(env: dict[str, str], log: Path) -> Running:
    return Running(env, log, "-m", "understudy.cli", "scheduler")


def test_one_leads_and_another_one_follows_it_at_once_when_it_is_told_to_stop(
    env: dict[str, str], tmp_path: Path
) -> None:
    # A lease of a minute: whoever leads before that was told, and did not wait.
    env["UNDERSTUDY_SCHEDULER_LEASE"] = "1m"
    with scheduler(env, tmp_path / "first") as first:
        first.await_line("leads (term 1), with 1 periodic jobs")
        first.await_line("beat@")
        with scheduler(env, tmp_path / "second") as second:
            second.await_line("periodic job beat: every 0.5 s")
            wait_until(lambda: there(env, "schedule", "list").text.count("beat@") >= 3)
            first.tell(signal.SIGTERM)
            assert first.wait() == Exit.OK
            second.await_line("leads (term 2)")
            assert there(env, "schedule", "pause", "beat").code == 0
            assert "paused since" in there(env, "schedule", "list").text
            second.tell(signal.SIGINT)
            assert second.wait() == Exit.OK
    assert "Traceback" not in first.said + second.said


def test_modules_that_cannot_be_imported_end_it_with_2(env: dict[str, str]) -> None:
    ended = there(env, "scheduler", "no_such_module")
    assert ended.code == Exit.USAGE
    assert "cannot import 'no_such_module'" in ended.err
    assert there({**env, "BROKER_URL": "stub://"}, "scheduler").code == Exit.USAGE
