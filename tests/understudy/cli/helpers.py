"""The command line run in this process (quick) and in processes of its own (real)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pytest

from tests.house.project import ROOT
from understudy import cli
from understudy.testing.conditions import wait_until

ACTORS = "tests.understudy.cli.actors_for_tests"
READY = "Worker process is ready for action."


@dataclass
class Ended:
    """A command that has ended. ``text`` is stdout without line breaks inside of sentences."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return " ".join(self.out.split())


class Here:
    """``here("send", "add")`` runs a command in this process, with the environment of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["understudy", *words])
        self._capsys.readouterr()
        code = cli.main()
        said = self._capsys.readouterr()
        return Ended(code, said.out, said.err)


def environment(directory: Path, **more: str) -> dict[str, str]:
    """What a process of the tests knows: an embedded server in ``directory``, our actors, one worker process."""
    ours = ("UNDERSTUDY_", "REDIS_URL", "BROKER_URL", "LOG_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        "UNDERSTUDY_DATA_DIR": str(directory),
        "UNDERSTUDY_MODULES": ACTORS,
        "UNDERSTUDY_PROCESSES": "1",
        "UNDERSTUDY_THREADS": "2",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
        "NO_COLOR": "1",
        **more,
    }


def there(env: dict[str, str], *words: str, stdin: str = "") -> Ended:
    """Run a command in a process of its own, until it ends."""
    ran = subprocess.run(
        [sys.executable, "-m", "understudy.cli", *words],
        env=env,
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(ran.returncode, ran.stdout, ran.stderr)


class Running:
    """A command that goes on, in a process group of its own, as if started in a terminal."""

    def __init__(self, env: dict[str, str], logs: Path, *words: str) -> None:
        self.log = logs
        with logs.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, *words],
                env=env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def await_line(self, text: str) -> None:
        wait_until(lambda: text in self.said or self.process.poll() is not None, timeout=30, what=text)
        assert text in self.said, self.said

    def tell(self, number: signal.Signals) -> None:
        """To the process alone, as `kill` does."""
        self.process.send_signal(number)

    def tell_all(self, number: signal.Signals) -> None:
        """To the process and its children, as Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        return self.process.wait(timeout=60)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def worker(env: dict[str, str], logs: Path, *words: str) -> Running:
    """``understudy worker``, ready."""
    running = Running(env, logs, "-m", "understudy.cli", "worker", *words)
    try:
        running.await_line(READY)
    except BaseException:
        running.__exit__(None, None, None)
        raise
    return running
