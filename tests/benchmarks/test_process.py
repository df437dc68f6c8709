import os
from pathlib import Path

import pytest

from benchmarks.process import Process, interpreter
from benchmarks.spec import BenchmarkError, Spec

NOWHERE = Spec("understudy", "unix:///nonexistent/server.sock", "bench")


def test_a_process_is_gone_after_its_context_also_after_an_error(tmp_path: Path) -> None:
    pids = []

    def measure() -> None:
        with Process(NOWHERE, tmp_path / "log", {}) as process:
            assert process.ask("facts")["rss"] > 0
            pids.append(process.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_process_without_a_server_says_what_failed(tmp_path: Path) -> None:
    with Process(NOWHERE, tmp_path / "log", {}) as process:
        with pytest.raises(BenchmarkError, match=r"says \w+: .*server"):
            process.ask("send", kind="noop", count=1, bulk=False)
        assert process.ask("facts")  # and goes on


def test_a_process_that_cannot_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        Process(Spec("nobody", "", ""), tmp_path / "log", {}) as process,
        pytest.raises(BenchmarkError, match=r"(?s)has ended.*No module named 'benchmarks.sides.nobody_side'"),
    ):
        process.answer()


def test_a_silent_process_is_not_waited_for_longer_than_allowed(tmp_path: Path) -> None:
    with (
        Process(NOWHERE, tmp_path / "log", {}) as process,
        pytest.raises(BenchmarkError, match="did not answer within 0 seconds"),
    ):
        process.answer(timeout=0)


def test_celery_has_an_environment_of_its_own() -> None:
    assert interpreter("celery") != interpreter("stock") == interpreter("understudy")
