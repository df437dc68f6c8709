"""The supervisor: crashes of the server, of itself, and servers that cannot run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from understudy.embedded import EmbeddedServer, locks, wire
from understudy.embedded.layout import Layout
from understudy.errors import EmbeddedServerError
from understudy.testing.conditions import wait_until

from .helpers import User, get, is_gone, pid_of, put, supervisor_of

MakeServer = Callable[..., EmbeddedServer]


def ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def is_served_by_another(server: EmbeddedServer, pid: int) -> bool:
    # One that reads its data tells its pid, but not yet what it holds.
    answers = wire.ping(server.socket_path, timeout=1.0) is wire.Answer.READY
    return answers and server.status().pid not in {None, pid}


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o700)
    return path


def test_a_killed_server_comes_back_with_its_data(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    killed, supervisor = pid_of(server), supervisor_of(server)
    os.kill(killed, signal.SIGKILL)
    server.ensure()
    wait_until(lambda: is_served_by_another(server, killed))
    assert get(server, "part") == "Hamlet"
    assert supervisor_of(server) == supervisor


def test_a_server_that_crashes_again_and_again_comes_back_every_time(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    for _ in range(5):
        killed = pid_of(server)
        os.kill(killed, signal.SIGKILL)
        wait_until(partial(is_served_by_another, server, killed))
    assert get(server, "part") == "Hamlet"


def test_a_killed_supervisor_is_replaced_and_its_server_adopted(server: EmbeddedServer) -> None:
    server.ensure()
    kept, killed = pid_of(server), supervisor_of(server)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: server.status().supervisor_pid is None)
    server.ensure()
    assert pid_of(server) == kept
    assert supervisor_of(server) != killed


def test_an_adopted_server_is_restarted_when_it_crashes(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    adopted = pid_of(server)
    os.kill(supervisor_of(server), signal.SIGKILL)
    wait_until(lambda: server.status().supervisor_pid is None)
    server.ensure()
    os.kill(adopted, signal.SIGKILL)
    wait_until(lambda: is_served_by_another(server, adopted))
    assert get(server, "part") == "Hamlet"


def test_an_adopted_server_is_stopped_after_its_last_user(server: EmbeddedServer) -> None:
    server.ensure()
    os.kill(supervisor_of(server), signal.SIGKILL)
    wait_until(lambda: server.status().supervisor_pid is None)
    server.ensure()
    server.release()
    wait_until(lambda: is_gone(server))
    assert not locks.is_locked(Layout.at(server.directory).server_lock)


def test_supervisor_and_server_killed_together_come_back_with_the_data(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    killed = pid_of(server)
    os.kill(supervisor_of(server), signal.SIGKILL)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: is_gone(server))
    server.ensure()
    assert pid_of(server) != killed
    assert get(server, "part") == "Hamlet"


def test_a_server_that_lost_its_socket_is_started_again_with_its_data(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    lost = pid_of(server)
    server.socket_path.unlink()
    server.ensure()
    assert pid_of(server) != lost
    assert ended(lost)
    assert get(server, "part") == "Hamlet"


def test_who_arrives_while_the_server_is_being_stopped_waits_and_gets_a_new_one(
    server: EmbeddedServer,
) -> None:
    server.ensure()
    stopping = pid_of(server)
    os.kill(stopping, signal.SIGSTOP)  # it will hear SHUTDOWN only when we let it
    server.release()
    log = server.directory / "server.log"
    wait_until(lambda: "the last user has left" in log.read_text())
    assert locks.is_locked(Layout.at(server.directory).users_lock)
    with User(server.directory) as late:
        late.begin("ensure")
        os.kill(stopping, signal.SIGCONT)
        assert late.end() == "done"
        assert pid_of(server) != stopping


def test_a_half_written_last_command_does_not_keep_the_server_down(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    server.release()
    wait_until(lambda: is_gone(server))
    (log,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as tail:
        tail.write(b"*3\r\n$3\r\nSET\r\n$4\r\npa")
    server.ensure()
    assert get(server, "part") == "Hamlet"


def test_a_stopped_supervisor_is_asked_politely_and_stops_its_server(server: EmbeddedServer) -> None:
    server.ensure()
    supervisor, child = supervisor_of(server), pid_of(server)
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: ended(supervisor) and ended(child))
    server.ensure()
    assert pid_of(server) != child


def test_a_terminals_interrupt_and_hangup_leave_it_alone(server: EmbeddedServer) -> None:
    server.ensure()
    supervisor, before = supervisor_of(server), pid_of(server)
    assert os.getsid(supervisor) != os.getsid(0)
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(supervisor, number)
    server.ensure()
    assert (supervisor_of(server), pid_of(server)) == (supervisor, before)


def test_a_hung_server_is_ended_after_its_last_user(make_server: MakeServer, tmp_path: Path) -> None:
    mute = program(tmp_path / "mute", "#!/bin/sh\ntrap '' HUP\nexec sleep 600\n")
    server = make_server(binary=mute, start_timeout=0.3)
    with pytest.raises(EmbeddedServerError, match="did not answer within"):
        server.ensure()
    wait_until(lambda: not locks.is_locked(Layout.at(server.directory).server_lock))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#!/bin/sh\necho 'the libraries are missing' >&2\nexit 127\n", "the libraries are missing"),
        ("no program at all", "cannot be run: Exec format error"),
        ("#!/no/such/interpreter\n", "cannot be run: No such file or directory"),
    ],
)
def test_a_broken_binary_is_told_with_the_end_of_the_log(
    make_server: MakeServer, tmp_path: Path, text: str, says: str
) -> None:
    server = make_server(binary=program(tmp_path / "broken", text))
    with pytest.raises(EmbeddedServerError) as caught:
        server.ensure()
    assert "it did not start, 4 times in a row" in str(caught.value)
    assert says in str(caught.value)
    assert "REDIS_URL" in str(caught.value)
    assert server.status().users == 0


def test_after_a_failure_the_next_attempt_starts_afresh(make_server: MakeServer, tmp_path: Path) -> None:
    broken = make_server(binary=program(tmp_path / "broken", "#!/bin/sh\nexit 1\n"))
    for _ in range(2):
        with pytest.raises(EmbeddedServerError, match="4 times in a row"):
            broken.ensure()
    repaired = make_server()
    repaired.ensure()
    assert wire.ping(repaired.socket_path) is wire.Answer.READY


def test_damaged_data_is_told_and_not_thrown_away(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    server.release()
    wait_until(lambda: is_gone(server))
    (log,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"this is no log\r\n" + log.read_bytes())
    damaged = log.read_bytes()
    with pytest.raises(EmbeddedServerError, match="Bad file format"):
        server.ensure()
    assert log.read_bytes() == damaged


def test_users_who_wait_together_are_told_together(server: EmbeddedServer) -> None:
    server.ensure()
    server.release()
    wait_until(lambda: is_gone(server))
    (log,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"this is no log\r\n")
    with User(server.directory) as one, User(server.directory) as two:
        one.begin("ensure")
        two.begin("ensure")
        assert one.end().startswith("error")
        assert two.end().startswith("error")


def test_a_supervisor_without_its_directory_ends_nobody_who_has_nothing_to_do_with_it(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    """The file system may give the number of a file that is gone to the next one, which may be another server's."""
    server.ensure()
    supervisor, killed = supervisor_of(server), pid_of(server)
    lock = os.stat(Layout.at(server.directory).server_lock)
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not set(locks.holders(lock)) - {supervisor})
    shutil.rmtree(server.directory)
    innocent: list[subprocess.Popen[bytes]] = []
    for number in range(300):
        path = tmp_path / f"new-{number}"
        path.touch()
        if os.path.samestat(lock, path.stat()):
            command = [sys.executable, "-c", "input()"]
            with path.open("rb") as file:
                innocent.append(subprocess.Popen(command, stdin=subprocess.PIPE, stderr=file))
    os.kill(supervisor, signal.SIGCONT)
    wait_until(lambda: ended(supervisor))
    try:
        assert [process.poll() for process in innocent] == [None] * len(innocent)
    finally:
        for process in innocent:
            process.communicate(b"\n")


def test_a_supervisor_that_has_lost_its_place_does_not_end_its_successor(server: EmbeddedServer) -> None:
    server.ensure()
    first, served = supervisor_of(server), pid_of(server)
    os.kill(first, signal.SIGSTOP)
    Layout.at(server.directory).supervisor_lock.unlink()
    server.ensure()  # another supervisor adopts the server
    wait_until(lambda: server.status().supervisor_pid not in {None, first})
    second = supervisor_of(server)
    os.kill(first, signal.SIGCONT)
    wait_until(lambda: ended(first))
    wait_until(lambda: is_served_by_another(server, served))
    assert supervisor_of(server) == second
