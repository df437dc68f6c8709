"""The process that keeps the server: starts it, restarts it with its data, stops it after its last user.

::

                    .-- server.lock free -------> start it (backoff; gives up after several failures in a row)
    each step ------+-- its directory is gone --> kill it, end
                    +-- its socket is gone -----> stop it; the next step starts it again
                    `-- users.lock free for ``linger`` seconds --> take it, stop the server, end

While the supervisor stops the server it holds ``users.lock`` exclusively: a user who arrives waits, and
starts afresh. A supervisor that dies leaves the server running; its successor finds ``server.lock`` held
and adopts the server: adopted and own servers are watched alike, through that lock.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from understudy import clock

from . import locks, wire
from .binary import command_line
from .layout import Layout

TICK = 0.25
EARLY_TICK = 0.02
"""Seconds between two looks while a server that was started has not answered yet."""

READY = b"Ready to accept connections"
"""What every version of Redis and Valkey logs when its data is read and it takes commands."""

MAX_FAILURES = 4
STOP_PATIENCE = 10.0


class Supervisor:
    """Keeps the server of one directory. The caller holds ``supervisor.lock`` as ``lock``."""

    def __init__(self, layout: Layout, *, lock: int, binary: Path, fsync: str, linger: float) -> None:
        self.layout = layout
        self.linger = linger
        self._lock = lock
        self._command = command_line(binary, layout, fsync)
        self._child: subprocess.Popen[bytes] | None = None
        self._answered = False
        self._log_mark = 0
        self._started_at = 0.0
        self._quick_deaths = 0  # in a row
        self._mute_deaths = 0  # in a row, without an answer in between
        self._not_before = 0.0
        self._idle_since: float | None = None
        self._terminated = False
        layout.server_lock.touch(mode=0o600)
        # Kept open, so that its holders can be found when the directory is deleted. It is told by its number, which the
        # file system gives to another file, maybe another server's, as soon as nobody has this one open.
        self._server_file = os.open(layout.server_lock, os.O_RDONLY)

    def run(self) -> int:
        """Repeat ``run_once`` until it has an exit code."""
        wake = self._install_signals()
        with contextlib.suppress(FileNotFoundError):
            self.layout.failure.unlink()
        code = None
        while code is None:
            with contextlib.suppress(FileNotFoundError):  # the directory goes away: the next step sees it
                code = self.run_once()
            ready, _, _ = select.select([wake], [], [], self._pause() if code is None else 0.0)
            if ready:
                os.read(wake, 512)
        return code

    def run_once(self) -> int | None:
        """Look after everything once. The exit code when the work is over, else None."""
        if not locks.is_named(self._lock, self.layout.supervisor_lock):
            # Someone deleted the directory. Not a polite stop: a server that ends politely removes the
            # socket of its path, which may by now be that of a new server.
            self._say("its directory is gone; the server is killed")
            self._kill(signal.SIGKILL)
            if self._child is not None:
                self._bury(self._child)
            return 0
        if self._terminated:
            self._stop_server()
            return 0
        if self._users_are_gone() and self._stop_unless_used():
            return 0
        return self._look_after_server()

    def _look_after_server(self) -> int | None:
        free = locks.try_lock(self.layout.server_lock)
        if free is None:
            self._look_at_running()
            return None
        try:
            if self._started_at:
                self._note_death()
                if self._mute_deaths >= MAX_FAILURES:
                    reason = f"it did not start, {MAX_FAILURES} times in a row"
                    self._say(f"giving up: {reason}")
                    self.layout.write_failure(secrets.token_hex(8), reason)
                    return 1
            if clock.monotonic() >= self._not_before:
                self._start(free)
        finally:
            os.close(free)  # the server has its own by now
        return None

    def _start(self, lock: int) -> None:
        self._say(f"starting {self._command[0]}")
        self._answered = False
        self._started_at = clock.monotonic()
        self._log_mark = self.layout.log_size()
        try:
            self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, pass_fds=(lock,))
        except OSError as error:
            self._say(f"{self._command[0]} cannot be run: {error.strerror}")

    def _note_death(self) -> None:
        code = None
        if self._child is not None:
            code = self._bury(self._child)
            self._child = None
        # A server may come up and crash between two of our looks; its log knows.
        self._answered = self._answered or READY in self.layout.log_since(self._log_mark)
        lived = clock.monotonic() - self._started_at
        self._say(f"the server ended (exit code {'unknown' if code is None else code})")
        # A server that answers is worth keeping, however often it crashes; only more and more slowly.
        self._mute_deaths = 0 if self._answered else self._mute_deaths + 1
        self._quick_deaths = 0 if self._answered and lived > 1.0 else self._quick_deaths + 1
        delay = min(2.0, 0.05 * 2**self._quick_deaths) if self._quick_deaths else 0.0
        self._not_before = clock.monotonic() + delay
        self._started_at = 0.0

    def _bury(self, child: subprocess.Popen[bytes]) -> int:
        try:
            return child.wait(timeout=STOP_PATIENCE)
        except subprocess.TimeoutExpired:  # no server: it threw its lock away and lives on
            child.kill()
            return child.wait()

    def _look_at_running(self) -> None:
        if not self._started_at:
            self._say("found the server running; it is adopted")
            self._started_at = clock.monotonic()
            self._log_mark = self.layout.log_size()
            self._answered = False
        if not self._answered:
            self._answered = wire.ping(self.layout.socket, timeout=0.5) is wire.Answer.READY
            lost = clock.monotonic() - self._started_at > STOP_PATIENCE and not self.layout.socket.exists()
        else:
            lost = not self.layout.socket.exists()
        if lost:
            self._say("the server's socket is gone; the server is started again")
            self._stop_server()

    def _users_are_gone(self) -> bool:
        """Whether nobody has held ``users.lock`` for ``linger`` seconds."""
        free = locks.try_lock(self.layout.users_lock)
        if free is None:
            self._idle_since = None
            return False
        os.close(free)
        if self._idle_since is None:
            self._idle_since = clock.monotonic()
        return clock.monotonic() - self._idle_since >= self.linger

    def _stop_unless_used(self) -> bool:
        # Kept until this process ends: whoever comes now waits until the server is gone and starts it again.
        held = locks.try_lock(self.layout.users_lock)
        if held is None:
            return False
        self._say("the last user has left")
        self._stop_server()
        return True

    def _stop_server(self) -> None:
        """Ask, then insist, then force. Returns when no process has the data any more."""
        patience = 1.0
        try:
            refused = wire.ask(self.layout.socket, "SHUTDOWN", timeout=STOP_PATIENCE)
            if refused:
                self._say(f"the server refused to stop: {refused}")
        except OSError:
            patience = 0.0  # it did not hear
        for insist in (signal.SIGTERM, signal.SIGKILL):
            if self._server_ended(patience):
                break
            self._kill(insist)
            patience = STOP_PATIENCE
        if not self._server_ended(patience):
            self._say("some process keeps server.lock and cannot be found; end it by hand")
        elif self._child is not None:
            self._bury(self._child)

    def _server_ended(self, patience: float) -> bool:
        deadline = clock.monotonic() + patience
        while locks.is_locked(self.layout.server_lock):
            if clock.monotonic() >= deadline:
                return False
            select.select([], [], [], EARLY_TICK)
        return True

    def _kill(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)
        others = set(locks.holders(os.fstat(self._server_file)))  # an adopted server, or a child of the server
        for pid in others - {self._successor()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _successor(self) -> int | None:
        """The supervisor that stands in the lock file by now, which has that of the server open, too."""
        try:
            return int(self.layout.supervisor_lock.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _pause(self) -> float:
        if self._started_at and not self._answered:
            return EARLY_TICK
        if not self._started_at:
            return min(TICK, max(0.0, self._not_before - clock.monotonic()))
        return min(TICK, self.linger / 4 + 0.01)

    def _install_signals(self) -> int:
        """SIGTERM stops the server and ends; a server's death (SIGCHLD) ends the pause. Returns the
        descriptor that becomes readable on a signal."""
        # Whoever started us may have blocked signals, and a new process inherits that.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            # A function and not SIG_IGN, which the server would inherit.
            signal.signal(number, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, self._on_term)
        wake, notify = os.pipe()
        os.set_blocking(notify, False)
        signal.set_wakeup_fd(notify, warn_on_full_buffer=False)
        return wake

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True

    def _say(self, text: str) -> None:
        stamp = clock.utc(clock.now()).strftime("%d %b %Y %H:%M:%S.%f")[:-3]
        sys.stderr.write(f"{os.getpid()}:S {stamp} # supervisor: {text}\n")
        sys.stderr.flush()
