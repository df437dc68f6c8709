"""One worker process: ``python -m understudy.supervisor.child``, started by ``spawn.py``.

::

    set signals -> log, import, install the broker -> Worker.start -> say Up
         -> wait for an order to drain: from the supervisor, by SIGTERM, by a limit, or because the supervisor is gone
         -> say Draining -> Worker.stop, no longer than was ordered, handing back what waits -> close the broker -> end

Exit codes: 0 ended in good order, 1 running work was cut off, 2 wrong import or setting, 3 server not reached.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # until `freeze`: of what is imported nothing goes, and looking for it takes a sixth of the time

import argparse
import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from dramatiq import Broker, MessageProxy, Worker
from dramatiq.errors import BrokerConnectionError

from understudy import clock
from understudy.brokers.settlement import SettlingBroker
from understudy.durations import to_millis
from understudy.errors import EmbeddedServerError, ServerUnavailable, SettingsError
from understudy.settings import Settings, load

from .boot import CannotStart, boot, freeze
from .limits import Meter, mebibytes, resident_memory, spread
from .messages import (
    CLOSE_GRACE,
    KILLED,
    OK,
    SERVER,
    USAGE,
    Drain,
    Draining,
    Failed,
    Report,
    Stacks,
    Up,
    to_line,
    to_order,
)
from .signals import die_with_parent, obey_the_supervisor

logger = logging.getLogger("understudy.supervisor.child")  # `__name__` is `__main__` here

#: Seconds between two looks at the memory.
MEMORY_INTERVAL = 0.5

#: Seconds between two looks for messages that were fetched while the process drains.
HAND_BACK_INTERVAL = 0.25

#: Seconds in which an idle worker stops: its threads wake up about once a second. Not cut short by the shutdown
#: timeout, which is for running work.
IDLE_GRACE = 3.0

#: Seconds in which async bodies that are cut off go back to their queues: a thousand outcomes on a busy machine.
CUT_OFF = IDLE_GRACE

#: Seconds in which the interpreter ends. The supervisor kills what takes ``CLOSE_GRACE`` in all, as a failure.
INTERPRETER = 1.0

#: `Worker.stop` wants a limit; here the supervisor's counts, or none.
NO_LIMIT = 30 * 86400.0


@dataclass(frozen=True)
class _Stopped:
    """The worker has stopped."""


class Child:
    """``control`` and ``status`` are the descriptors of the pipes from and to the supervisor, ``stacks`` that of the
    file for the stacks of threads."""

    def __init__(self, *, control: int, status: int, stacks: int, parent: int, queues: set[str]) -> None:
        self._control = control
        self._status = status
        self._stacks = stacks
        self._parent = parent
        self._queues = queues
        # Not an Event: signal handlers put into it, too, while the main thread may be inside of it.
        self._said: queue.SimpleQueue[Drain | _Stopped] = queue.SimpleQueue()
        self._working = False
        self._deciding = threading.RLock()
        self._timeout = 0.0

    def run(self) -> int:
        """Live. Returns the exit code."""
        for end in (self._control, self._status, self._stacks):
            os.set_inheritable(end, False)
        die_with_parent()
        obey_the_supervisor(
            on_term=lambda: self._order(Drain("SIGTERM", self._timeout)),
            on_stacks=lambda: self._say(Stacks()),
            stacks=self._stacks,
        )
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()
        if os.getppid() != self._parent:
            return OK  # it died before the kernel was asked to tell
        try:
            settings, worker, meter = self._start()
        except CannotStart as error:
            return self._fail(USAGE, str(error))
        except SettingsError as error:
            return self._fail(USAGE, str(error))
        except (ServerUnavailable, EmbeddedServerError, BrokerConnectionError) as error:
            return self._fail(SERVER, str(error))
        self._say(Up())
        logger.info("Worker process is ready for action.")
        order = self._wait(meter, MEMORY_INTERVAL if settings.max_memory is not None else None)
        self._say(Draining(order.reason))
        return self._drain(worker, meter, order)

    def _start(self) -> tuple[Settings, Worker, Meter]:
        settings = load(Settings)
        self._timeout = settings.shutdown_timeout
        broker = boot(settings)
        if settings.max_memory is not None and (used := resident_memory()) >= settings.max_memory:
            raise CannotStart(
                f"UNDERSTUDY_MAX_MEMORY (--max-memory) is {mebibytes(settings.max_memory)}, and a worker process takes "
                f"{mebibytes(used)} before its first message; raise it, or import less"
            )

        def enough(reason: str) -> None:
            for thread in worker.workers:
                thread.stop()  # already now: until the main thread is awake many short messages would be begun
            self._said.put(Drain(reason))

        meter = Meter(
            enough,
            max_messages=None if settings.max_messages is None else spread(settings.max_messages),
            max_memory=settings.max_memory,
        )
        _put_first(broker, meter)
        worker = Worker(broker, queues=self._queues or None, worker_threads=settings.threads)
        freeze()
        with self._deciding:
            self._working = True
        worker.start()
        return settings, worker, meter

    # -- orders ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Repeat what the supervisor says, until it is gone."""
        with os.fdopen(self._control, "rb") as lines:
            for line in lines:
                self._order(to_order(line))
        self._order(Drain("the supervisor is gone", self._timeout))
        # Nobody else is left to end a process that does not come to its end.
        _end_after(self._timeout + CLOSE_GRACE, KILLED)

    def _order(self, order: Drain) -> None:
        with self._deciding:
            if not self._working:
                self._say(Draining(order.reason))
                os._exit(OK)  # an import cannot be interrupted, and there is nothing to be ended in good order
        self._said.put(order)

    def _wait(self, meter: Meter, interval: float | None) -> Drain:
        while True:
            try:
                said = self._said.get(timeout=interval)
            except queue.Empty:
                meter.check_memory()
                continue
            if isinstance(said, Drain):
                return said

    # -- the end -----------------------------------------------------------------------------------------

    def _drain(self, worker: Worker, meter: Meter, order: Drain) -> int:
        """Stop the worker in a thread, so that a later order can still shorten the time."""

        broker = worker.broker
        assert isinstance(broker, SettlingBroker)
        broker.grace = NO_LIMIT  # it is told here when the time is over

        def stop() -> None:
            try:
                worker.stop(timeout=to_millis(NO_LIMIT))
            finally:
                self._said.put(_Stopped())

        threading.Thread(target=stop, name="stop", daemon=True).start()
        deadline = _deadline(order)
        while True:
            _hand_back_what_waits(worker)
            left = deadline - clock.monotonic()
            if left <= 0:
                broker.grace_over.set()
            patience = CUT_OFF if broker.detached else 0.0
            if left <= 0 and ((meter.running and left <= -patience) or left <= -IDLE_GRACE):
                break
            try:
                said = self._said.get(timeout=min(left, HAND_BACK_INTERVAL) if left > 0 else HAND_BACK_INTERVAL)
            except queue.Empty:
                continue
            if isinstance(said, _Stopped):
                break
            deadline = min(deadline, _deadline(said))
        _hand_back_what_waits(worker)
        running = meter.running
        if running:
            logger.warning("%d messages were still running when the time was up; they run again elsewhere", running)
        worker.broker.close()
        if running:
            _exit_at_once(KILLED)
        # A thread of some library that never ends must not keep a process that has nothing left to do.
        _end_after(INTERPRETER, OK)
        return OK

    def _fail(self, code: int, reason: str) -> int:
        self._say(Failed(code, reason))
        return code

    def _say(self, report: Report) -> None:
        with contextlib.suppress(BrokenPipeError):  # it is gone, which is told by the other pipe
            os.write(self._status, to_line(report))


