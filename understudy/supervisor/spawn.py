"""Makes worker processes: a fresh interpreter each, never a fork of this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from .messages import Drain, Report, Reports, to_line
from .signals import HELD_BACK


class Spawner:
    """Called with the number of a place, starts a process for it. Settings go through the environment.

    Processes stay in this process group, as a terminal and a service manager expect.
    """

    def __init__(self, queues: Sequence[str] = (), *, module: str = "understudy.supervisor.child") -> None:
        self._queues = list(queues)
        self._module = module

    def __call__(self, number: int) -> Spawned:
        """Start one.

        Raises:
          OSError: the system has no process, descriptor or memory left.
        """
        with contextlib.ExitStack() as on_error:
            orders, control = _pipe(on_error)
            reports, status = _pipe(on_error)
            command = [sys.executable, "-m", self._module, "--number", str(number), "--parent", str(os.getpid())]
            stacks = _nameless_file(on_error)
            command += ["--control", str(orders), "--status", str(status), "--stacks", str(stacks)]
            if self._queues:
                command += ["--queues", ",".join(self._queues)]
            with _signals_held_back():
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(orders, status, stacks))
            on_error.pop_all()
        os.close(orders)
        os.close(status)
        return Spawned(process, control, reports, stacks)


class Spawned:
    """A worker process that was started: a ``Link``."""

    def __init__(self, process: subprocess.Popen[bytes], control: int, reports: int, stacks: int) -> None:
        self.pid = process.pid
        self._process = process
        self._control: int | None = control
        self._reports: int | None = reports
        self._stacks: int | None = stacks
        self._stacks_read = 0
        self._heard = Reports()
        os.set_blocking(control, False)
        os.set_blocking(reports, False)

    def fileno(self) -> int | None:
        """Readable when the process has said something; None when it says nothing more."""
        return self._reports

    def poll(self) -> int | None:
        return self._process.poll()

    def hear(self) -> list[Report]:
        found: list[Report] = []
        while self._reports is not None:
            try:
                piece = os.read(self._reports, 65536)
            except BlockingIOError:
                break
            if not piece:
                self._close_reports()
            found += self._heard.feed(piece)
        if self._process.returncode is not None:
            self._close_reports()
            self._close_control()
            self._close_stacks()
        return found

    def tell(self, order: Drain) -> None:
        if self._control is not None:
            # Full: it has read nothing for hundreds of orders, and one more would not help.
            with contextlib.suppress(BrokenPipeError, BlockingIOError):
                os.write(self._control, to_line(order))

    def stacks(self) -> str:
        if self._stacks is None:
            return ""
        found = os.pread(self._stacks, 1 << 20, self._stacks_read)  # the position in the file is the writer's
        self._stacks_read += len(found)
        return found.decode(errors="replace").rstrip()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)  # looks first whether it has ended: a pid may have a new owner

    def _close_reports(self) -> None:
        if self._reports is not None:
            os.close(self._reports)
            self._reports = None

    def _close_stacks(self) -> None:
        if self._stacks is not None:
            os.close(self._stacks)
            self._stacks = None

    def _close_control(self) -> None:
        if self._control is not None:
            os.close(self._control)
            self._control = None


def _pipe(on_error: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        on_error.callback(os.close, end)
    return ends


def _nameless_file(on_error: contextlib.ExitStack) -> int:
    """What a process writes its stacks to. Not a pipe: nobody may be reading, and it must never wait."""
    if sys.platform == "linux":
        file = os.memfd_create("stacks")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    on_error.callback(os.close, file)
    return file


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A new process inherits the mask: a Ctrl-C before it has set its signals waits, and does not kill it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
