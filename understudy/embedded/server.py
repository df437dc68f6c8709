"""The embedded server as its users see it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from understudy.errors import EmbeddedServerError

from . import locks, wire
from .binary import find_binary
from .layout import Layout

PAUSE = 0.01
PING_TIMEOUT = 2.0
MAX_SPAWNS = 3

# All the environment a supervisor gets. It outlives the process that started it, and must not keep its secrets.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True)
class ServerStatus:
    """How an embedded server is. What is not known, or does not exist, is None.

    ``users`` counts the processes that hold the server (a process and its forked children count once).
    """

    running: bool
    url: str
    directory: Path
    pid: int | None = None
    version: str | None = None
    supervisor_pid: int | None = None
    aof: bool | None = None
    fsync: str | None = None
    users: int | None = None


class EmbeddedServer:
    """The server of one directory, shared by every process that names the same directory.

    ``ensure`` makes this process a user of it, ``release`` ends that, and so does the end of the process.
    ``linger`` seconds after its last user has gone the server writes everything to disk and ends. A forked
    child is a user as long as it lives. Safe to use from several threads.

    ``binary`` is the server program (default: ``find_binary``); ``fsync="always"`` makes every write reach the
    disk before it is answered; ``start_timeout`` is in seconds. The first user's choice counts for all.
    """

    def __init__(
        self,
        directory: Path,
        *,
        binary: Path | None = None,
        fsync: Literal["everysec", "always"] = "everysec",
        linger: float = 2.0,
        start_timeout: float = 30.0,
    ) -> None:
        self._layout = Layout.at(directory)
        self._binary = binary
        self._fsync = fsync
        self._linger = linger
        self._start_timeout = start_timeout
        self._lock = threading.RLock()
        self._held: int | None = None
        _servers.add(self)

    @property
    def url(self) -> str:
        """``unix://...``. Known before the server runs."""
        return self._layout.url

    @property
    def socket_path(self) -> Path:
        """Where the server listens."""
        return self._layout.socket

    @property
    def directory(self) -> Path:
        """Where the data and the log are."""
        return self._layout.directory

    def ensure(self) -> None:
        """Start the server or find it; returns when it takes commands. Call it again whenever the server does
        not answer: it costs a fraction of a millisecond when all is well.

        Raises:
          EmbeddedServerError: when there is no server program, or it does not start; says why.
        """
        with self._lock:
            was_user = self._is_user()
            try:
                if not was_user:
                    self._layout.prepare()
                    self._become_user()
                self._await_server()
                if not was_user:
                    self._check_fsync()
            except OSError as error:
                self._leave(was_user)
                raise EmbeddedServerError(
                    f"the embedded server in {self.directory} cannot be used: {error}; set REDIS_URL to another "
                    f"server, or UNDERSTUDY_DATA_DIR to a directory where this user may write"
                ) from error
            except BaseException:
                self._leave(was_user)
                raise

    def release(self) -> None:
        """This process needs the server no longer. Calling it twice does no harm."""
        with self._lock:
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def status(self) -> ServerStatus:
        """How the server is, without starting it."""
        layout = self._layout
        supervisor = _read_pid(layout.supervisor_lock) if locks.is_locked(layout.supervisor_lock) else None
        users = locks.count_shared(layout.users_lock)
        try:
            facts = wire.info(layout.socket)
            said = wire.ask(layout.socket, "CONFIG", "GET", "appendfsync") if facts else ""
        except OSError:
            facts, said = {}, ""
        if "process_id" not in facts:
            return ServerStatus(False, self.url, self.directory, supervisor_pid=supervisor, users=users)
        return ServerStatus(
            running=True,
            url=self.url,
            directory=self.directory,
            pid=int(facts["process_id"]),
            version=facts.get("valkey_version", facts.get("redis_version")),
            supervisor_pid=supervisor,
            aof=facts.get("aof_enabled") == "1",
            fsync=said.partition("\n")[2] or None,
            users=users,
        )

    def _is_user(self) -> bool:
        if self._held is None:
            return False
        if locks.is_named(self._held, self._layout.users_lock):
            return True
        self.release()  # the directory was deleted under us
        return False

    def _leave(self, was_user: bool) -> None:
        if not was_user:
            self.release()

    def _become_user(self) -> None:
        waited = 0.0
        while True:
            with locks.guard:
                self._held = locks.try_lock(self._layout.users_lock, shared=True)
            if self._held is not None:
                return
            # A supervisor is stopping the server, or looks whether it may. The wait is counted and not read
            # from a clock: tests freeze the clock.
            if waited >= self._start_timeout:
                raise EmbeddedServerError(self._trouble("did not finish stopping"))
            time.sleep(PAUSE)
            waited += PAUSE

    def _await_server(self) -> None:
        layout = self._layout
        old_failure = layout.read_failure()
        waited, spawned = 0.0, 0
        while True:
            supervised = locks.is_locked(layout.supervisor_lock)
            answer = wire.ping(layout.socket, timeout=PING_TIMEOUT)
            if supervised and answer is wire.Answer.READY:
                return
            if not supervised:
                failure = layout.read_failure()
                if failure is not None and failure != old_failure:
                    raise EmbeddedServerError(self._trouble(f"cannot be started: {failure.split(chr(10))[1]}"))
                if spawned >= MAX_SPAWNS:
                    raise EmbeddedServerError(self._trouble("cannot be kept: its supervisor ends at once"))
                if self._spawn_supervisor():
                    spawned += 1
                    continue
            if waited >= self._start_timeout and answer is not wire.Answer.LOADING:
                raise EmbeddedServerError(self._trouble(f"did not answer within {self._start_timeout:g} seconds"))
            time.sleep(PAUSE)
            waited += PAUSE + (PING_TIMEOUT if answer is wire.Answer.SILENT else 0.0)

    def _spawn_supervisor(self) -> bool:
        """Start one, unless another process has just done so. The lock goes from our hands into its own, so
        there is no moment in which a second one could start."""
        layout = self._layout
        binary = self._binary or find_binary()
        # -P: the directory we happen to be in must not lend it modules.
        command = [sys.executable, "-P", "-m", __package__, str(layout.directory), "--detach"]
        command += ["--binary", str(binary), "--fsync", self._fsync, "--linger", str(self._linger)]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        home = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(part for part in (home, environment.get("PYTHONPATH", "")) if part)
        with locks.guard:
            lock = locks.try_lock(layout.supervisor_lock)
            if lock is None:
                return False
            log = layout.open_log()
            try:
                code = subprocess.run(
                    [*command, "--lock-fd", str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=layout.directory,
                    env=environment,
                    pass_fds=(lock,),
                    start_new_session=True,  # a Ctrl-C in this terminal is not meant for it
                    check=False,
                ).returncode
            finally:
                os.close(log)
                os.close(lock)
        if code != 0:
            raise EmbeddedServerError(self._trouble(f"has no supervisor: it ended with exit code {code}"))
        return True

    def _check_fsync(self) -> None:
        if self._fsync != "always":
            return
        running_with = self.status().fsync
        if running_with != "always":
            raise EmbeddedServerError(
                f"the embedded server in {self.directory} runs with fsync={running_with!r} for another process, "
                f"and fsync='always' was asked for; end its other users first"
            )

    def _trouble(self, what: str) -> str:
        return (
            f"the embedded server in {self.directory} {what}.\n"
            f"  The end of its log ({self._layout.log}):\n{self._layout.log_tail()}\n"
            f"  Set REDIS_URL to use another server."
        )


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


_servers: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _renew_locks() -> None:
    # A thread of the parent may have held one of them, and does not exist in the child.
    for server in _servers:
        server._lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_locks)