def _put_first(broker: Broker, meter: Meter) -> None:
    if broker.middleware:
        broker.add_middleware(meter, before=type(broker.middleware[0]))
    else:
        broker.add_middleware(meter)


def _end_after(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


def _deadline(order: Drain) -> float:
    return clock.monotonic() + (NO_LIMIT if order.timeout is None else order.timeout)


def _hand_back_what_waits(worker: Worker) -> None:
    """What was fetched and not begun goes back at once. ``Worker.stop`` does the same, but after the last body has
    ended, and until then its consumers may go on fetching."""
    waiting: dict[str, list[MessageProxy]] = {}
    with contextlib.suppress(queue.Empty):
        while True:
            message = worker.work_queue.get_nowait().message
            waiting.setdefault(message.queue_name, []).append(message)
    for name, messages in waiting.items():
        try:
            worker.consumers[name].requeue_messages(messages)
        except Exception:
            # The lease gives them back, and this process must come to its end.
            logger.warning("%d messages of queue %s are not handed back now", len(messages), name, exc_info=True)


def _exit_at_once(code: int) -> NoReturn:
    """Without the end of the interpreter, during which the bodies that were cut off would go on."""
    logging.shutdown()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def main(words: Sequence[str] | None = None) -> int:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="understudy.supervisor.child", description="One process of a worker.")
    parser.add_argument("--number", type=int, help="its place, to be seen in the list of processes")
    for name in ("control", "status", "stacks", "parent"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--queues", default="")
    given = parser.parse_args(words)
    child = Child(
        control=given.control,
        status=given.status,
        stacks=given.stacks,
        parent=given.parent,
        queues={name for name in given.queues.split(",") if name},
    )
    return child.run()


if __name__ == "__main__":
    sys.exit(main())
