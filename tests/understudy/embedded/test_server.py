"""The embedded server from its users' side, with real processes."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from freezegun import freeze_time
from redis import Redis

from understudy.embedded import EmbeddedServer, wire
from understudy.errors import EmbeddedServerError
from understudy.testing.conditions import wait_until

from .helpers import User, get, is_gone, pid_of, put, supervisor_of

MakeServer = Callable[..., EmbeddedServer]


def test_it_answers_once_ensured(server: EmbeddedServer) -> None:
    server.ensure()
    with Redis.from_url(server.url) as client:
        assert client.ping()


def test_making_one_touches_nothing(server: EmbeddedServer) -> None:
    assert server.url.startswith("unix:///")
    assert not server.directory.exists()
    assert not server.status().running
    server.release()
    assert not server.directory.exists()


def test_ensure_again_changes_nothing(server: EmbeddedServer) -> None:
    server.ensure()
    before = server.status()
    server.ensure()
    assert server.status() == before
    assert before.users == 1


def test_two_processes_share_one_server(server: EmbeddedServer) -> None:
    with User(server.directory) as other:
        other.ensure()
        first = pid_of(server)
        server.ensure()
        assert pid_of(server) == first
        assert server.status().users == 2


def test_two_directories_do_not_meet(make_server: MakeServer) -> None:
    one, two = make_server("one"), make_server("two")
    one.ensure()
    two.ensure()
    put(one, "whose", "one")
    assert get(two, "whose") == ""
    assert pid_of(one) != pid_of(two)


def test_a_link_to_the_directory_leads_to_the_same_server(server: EmbeddedServer, make_server: MakeServer) -> None:
    server.ensure()
    (server.directory.parent / "link").symlink_to(server.directory)
    assert make_server("link").url == server.url


def test_eight_processes_at_once_get_one_server(server: EmbeddedServer) -> None:
    users = [User(server.directory) for _ in range(8)]
    try:
        for user in users:
            user.begin("ensure")
        assert [user.end() for user in users] == ["done"] * 8
        assert server.status().users == 8
        assert server.directory.joinpath("server.log").read_text().count("supervisor: starting") == 1
    finally:
        for user in users:
            user.kill()
    wait_until(lambda: is_gone(server))


def test_many_threads_at_once_get_one_server(server: EmbeddedServer) -> None:
    threads = [threading.Thread(target=server.ensure) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.status().users == 1


def test_the_last_user_leaves_and_the_server_goes_but_its_data_stays(server: EmbeddedServer) -> None:
    server.ensure()
    put(server, "part", "Hamlet")
    server.release()
    wait_until(lambda: is_gone(server))
    server.ensure()
    assert get(server, "part") == "Hamlet"


def test_one_user_leaves_and_the_server_stays_for_the_other(server: EmbeddedServer) -> None:
    with User(server.directory) as other:
        other.ensure()
        server.ensure()
        before = pid_of(server)
        other.begin("release")
        assert other.end() == "done"
        wait_until(lambda: server.status().users == 1)
        server.ensure()
        assert pid_of(server) == before


def test_a_killed_user_is_a_user_no_more(server: EmbeddedServer) -> None:
    with User(server.directory) as user:
        user.ensure()
        assert server.status().running
        user.kill()
        wait_until(lambda: is_gone(server))


def test_a_forked_child_is_a_user_as_long_as_it_lives(server: EmbeddedServer) -> None:
    server.ensure()
    before = pid_of(server)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(writer)
            os.read(reader, 1)  # until the parent says so
            server.ensure()
            code = 0 if pid_of(server) == before else 1
        finally:
            os._exit(code)
    os.close(reader)
    server.release()
    assert server.status().users == 1
    os.close(writer)
    _, code = os.waitpid(child, 0)
    assert code == 0
    wait_until(lambda: is_gone(server))


def test_who_arrives_while_the_last_one_leaves_is_served(server: EmbeddedServer) -> None:
    with User(server.directory, linger=0) as other:
        for _ in range(15):
            other.ensure()
            other.begin("release")
            server.ensure()
            assert other.end() == "done"
            assert wire.ping(server.socket_path) is wire.Answer.READY
            server.release()


def test_stale_files_do_no_harm(server: EmbeddedServer) -> None:
    server.directory.mkdir()
    for name in ("server.sock", "users.lock", "supervisor.lock", "server.lock"):
        (server.directory / name).write_text(f"{os.getpid()}\n")
    (server.directory / "server.failed").write_text("yesterday\nit did not start\n")
    server.ensure()
    assert supervisor_of(server) != os.getpid()


def test_a_deleted_directory_gets_a_new_server(server: EmbeddedServer) -> None:
    server.ensure()
    old, old_supervisor = pid_of(server), supervisor_of(server)
    shutil.rmtree(server.directory, ignore_errors=True)
    server.ensure()
    assert pid_of(server) != old
    wait_until(lambda: not Path(f"/proc/{old}").exists() and not Path(f"/proc/{old_supervisor}").exists())
    assert wire.ping(server.socket_path) is wire.Answer.READY


def test_a_path_too_long_for_a_socket_works(make_server: MakeServer) -> None:
    deep = "/".join(["a-rather-long-directory-name"] * 6)
    server, same, other = make_server(deep), make_server(deep), make_server(f"{deep}-other")
    server.ensure()
    assert same.url == server.url != other.url
    assert wire.ping(same.socket_path) is wire.Answer.READY
    with Redis.from_url(same.url) as client:
        assert client.ping()
    server.release()
    wait_until(lambda: is_gone(server))
    assert not server.socket_path.exists()


def test_a_path_with_odd_characters_works(make_server: MakeServer) -> None:
    server = make_server('my "data" 100% #1 é?')
    server.ensure()
    with Redis.from_url(server.url) as client:
        assert client.ping()


def test_everything_is_private_to_the_user(server: EmbeddedServer) -> None:
    server.ensure()
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    for path in server.directory.iterdir():
        if path.name != ".gitignore":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_nothing_in_the_directory_is_committed_by_accident(server: EmbeddedServer) -> None:
    server.ensure()
    assert (server.directory / ".gitignore").read_text() == "*\n"


def test_it_is_set_up_to_keep_what_it_accepts(server: EmbeddedServer) -> None:
    server.ensure()
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
    with Redis.from_url(server.url, decode_responses=True) as client:
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert client.config_get("port")["port"] == "0"
    status = server.status()
    assert (status.aof, status.fsync) == (True, "everysec")


def test_fsync_always_is_granted_or_refused_but_not_ignored(make_server: MakeServer) -> None:
    strict, lax = make_server("one", fsync="always"), make_server("two")
    strict.ensure()
    assert strict.status().fsync == "always"
    lax.ensure()
    with pytest.raises(EmbeddedServerError, match="fsync='always' was asked for"):
        make_server("two", fsync="always").ensure()
    assert lax.status().users == 1


def test_it_starts_and_fails_under_frozen_time(make_server: MakeServer, tmp_path: Path) -> None:
    program = tmp_path / "mute"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    with freeze_time("2030-01-01"):
        make_server("good").ensure()
        with pytest.raises(EmbeddedServerError, match=r"did not answer within 0\.5 seconds"):
            make_server("bad", binary=program, start_timeout=0.5).ensure()


def test_a_directory_that_cannot_be_made_is_told(make_server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerError, match="UNDERSTUDY_DATA_DIR"):
        make_server("file/below").ensure()


def test_the_supervisor_does_not_inherit_secrets(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2")
    server.ensure()
    assert b"hunter2" not in Path(f"/proc/{supervisor_of(server)}/environ").read_bytes()
