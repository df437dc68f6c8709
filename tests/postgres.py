"""A PostgreSQL server of this test session, on a port of its own, if its programs are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest


def programs() -> Path | None:
    """Where ``initdb`` and ``pg_ctl`` are: Debian keeps them out of PATH."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    candidates = [*reversed(found), *([Path(on_path).resolve()] if on_path else [])]
    return next((path.parent for path in candidates if (path.parent / "pg_ctl").exists()), None)


def _somebody() -> dict[str, Any]:
    """The server refuses to run as root; then it is given to somebody else."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres", names["nobody"])
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(programs: Path) -> Iterator[str]:
    """The URL of a server, without a database, that is stopped at the end.

    Raises:
      RuntimeError: one of its programs failed.
    """
    directory = Path(tempfile.mkdtemp(prefix="understudy-pg-"))
    somebody = _somebody()
    if somebody:
        os.chown(directory, somebody["user"], somebody["group"])
    data, log, port = directory / "data", directory / "log", _free_port()

    def run(program: str, *arguments: str) -> None:
        # Not a pipe: the server would inherit it, and reading it would wait for the server's end.
        with (directory / "out").open("a") as out:
            done = subprocess.run(
                [str(programs / program), "-D", str(data), *arguments],
                cwd=directory,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
                # Ctrl-C is for whoever runs this, and stops the server at the end.
                start_new_session=True,
                **somebody,
            )
        if done.returncode:
            told = (directory / "out").read_text() + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program} of PostgreSQL failed:\n{told}")

    run("initdb", "-A", "trust", "-U", "understudy", "-E", "UTF8", "--no-sync")
    # Nothing of it is to outlive the session, so nothing has to reach the disk.
    options = f"-p {port} -k {directory} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60"
    run("pg_ctl", "-l", str(log), "-w", "-o", options, "start")
    try:
        yield f"postgresql://understudy@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def database(server: str) -> Iterator[str]:
    """The URL of an empty database of a server, that is gone at the end."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of the server, without a database."""
    found = programs()
    if found is None:
        reason = "PostgreSQL is not installed (initdb and pg_ctl, in PATH or /usr/lib/postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with serving(found) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database of this test."""
    with database(postgres_server) as url:
        yield url
