"""Real processes, but none of ours: a script that speaks the same lines."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from understudy.supervisor.messages import Drain, Draining, Report, Up
from understudy.supervisor.spawn import Spawned, Spawner
from understudy.testing.conditions import wait_until

ECHO = """
import argparse, json, os, signal, sys
parser = argparse.ArgumentParser()
for name in ("number", "control", "status", "stacks", "parent"):
    parser.add_argument("--" + name, type=int)
parser.add_argument("--queues", default="")
given = parser.parse_args()
assert given.parent == os.getppid()
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
os.write(given.status, b'{"type": "Up"}\\n')
os.write(given.stacks, b"one\\n")
say = lambda text: os.write(given.status, json.dumps({"type": "Draining", "reason": text}).encode() + b"\\n")
say(given.queues + " " + " ".join(sorted(getattr(number, "name", "other") for number in blocked)))
for line in os.fdopen(given.control):
    say(json.loads(line)["reason"])
sys.exit(given.number)
"""


@pytest.fixture
def spawner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spawner:
    (tmp_path / "echo.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Spawner(["a", "b"], module="echo")


def hear(link: Spawned, count: int) -> list[Report]:
    heard: list[Report] = []

    def enough() -> bool:
        heard.extend(link.hear())
        return len(heard) >= count

    wait_until(enough)
    return heard


def test_what_is_said_reaches_the_other_side_and_signals_wait_until_it_is_ready(spawner: Spawner) -> None:
    link = spawner(7)
    assert hear(link, 2) == [Up(), Draining("a,b SIGHUP SIGINT SIGTERM SIGTTIN other")]
    assert (link.stacks(), link.stacks()) == ("one", "")
    link.tell(Drain("one", 1.0))
    assert hear(link, 1) == [Draining("one")]
    assert link.poll() is None
    link.signal(signal.SIGKILL)
    wait_until(lambda: link.poll() is not None)
    assert link.poll() == -9
    link.hear()
    assert (link.fileno(), link.stacks()) == (None, "")
    link.tell(Drain("to nobody"))
    link.signal(signal.SIGKILL)


def test_our_signals_are_not_held_back_for_longer(spawner: Spawner) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    link = spawner(1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    hear(link, 2)
    link.signal(signal.SIGKILL)
    wait_until(lambda: link.poll() is not None)
    link.hear()


def test_the_end_of_the_pipe_tells_that_nobody_is_there_and_the_last_words_are_heard(spawner: Spawner) -> None:
    one, other = spawner(1), spawner(2)
    hear(one, 2)
    hear(other, 2)
    one.tell(Drain("last"))
    # The other one was started later and must not keep the first one's pipe open.
    one._close_control()
    wait_until(lambda: one.poll() is not None)
    assert one.poll() == 1
    assert one.hear() == [Draining("last")]
    other.signal(signal.SIGKILL)
    wait_until(lambda: other.poll() is not None)
    other.hear()


def test_a_process_that_cannot_be_made_leaves_no_descriptor_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="No such file"):
        Spawner()(1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
