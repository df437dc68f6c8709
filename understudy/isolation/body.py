"""One body in a child: found, run under its limits, and what came of it."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import math
import pickle
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from understudy import clock, serialization
from understudy.actors import Actor, AsyncActor
from understudy.asynchronous.here import Here
from understudy.errors import IsolationError, ResultTooLarge, SoftTimeLimitExceeded
from understudy.execution import Execution, set_current
from understudy.limits import Limits
from understudy.outcome import Outcome
from understudy.retry_after import told_wait

from .jobs import Done, Job
from .page import Page
from .parcels import pack
from .standing import Asker, ChildBroker, RemoteReporter, Stopping

#: A result whose pickle is that many times larger than the limit is not even sent to the worker.
FAR_TOO_LARGE = 4
#: Interrupts a body at its soft limit.
SOFT = signal.SIGUSR2


class Bodies:
    """Runs the bodies of a child, one after the other, in its main thread."""

    def __init__(self, broker: ChildBroker, asker: Asker, page: Page, stacks: int) -> None:
        self._broker = broker
        self._asker = asker
        self._page = page
        self._stacks = stacks
        self._soft = _SoftLimit()
        asker.shield = self._soft.shield

    def run(self, job: Job) -> Done:
        """Run the body of ``job``. Whatever it raises is part of the answer."""
        try:
            actor = self._actor(job)
        except Exception as error:  # noqa: BLE001 - an import may raise anything
            return Done(error=pack(error))
        execution = self._execution(job, actor)
        value, raised = self._call(job, actor, execution)
        contributed = Outcome()
        for part in execution.contributors:
            part.contribute(contributed, raised)
        done = self._done(value) if raised is None else Done(error=pack(raised))
        done.marks = contributed.marks
        if raised is None:
            done.again = None if execution.again is None else pack(execution.again, traceback=False)
        else:
            done.told_wait = told_wait(raised)
        return done

    def _actor(self, job: Job) -> Actor[Any, Any]:
        if job.actor_name not in self._broker.actors:
            importlib.import_module(job.module)
            self._broker.adopt()
        found = self._broker.actors.get(job.actor_name)
        if not isinstance(found, Actor):
            raise IsolationError(
                f"actor {job.actor_name} is not known in the process that would run its body: it is not declared when "
                f"{job.module} is imported; declare it at the top of a module that can be imported, or say "
                'isolation="thread"'
            )
        return found

    def _execution(self, job: Job, actor: Actor[Any, Any]) -> Execution:
        execution = Execution(
            message_id=job.message_id,
            actor=actor,
            records=self._broker.records,
            outcome=Outcome(),
            stopping=Stopping(self._asker),
            hold=job.hold,
            retries=job.retries,
            args=job.args,
            kwargs=job.kwargs,
            headers=job.headers,
            parent_id=job.parent_id,
            root_id=job.root_id,
            workflow=job.workflow,
            items_scope=job.items_scope,
            claim_key=job.claim_key,
            handed_back=job.handed_back,
            begun=True,
            limits=job.limits,
        )
        self._page.clear()
        interval = self._broker.settings.progress_interval
        execution.reporter = RemoteReporter(execution, interval=interval, asker=self._asker, page=self._page)
        execution.contributors.append(execution.reporter)
        return execution

    def _call(self, job: Job, actor: Actor[Any, Any], execution: Execution) -> tuple[Any, BaseException | None]:
        set_current(execution)
        self._asker.begin(execution)
        execution.began_at = clock.monotonic()
        # A thread of C code: it needs no lock of the interpreter, so nothing that a body does keeps it from ending it.
        if job.limits.hard != math.inf:
            faulthandler.dump_traceback_later(job.limits.hard, exit=True, file=self._stacks)
        try:
            if isinstance(actor, AsyncActor):
                return Here(execution, Limits(math.inf, job.limits.soft))(job.args, job.kwargs), None
            with self._soft.after(job.limits.soft):
                return actor.fn(*job.args, **job.kwargs), None
        except BaseException as error:  # noqa: BLE001 - also SystemExit: the worker decides what it means
            return None, error
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._asker.end()
            set_current(None)

    def _done(self, value: Any) -> Done:
        try:
            try:
                data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
            except Exception:  # noqa: BLE001 - pickle raises whatever the value's own methods raise
                return Done(encoded=serialization.dumps(value, root="result"))
            limit = self._broker.settings.max_result_size
            if len(data) > FAR_TOO_LARGE * limit:
                raise ResultTooLarge(
                    f"the result is {len(data):,} bytes, the limit is {limit:,}; store it elsewhere and return its "
                    "name, or raise UNDERSTUDY_MAX_RESULT_SIZE"
                )
        except Exception as error:  # noqa: BLE001 - it is the message's failure (S18)
            return Done(error=pack(error))
        return Done(result=data)


class _SoftLimit:
    """Raises ``SoftTimeLimitExceeded`` in the main thread, once, by a signal: so it reaches system calls as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._main = threading.get_ident()
        self._seconds = 0.0
        self._running = False
        self._shields = 0
        self._waits = False

    @contextlib.contextmanager
    def after(self, seconds: float | None) -> Iterator[None]:
        """While it lasts, raise after so many seconds; None: never."""
        if seconds is None:
            yield
            return
        signal.signal(SOFT, self._on_signal)
        self._seconds, self._waits, self._running = seconds, False, True
        timer = threading.Timer(seconds, self._interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            self._running = False
            timer.cancel()
            with self._lock:  # whoever is about to send the signal has sent it, or will not
                pass

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Within it nothing is raised; what was due is raised at its end."""
        if threading.get_ident() != self._main:
            yield
            return
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._waits:
            self._raise()

    def _interrupt(self) -> None:
        with self._lock:
            if self._running:
                signal.pthread_kill(self._main, SOFT)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._running:
            return
        if self._shields:
            self._waits = True
            return
        self._raise()

    def _raise(self) -> None:
        self._waits = self._running = False
        raise SoftTimeLimitExceeded(
            f"the soft time limit of {self._seconds:g} s is over; end soon, before the hard one"
        )
