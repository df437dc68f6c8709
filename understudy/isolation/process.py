"""A child as the worker sees it: made, given one job after the other, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from understudy import clock
from understudy.errors import IsolationError, TimeLimitExceeded

from .jobs import WHERE, Answer, Boot, CannotServe, Done, Job, Question, Ready
from .memory import INTERVAL, Watch, is_used_up, resident
from .page import nameless_file, new_page
from .stacks import Stacks, traced
from .wire import Channel, Closed

#: Seconds in which a child imports its modules and says that it is ready.
START = 60.0
#: Seconds beyond the hard limit after which the worker kills a child that has not ended itself.
GRACE = 0.25
#: Seconds in which a child writes where it is.
TO_WRITE = 0.05
#: Seconds in which a child ends that was told to.
FAREWELL = 1.0


class CannotStart(Exception):
    """A child could not be started now; another time it may."""


class Gone(Exception):
    """The child was gone before it was given the job."""


class Died(Exception):
    """The child died in the middle of a body. The text says how, and where the body was if that is known.

    Attributes:
      stacks: where it was.
    """

    def __init__(self, how: str, stacks: Stacks) -> None:
        super().__init__(how + stacks.where)
        self.stacks = stacks


class Process:
    """A child. For the thread that made it: on Linux it dies when that thread ends.

    Attributes:
      jobs: how many it was given.
      page: where progress is noted that is not written yet.
    """

    def __init__(self, boot: Boot, thread: str) -> None:
        """Start it, and wait until it is ready.

        Raises:
          CannotStart, IsolationError
        """
        self.boot = boot
        self.jobs = 0
        self._main = 0
        self._bare = 0
        self._in_time = True
        self._overgrown = False
        self._ending = threading.Lock()
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self.page = new_page()
        self._stacks = nameless_file("stacks")
        command = [sys.executable, "-m", "understudy.isolation.child", "--thread", thread, "--parent", str(os.getpid())]
        inherited = {"--channel": theirs.fileno(), "--page": self.page.fileno, "--stacks": self._stacks}
        for name, descriptor in inherited.items():
            command += [name, str(descriptor)]
        try:
            # A group of its own, so that what a body has started is ended with it.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=tuple(inherited.values()), process_group=0
            )
        except OSError as error:
            self.close()
            raise CannotStart(f"no process could be made: {error}") from error
        finally:
            theirs.close()
        try:
            self._greet()
        except BaseException:
            self.kill()
            self.close()
            raise

    def _greet(self) -> None:
        try:
            self._channel.send(self.boot)
            said = self._channel.receive(clock.monotonic() + START)
        except TimeoutError:
            raise CannotStart(f"it was not ready within {START:g} s") from None
        except Closed:
            raise CannotStart(f"it ended before it was ready ({self._farewell()})") from None
        if isinstance(said, CannotServe):
            raise IsolationError(
                f"the process that would run the body cannot be set up: {said.reason}\n"
                "It imports the modules in UNDERSTUDY_MODULES that the worker has loaded, and the actor's own."
            )
        assert isinstance(said, Ready)
        self._main = said.main
        self._bare = resident(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def run(self, job: Job, answer: Callable[[Question], Answer]) -> Done:
        """Give it a job; answer what it asks, until the body has ended. Unless it returns, the child has been killed.

        Raises:
          Gone: it never had the job.
          Died: it died in the middle of it.
          TimeLimitExceeded, MemoryLimitExceeded: it was ended at the hard limit, or at that of its memory.
        """
        self.jobs += 1
        watch = None if job.limits.memory is None else Watch(self.pid, job.limits.memory)
        self._overgrown = False
        try:
            if watch is not None and watch.is_over():
                raise watch.no_room()
            done = self._converse(job, answer, watch)
        except BaseException:
            self.kill()
            raise
        if done is not None:
            return done
        self.kill()
        stacks = Stacks(self._written(), self._main)
        # Raised here, out of reach of what was caught above: that would take the place of the traceback.
        if self._overgrown and watch is not None:
            raise traced(watch.error(stacks.where), stacks)
        if self._in_time and not stacks.timed_out:
            raise Died(self._farewell(), stacks)
        error = TimeLimitExceeded(f"the body was stopped at its time limit of {job.limits.hard:g} s{stacks.where}")
        raise traced(error, stacks)

    def is_used_up(self, limit: int) -> bool:
        """Whether earlier bodies have left too much behind for one that may take no more memory than ``limit``."""
        return is_used_up(self._bare, resident(self.pid), limit)

    def _converse(self, job: Job, answer: Callable[[Question], Answer], watch: Watch | None) -> Done | None:
        """What came of the job; None when the child is gone, or its time is over, or it takes too much memory."""
        self._in_time = True
        try:
            self._channel.send(job)
        except Closed:
            raise Gone from None
        deadline = clock.monotonic() + job.limits.hard + GRACE
        try:
            while True:
                said = self._hear(deadline, watch)
                if said is None:
                    self._overgrown = True
                    self._ask_where()
                    return None
                if isinstance(said, Done):
                    return said
                self._channel.send(answer(said))
        except TimeoutError:
            self._in_time = False
        except Closed:
            pass
        return None

    def _hear(self, deadline: float, watch: Watch | None) -> Done | Question | None:
        """What the child says next; None when it has taken too much memory before.

        Raises:
          TimeoutError, Closed: as the channel.
        """
        if watch is None:
            return self._channel.receive(deadline)  # type: ignore[no-any-return]
        while True:
            if watch.is_over():
                return None
            look_again = clock.monotonic() + INTERVAL
            try:
                return self._channel.receive(min(deadline, look_again))  # type: ignore[no-any-return]
            except TimeoutError:
                if look_again >= deadline:
                    raise

    def _ask_where(self) -> None:
        """Let the child write where it is, if it does so at once: what it takes meanwhile is more than it may."""
        if WHERE is None:
            return
        with contextlib.suppress(OSError):
            os.kill(self.pid, WHERE)
        deadline, before = clock.monotonic() + TO_WRITE, ""
        pause = threading.Event()
        while clock.monotonic() < deadline and not (before and before == self._written()):
            before = self._written()
            pause.wait(TO_WRITE / 10)

    def _written(self) -> str:
        """What it has written of where it is."""
        return os.pread(self._stacks, 1 << 20, 0).decode(errors="replace")

    def hang_up(self) -> None:
        """Tell it that there are no more jobs."""
        self._channel.close()

    def end(self) -> None:
        """Let it end; at once if it does not by itself. Closes it."""
        self._channel.close()
        try:
            self._process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            self.kill()
        self.close()

    def strike(self) -> None:
        """End it in the middle of what it does; whoever has given it a job learns it. For any thread."""
        # Not one that was waited for: its number may be somebody else's. Nobody waits for it while this looks.
        with self._ending:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End it now, with all that bodies have started in it."""
        self.strike()
        with self._ending:
            self._process.wait()

    def close(self) -> None:
        """Let go of what is shared with it."""
        self._channel.close()
        if self._stacks >= 0:
            self.page.close()
            os.close(self._stacks)
            self._stacks = -1

    def _farewell(self) -> str:
        try:
            code = self._process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            return "it closed its channel and went on"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
