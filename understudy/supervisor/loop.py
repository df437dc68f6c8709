"""Keeps N worker processes running. ``run_once`` is one step; signals and the clock only repeat it.

::

    each step:   obey requests -> hear and bury processes -> fill empty places -> one step of a reload
    stopping:    tell all to drain -> all gone: end | time is up, or a second request: kill -> all gone: end

A place is filled at once when its process has gone away as it should (recycled, told to), and with backoff when it
died young. Before any process has ever come up, one that says it cannot start ends everything; after that a bad start
(a broken deployment, a server outage) is tried again for as long as others work.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from understudy import clock

from .backoff import Backoff
from .messages import CLOSE_GRACE, KILLED, OK, SERVER, USAGE, Failed
from .process import Link, Process, State
from .signals import Request

logger = logging.getLogger(__name__)

#: So many starts in a row that end without a word, with no process up, and it is given up.
MAX_FAILED_STARTS = 3

#: Seconds between two steps when nothing happens.
LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Ended:
    """The supervisor's work is over. ``reason`` says what went wrong, if anything did."""

    code: int
    reason: str = ""


@dataclass
class _Place:
    number: int
    current: Process | None = None
    #: A reload: takes over when it is up.
    successor: Process | None = None
    backoff: Backoff = field(default_factory=Backoff)
    not_before: float = 0.0
    why: str = "start"


