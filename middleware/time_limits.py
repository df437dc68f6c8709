"""Keeps time limits (P5): decides for every message what runs its body, and stops the clock when it has ended.

A body with a limit runs in a process of its own, where the limit ends it whatever it does (``understudy.isolation``).
One that runs in the worker's thread is interrupted by an exception, which reaches Python instructions only: best
effort. In unit tests bodies run in the test's thread and limits are measured: what has taken too long fails when that
is noticed, at the next item or report of progress, or at its end.
"""

from __future__ import annotations

import logging
import math
import threading
from typing import Any

from dramatiq import Broker
from dramatiq.middleware import TimeLimit
from dramatiq.middleware.threading import current_platform, raise_thread_exception, supported_platforms

from understudy import clock
from understudy.actors import Actor, AsyncActor, declared
from understudy.asynchronous.here import Here
from understudy.brokers.settlement import HeldMessage
from understudy.durations import to_millis
from understudy.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from understudy.execution import Execution
from understudy.isolation.pool import Pool
from understudy.isolation.runner import Runner
from understudy.limits import Limits, limits_of, runs_apart, runs_elsewhere
from understudy.running import run_by
from understudy.settings import Settings

from .executions import of, opened

logger = logging.getLogger(__name__)

#: Seconds between two looks at the clocks of threads.
INTERVAL = 0.1


class TimeLimits(TimeLimit):
    """Last of what stands before the body: whatever the guards take does not count. Dramatiq's ``TimeLimit`` is what
    it stands on for threads."""

    def __init__(self, settings: Settings) -> None:
        # Its default limit is not asked for: every message brings its own, or has none.
        super().__init__(interval=to_millis(INTERVAL))
        self.pool = Pool()
        self.soft_limits = SoftLimits()

    @property
    def actor_options(self) -> set[str]:
        return {"time_limit", "soft_time_limit", "memory_limit", "isolation"}

    def after_process_boot(self, broker: Broker) -> None:
        """Nothing yet: a process that runs bodies for another one keeps no clocks of threads."""

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        if current_platform in supported_platforms and not self.manager.is_alive():  # type: ignore[union-attr]
            super().after_process_boot(broker)  # type: ignore[no-untyped-call]
            self.soft_limits.start()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        self.pool.close()

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        actor = execution.actor
        limits = limits_of(held.options, actor.options, settling.settings)
        execution.limits = limits
        execution.began_at = clock.monotonic()
        if isinstance(actor, AsyncActor) and not runs_apart(held.options, declared(actor), settling.settings):
            if not held.on_loop:
                run_by(_here(held, execution, limits, settling.settings))
        elif isinstance(actor, Actor) and runs_elsewhere(held.options, declared(actor), settling.settings):
            run_by(Runner(settling, held, execution, limits, self.pool))
        elif settling.settings.isolation == "simulated":
            run_by(Measured(execution, limits))
        else:
            thread = threading.get_ident()
            if limits.hard != math.inf:
                self.manager.add_timeout(thread, to_millis(limits.hard))  # type: ignore[no-untyped-call]
            if limits.soft is not None:
                self.soft_limits.add(thread, limits.soft)

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        run_by(None)
        thread = threading.get_ident()
        self.manager.remove_timeout(thread)  # type: ignore[no-untyped-call]
        self.soft_limits.remove(thread)

    after_skip_message = after_process_message


def _here(held: HeldMessage, execution: Execution, limits: Limits, settings: Settings) -> Here | Measured:
    """What runs an ``async def`` body for which there is no shared loop: its limits are kept by its own."""
    if settings.isolation == "simulated":
        return Measured(execution, limits, Here(execution, None, held))
    return Here(execution, limits, held)


class Measured:
    """Runs a body where it is called, and says afterwards that it has taken too long. For tests."""

    def __init__(self, execution: Execution, limits: Limits, here: Here | None = None) -> None:
        self.actor = execution.actor
        self._here = here
        self._limits = limits
        self._began = clock.monotonic()
        self._soft_is_over = False
        execution.overdue = self.check

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            result = self.actor.fn(*args, **kwargs) if self._here is None else self._here(args, kwargs)
        except Exception:
            self.check()
            raise
        self.check()
        return result

    def check(self) -> None:
        """Raise what a limit that is over would have raised by now."""
        passed = clock.monotonic() - self._began
        if passed > self._limits.hard:
            raise TimeLimitExceeded(f"the body was stopped at its time limit of {self._limits.hard:g} s")
        soft = self._limits.soft
        if soft is not None and passed > soft and not self._soft_is_over:
            self._soft_is_over = True
            raise SoftTimeLimitExceeded


class SoftLimits:
    """Soft limits of bodies in threads. ``run_once`` is its step; a thread repeats it."""

    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="soft limits", daemon=True)
        self._thread.start()

    def add(self, thread: int, seconds: float) -> None:
        """The body that begins in ``thread`` is interrupted after so many seconds."""
        with self._lock:
            self._deadlines[thread] = clock.monotonic() + seconds

    def remove(self, thread: int) -> None:
        """It has ended."""
        if thread in self._deadlines:
            with self._lock:
                self._deadlines.pop(thread, None)

    def run_once(self) -> None:
        """Interrupt the bodies whose time is over, each once."""
        now = clock.monotonic()
        with self._lock:
            over = [thread for thread, deadline in self._deadlines.items() if now >= deadline]
            for thread in over:
                del self._deadlines[thread]
                logger.warning("soft time limit exceeded; raising in thread %d", thread)
                raise_thread_exception(thread, SoftTimeLimitExceeded)  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(INTERVAL):
            try:
                self.run_once()
            except Exception:
                logger.exception("soft limits: unexpected error; going on")
