"""``understudy worker`` as a whole: real processes, real signals, a real server."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import ROOT
from tests.understudy.cli.helpers import Running
from understudy import clock
from understudy.supervisor.messages import KILLED, OK, USAGE
from understudy.supervisor.signals import SAME_SIGNAL
from understudy.testing.conditions import wait_until

from .real import TIMEOUT, Rig, alive, begun, children, ready, rig

IN_CHILD = "import sys\nif '--control' in sys.argv:\n    "


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest.fixture(scope="module")
def pair(shared: Rig) -> Iterator[Running]:
    """A worker of two processes that several tests mistreat."""
    (shared.directory / "mine.py").write_text(version("old"))
    with shared.worker("-p", "2", "tests.understudy.supervisor.actors_for_tests", "mine") as running:
        ready(running, 2)
        yield running
        running.tell(signal.SIGTERM)
        assert running.wait() == OK, running.said


def version(text: str) -> str:
    return f"from understudy import actor\n@actor(queue_name='sums')\ndef version() -> str:\n    return {text!r}\n"


def replaced(running: Running, pid: int) -> None:
    """Wait until somebody is there instead of ``pid``."""
    wait_until(lambda: len(found := children(running.process.pid)) == 2 and pid not in found, timeout=TIMEOUT)
    ups = running.said.count("is ready for action")
    wait_until(lambda: running.said.count("started, pid") == ups, timeout=TIMEOUT)


# -- dying and being replaced --------------------------------------------------------------------------------


def test_a_killed_process_is_replaced_and_the_work_of_its_neighbour_goes_on(shared: Rig, pair: Running) -> None:
    path = shared.file()
    handle = shared.send("release", str(path))
    busy = begun(path)
    (idle,) = [pid for pid in children(pair.process.pid) if pid != busy]
    ups = pair.said.count("is ready for action")
    os.kill(idle, signal.SIGKILL)
    ready(pair, ups + 1)
    assert f"pid {idle}, ended: killed by SIGKILL, after" in pair.said
    assert len(children(pair.process.pid)) == 2
    path.touch()
    assert handle.get(timeout=TIMEOUT) == busy
    assert len(path.with_name(f"{path.name}.begun").read_text().split()) == 1


def test_a_process_that_is_told_to_end_by_hand_finishes_its_work_and_is_replaced(shared: Rig, pair: Running) -> None:
    path = shared.file()
    handle = shared.send("release", str(path))
    busy = begun(path)
    ups = pair.said.count("is ready for action")
    for _ in range(3):
        os.kill(busy, signal.SIGTERM)
    ready(pair, ups + 1)
    assert alive(busy)
    path.touch()
    assert handle.get(timeout=TIMEOUT) == busy
    wait_until(lambda: not alive(busy), timeout=TIMEOUT)
    pair.await_line(f"pid {busy}, ended: SIGTERM; exit code 0")


def test_ttin_writes_the_stack_of_every_thread_of_every_process(shared: Rig, pair: Running) -> None:
    path = shared.file()
    handle = shared.send("release", str(path))
    begun(path)
    before = len(pair.said)
    pair.tell(signal.SIGTTIN)
    wait_until(lambda: pair.said[before:].count("its threads:") == 2, timeout=TIMEOUT)
    first, *dumps = pair.said[before:].split("its threads:\n")
    assert "asking the processes" in first
    assert all(dump.count("Current thread") == 1 and "in _listen" in dump for dump in dumps)
    assert sum(dump.count("in release") for dump in dumps) == 1
    assert str(path) not in pair.said[before:]
    path.touch()
    handle.get(timeout=TIMEOUT)


def test_the_stacks_of_a_process_whose_gil_is_held_are_seen(alone: Rig) -> None:
    with alone.worker("-p", "1", "-t", "1", "--shutdown-timeout", "0") as running:
        ready(running, 1)
        path = alone.file()
        alone.send("hold_the_gil", str(path))
        begun(path)
        running.tell(signal.SIGTTIN)
        running.await_line("in hold_the_gil")
        running.tell(signal.SIGTERM)
        assert running.wait() == KILLED
        assert "they did not end in time" in running.said


def test_hup_replaces_all_by_new_code_and_loses_nothing(shared: Rig, pair: Running) -> None:
    assert shared.send("version").get(timeout=TIMEOUT) == "old"
    path = shared.file()
    running_on = shared.send("release", str(path))
    busy = begun(path)
    before = set(children(pair.process.pid))
    (shared.directory / "mine.py").write_text(version("new"))
    pair.tell(signal.SIGHUP)
    pair.await_line("reloaded")
    wait_until(lambda: set(children(pair.process.pid)) & before == {busy}, timeout=TIMEOUT)
    assert {shared.send("version").get(timeout=TIMEOUT) for _ in range(4)} == {"new"}
    path.touch()
    assert running_on.get(timeout=TIMEOUT) == busy
    wait_until(lambda: not before & set(children(pair.process.pid)), timeout=TIMEOUT)
    assert len(children(pair.process.pid)) == 2


def test_hup_with_broken_code_leaves_the_old_processes_at_work(shared: Rig, pair: Running) -> None:
    before = children(pair.process.pid)
    working = (shared.directory / "mine.py").read_text()
    (shared.directory / "mine.py").write_text("def (:\n")
    pair.tell(signal.SIGHUP)
    pair.await_line("the reload is given up, the other processes go on as they are: cannot import 'mine'")
    (shared.directory / "mine.py").write_text(working)
    assert children(pair.process.pid) == before
    assert shared.send("version").get(timeout=TIMEOUT)


def test_a_body_that_kills_its_process_takes_nobody_along(alone: Rig) -> None:
    with alone.worker("-p", "1", "-t", "1") as running:
        ready(running, 1)
        alone.send("kill_yourself", str(alone.file()))
        ready(running, 2)
        running.tell(signal.SIGTERM)
        assert running.wait() == OK


# -- starting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import missing_library", "cannot import 'mine': ModuleNotFoundError: No module named 'missing_library'"),
        ("import os; os._exit(7)", "it ended while starting (exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "it ended while starting (killed by SIGKILL"),
    ],
)
def test_processes_that_cannot_start_end_with_2_and_the_reason(alone: Rig, line: str, reason: str) -> None:
    (alone.directory / "mine.py").write_text(IN_CHILD + line)
    with alone.worker("-p", "2", "tests.understudy.supervisor.actors_for_tests", "mine") as running:
        assert running.wait() == USAGE
        assert f"Error: {reason}" in running.said
        assert children(running.process.pid) == []


def test_ctrl_c_while_modules_are_imported_ends_it_at_once_with_0(alone: Rig) -> None:
    begun = alone.directory / "begun"
    (alone.directory / "mine.py").write_text(
        IN_CHILD + f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)"
    )
    with alone.worker("-p", "2", "tests.understudy.supervisor.actors_for_tests", "mine") as running:
        wait_until(begun.exists, timeout=TIMEOUT)
        running.tell_all(signal.SIGINT)
        assert running.wait() == OK
        assert "Traceback" not in running.said


def test_a_memory_limit_below_the_bare_process_is_refused(alone: Rig) -> None:
    with alone.worker("--max-memory", "20MiB") as running:
        assert running.wait() == USAGE
        assert "Error: UNDERSTUDY_MAX_MEMORY (--max-memory) is 20 MiB, and a worker process takes" in running.said


# -- stopping ------------------------------------------------------------------------------------------------


def test_what_still_runs_when_the_time_is_up_is_cut_off_and_what_waited_goes_back_at_once(alone: Rig) -> None:
    # No lease ends within the test, so what comes back was handed back.
    patience = {"UNDERSTUDY_HEARTBEAT_TIMEOUT": "600"}
    with alone.worker("-p", "1", "-t", "1", "--shutdown-timeout", "500ms", **patience) as running:
        ready(running, 1)
        path = alone.file()
        alone.send("release", str(path))
        begun(path)
        waiting = [alone.send("pid") for _ in range(2)]
        running.tell(signal.SIGTERM)
        assert running.wait() == KILLED
        assert "1 messages were still running when the time was up" in running.said
    with alone.worker("-p", "1", "-t", "1", **patience) as running:
        assert len({handle.get(timeout=TIMEOUT) for handle in waiting}) == 1
        running.tell(signal.SIGTERM)
        assert running.wait() == OK


def test_a_second_signal_kills_at_once(alone: Rig) -> None:
    with alone.worker("-p", "2", "-t", "1") as running:
        ready(running, 2)
        path = alone.file()
        alone.send("release", str(path))
        begun(path)
        pids = children(running.process.pid)
        running.tell_all(signal.SIGTERM)
        told = clock.monotonic()
        running.await_line("Shutting down...")
        wait_until(lambda: clock.monotonic() - told > SAME_SIGNAL)
        running.tell(signal.SIGTERM)
        assert running.wait() == KILLED
        assert not any(alive(pid) for pid in pids)


def test_a_killed_supervisor_leaves_no_orphan_and_running_work_is_finished(alone: Rig) -> None:
    with alone.worker("-p", "2", "-t", "1") as running:
        ready(running, 2)
        path = alone.file()
        handle = alone.send("release", str(path))
        busy = begun(path)
        pids = children(running.process.pid)
        assert len(pids) == 2
        running.process.kill()
        running.process.wait()
        (idle,) = [pid for pid in pids if pid != busy]
        wait_until(lambda: not alive(idle), timeout=TIMEOUT)
        assert alive(busy)
        path.touch()
        assert handle.get(timeout=TIMEOUT) == busy
        wait_until(lambda: not alive(busy), timeout=TIMEOUT)


def test_the_orphan_of_a_killed_supervisor_ends_also_when_its_work_does_not(alone: Rig) -> None:
    with alone.worker("-p", "1", "-t", "1", "--shutdown-timeout", "0.2") as running:
        ready(running, 1)
        path = alone.file()
        alone.send("release", str(path))
        busy = begun(path)
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not alive(busy), timeout=TIMEOUT)


# -- recycling -----------------------------------------------------------------------------------------------


def test_processes_are_replaced_after_so_many_messages_and_each_message_runs_once(alone: Rig) -> None:
    with alone.worker("-p", "1", "-t", "1", "--max-messages", "5") as running:
        ready(running, 1)
        handles = [alone.send("pid") for _ in range(16)]
        pids = [handle.get(timeout=TIMEOUT) for handle in handles]
        assert all(pids.count(pid) <= 5 for pid in pids)
        assert running.said.count("leaves: it has done 5 messages") >= 3
        assert {handle.retries for handle in handles} == {0}
        running.tell(signal.SIGTERM)
        assert running.wait() == OK


def test_a_process_that_has_grown_is_replaced_and_its_running_work_is_finished(alone: Rig) -> None:
    with alone.worker("-p", "1", "-t", "2", "--max-memory", "200MiB") as running:
        ready(running, 1)
        path = alone.file()
        long_one = alone.send("release", str(path))
        old = begun(path)
        assert alone.send("grow", 200 * 2**20).get(timeout=TIMEOUT) == old
        ready(running, 2)
        running.await_line("of memory after 1 messages")
        assert alone.send("pid").get(timeout=TIMEOUT) != old
        path.touch()
        assert long_one.get(timeout=TIMEOUT) == old
        running.await_line("MiB of memory after 1 messages; exit code 0")
        running.tell(signal.SIGTERM)
        assert running.wait() == OK


# -- a terminal ----------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(alone: Rig) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A worker in the foreground of a terminal: the process, the keyboard, the log."""
    keyboard, screen = pty.openpty()
    log = alone.directory / "terminal.log"
    program = (
        f"import fcntl, os; os.setsid(); fcntl.ioctl({screen}, {termios.TIOCSCTTY}, 0); "
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'understudy.cli', 'worker', '-p', '2'])"
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=alone.env,
            cwd=ROOT,
            stdin=screen,
            stdout=output,
            stderr=output,
            pass_fds=(screen,),
        )
    os.close(screen)
    wait_until(lambda: log.read_text().count("is ready for action") == 2, timeout=TIMEOUT)
    try:
        yield process, keyboard, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_ctrl_c_in_a_terminal_ends_it_with_0(terminal: tuple[subprocess.Popen[bytes], int, Path]) -> None:
    process, keyboard, log = terminal
    os.write(keyboard, b"\x03")
    assert process.wait(timeout=TIMEOUT) == OK
    assert "Traceback" not in log.read_text()
    os.close(keyboard)


def test_closing_the_terminal_ends_it_and_is_no_reload(terminal: tuple[subprocess.Popen[bytes], int, Path]) -> None:
    process, keyboard, log = terminal
    os.close(keyboard)
    assert process.wait(timeout=TIMEOUT) == OK
    assert "reload" not in log.read_text()