class Supervisor:
    """Keeps ``processes`` processes that ``spawn`` makes. ``shutdown_timeout`` in seconds."""

    def __init__(
        self,
        spawn: Callable[[int], Link],
        *,
        processes: int,
        shutdown_timeout: float,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._spawn = spawn
        self._timeout = shutdown_timeout
        self._now = now
        self._requests: deque[Request] = deque()
        self._places = [_Place(number) for number in range(1, processes + 1)]
        self._leaving: list[Process] = []
        #: What a reload has still to replace.
        self._stale: list[Process] = []
        self._ever_up = False
        self._failed_starts = 0
        self._stopping: Ended | None = None
        self._deadline = 0.0
        self._killed = False
        #: Work was cut off while stopping, by us, by a process itself, or by somebody else.
        self._cut = False

    def ask(self, request: Request) -> None:
        """Obeyed by the next step."""
        self._requests.append(request)

    @property
    def processes(self) -> list[Process]:
        """Every process that is not known to be gone."""
        return [*self._placed(), *self._leaving]

    def run_once(self) -> Ended | None:
        """Look after everything once; never waits. How it ended when the work is over, else None."""
        while self._requests:
            self._obey(self._requests.popleft())
        for place in self._places:
            self._look_at(place)
        for process in self._leaving[:]:
            if process.look() is State.GONE:
                self._leaving.remove(process)
                self._bury(process)
        self._tell_stacks()
        if self._stopping is not None:
            return self._step_to_the_end(self._stopping)
        self._fill_places()
        self._step_of_reload()
        return None

    @property
    def stopping(self) -> bool:
        """Whether it ends, for whatever reason."""
        return self._stopping is not None

    def pause(self) -> float:
        """Seconds until the next step is due, if nothing happens before."""
        if self._stopping is not None:
            due = [] if self._killed else [self._deadline]
        else:
            due = [place.not_before for place in self._places if place.current is None and place.successor is None]
        due += [process.stacks_due for process in self.processes if process.stacks_due is not None]
        return max(0.0, min([LONGEST_PAUSE, *(at - self._now() for at in due)]))

    # -- requests ----------------------------------------------------------------------------------------

    def _obey(self, request: Request) -> None:
        if request is Request.STACKS:
            asked = self.processes
            logger.info("asking the processes %s for the stacks of their threads", _pids(asked))
            for process in asked:
                process.show_stacks()
        elif request is Request.STOP and self._stopping is None:
            logger.info(
                "Shutting down... Running work may go on for %g s; a second signal kills it (pids %s)",
                self._timeout,
                _pids(self.processes),
            )
            self._stop(Ended(OK))
        elif request is Request.STOP:
            logger.warning("killing the processes %s, as told by a second signal", _pids(self.processes))
            self._kill_all()
        elif self._stopping is None:
            self._stale = list(self._placed())
            logger.info("reloading: %d processes are replaced, one after the other", len(self._stale))

    def _tell_stacks(self) -> None:
        for process in self.processes:
            stacks = process.take_stacks()
            if stacks:  # as a warning, because somebody has asked, whatever the level
                logger.warning("worker process %d, pid %d, its threads:\n%s", process.number, process.pid, stacks)

    # -- life and death ----------------------------------------------------------------------------------

    def _look_at(self, place: _Place) -> None:
        process = place.current
        if process is None:
            return
        was = process.state
        state = process.look()
        if state is State.DRAINING:
            place.current = None
            self._leaving.append(process)
            if process.lived is not None:
                self._came_up()
            place.why = f"replaces {process.pid}: {process.leaves_because}"
            logger.info("worker process %d, pid %d, leaves: %s", place.number, process.pid, process.leaves_because)
        elif state is State.GONE:
            place.current = None
            place.why = f"replaces {process.pid}"
            self._bury(process)
            if self._stopping is None:
                self._mourn(place, process)
        elif state is State.UP and was is State.STARTING:
            self._came_up()

    def _came_up(self) -> None:
        self._ever_up = True
        self._failed_starts = 0

    def _bury(self, process: Process) -> None:
        level = logging.INFO if process.exit_code == OK else logging.WARNING
        self._cut |= self._stopping is not None and process.exit_code != OK
        logger.log(level, "worker process %d, pid %d, ended: %s", process.number, process.pid, process.farewell)

    def _mourn(self, place: _Place, process: Process) -> None:
        """Decide when it gets a successor: at once if it left in good order."""
        if process.lived is not None:
            self._came_up()
        if process.leaves_because:
            return
        if process.lived is None:
            self._note_failed_start(place, process.failure, f"it ended while starting ({process.farewell})")
        else:
            place.not_before = self._now() + place.backoff.died(process.lived)

    def _note_failed_start(self, place: _Place, failure: Failed | None, otherwise: str) -> None:
        self._failed_starts += 1
        reason = failure.reason if failure is not None else otherwise
        enough = self._failed_starts >= MAX_FAILED_STARTS
        if not self._ever_up and (failure is not None or enough):
            give_up = True
        else:
            up = any(process.state is State.UP for process in self.processes)
            give_up = enough and not up and (failure is None or failure.code != SERVER)
        if give_up:
            logger.error("giving up: no worker process can be started")
            self._stop(Ended(USAGE if failure is None else failure.code, reason))
            return
        delay = place.backoff.died(None)
        place.not_before = self._now() + delay
        logger.error("worker process %d could not start, the next try is in %g s: %s", place.number, delay, reason)

    def _fill_places(self) -> None:
        for place in self._places:
            if self._stopping is None and place.current is place.successor is None and self._now() >= place.not_before:
                place.current = self._start(place)

    def _start(self, place: _Place) -> Process | None:
        try:
            process = Process(place.number, self._spawn(place.number), self._now)
        except OSError as error:
            self._note_failed_start(place, None, f"the system makes no process: {error.strerror}")
            return None
        logger.info("worker process %d started, pid %d (%s)", place.number, process.pid, place.why)
        return process

    # -- reload ------------------------------------------------------------------------------------------

    def _step_of_reload(self) -> None:
        """One place after the other: the old process works until the new one is up."""
        waiting = next((place for place in self._places if place.successor is not None), None)
        if waiting is not None and not self._took_over(waiting):
            return
        if not self._stale or self._stopping is not None:
            return
        old = next((place for place in self._places if place.current in self._stale), None)
        if old is None:
            self._stale = []
            logger.info("reloaded")
        elif old.current is not None and old.current.state is State.UP:
            old.why = f"reload, replaces {old.current.pid}"
            old.successor = self._start(old)

    def _took_over(self, place: _Place) -> bool:
        """Whether the place is settled: its successor works, or has failed and ended the reload."""
        successor = place.successor
        assert successor is not None
        state = successor.look()
        if state is State.STARTING:
            return False
        place.successor = None
        if state is State.GONE and successor.lived is None:
            self._bury(successor)
            self._stale = []
            reason = successor.failure.reason if successor.failure is not None else successor.farewell
            logger.error("the reload is given up, the other processes go on as they are: %s", reason)
            return True
        old, place.current = place.current, successor
        if old is not None:
            old.drain("reload", None)
            self._leaving.append(old)
        return True

    # -- the end -----------------------------------------------------------------------------------------

    def _stop(self, ended: Ended) -> None:
        self._stopping = ended
        self._deadline = self._now() + self._timeout + CLOSE_GRACE
        self._leaving = self.processes
        for place in self._places:
            place.current = place.successor = None
        for process in self._leaving:
            process.drain("shutdown", self._timeout)

    def _step_to_the_end(self, ended: Ended) -> Ended | None:
        if self._leaving and not self._killed and self._now() >= self._deadline:
            logger.warning("killing the processes %s: they did not end in time", _pids(self._leaving))
            self._kill_all()
        if self._leaving:
            return None
        return ended if ended.code != OK or not self._cut else Ended(KILLED)

    def _kill_all(self) -> None:
        self._killed = True
        for process in self._leaving:
            process.kill()

    def _placed(self) -> Iterator[Process]:
        for place in self._places:
            for process in (place.current, place.successor):
                if process is not None:
                    yield process


def _pids(processes: list[Process]) -> str:
    return ", ".join(str(process.pid) for process in processes) or "none"
