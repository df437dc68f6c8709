"""Stands in for one body in the worker: gives it to the child of this thread, and answers what it asks.

The worker has the connection, the hold and the outcome, so a zombie's child is refused where the zombie is, what the
body sends joins the outcome here, and a child that is killed leaves nothing half done.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from typing import Any

from understudy import serialization
from understudy.actors import Actor
from understudy.brokers.held import HeldMessage
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import BodyDied, HandBack, PoisonMessage, RetryAsked, SerializationError
from understudy.execution import Execution, Terminated
from understudy.ledger import LEDGER
from understudy.limits import Limits
from understudy.outcome import Outcome
from understudy.progress import Reporter
from understudy.storage.client import Value

from .jobs import Answer, Done, Job, Question
from .parcels import pack, unpack
from .pool import Pool
from .process import CannotStart, Died, Gone, Process
from .stacks import traced

logger = logging.getLogger(__name__)

#: Seconds before a message comes back for which no process could be made.
AFTER_NO_START = 5.0


class Runner:
    """Runs the body of ``held`` in a child of ``pool``."""

    def __init__(self, broker: SettlingBroker, held: HeldMessage, execution: Execution, limits: Limits, pool: Pool):
        self.actor: Actor[Any, Any] = execution.actor
        self._broker = broker
        self._held = held
        self._execution = execution
        self._limits = limits
        self._pool = pool

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the body.

        Raises:
          BaseException: what it raised.
          TimeLimitExceeded, MemoryLimitExceeded: it was ended at its hard limit, or at that of its memory.
          BodyDied, PoisonMessage: its process died, not for the first time in the second case.
          HandBack: no process can be made now.
          Terminated: it was ended because its message is revoked.
        """
        job = self._job(args, kwargs)
        found: BaseException
        try:
            done = self._run(job)
        except CannotStart as error:
            self._execution.entered = False
            # As text: it is the system's, and says why.
            logger.error(
                "%s: no process can be made for its body: %s; it goes back to its queue", self._held, str(error)
            )
            raise HandBack(f"no process can be made for its body: {error}", delay=AFTER_NO_START) from None
        except Died as error:
            if self._execution.terminated:
                raise Terminated from None
            if self._pool.closed:
                raise HandBack("the worker ended before the body did") from None
            found = self._death(error)
        else:
            self._execution.contributors.append(_Contributed(done.marks))
            self._execution.told_wait = done.told_wait
            if done.error is None:
                again = None if done.again is None else unpack(done.again)
                self._execution.again = again if isinstance(again, RetryAsked) else None
                return _result(done)
            found = unpack(done.error)
        raise found

    def _job(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job:
        execution = self._execution
        return Job(
            message_id=execution.message_id,
            actor_name=self.actor.actor_name,
            module=self.actor.fn.__module__,
            args=args,
            kwargs=kwargs,
            hold=execution.hold,
            retries=execution.retries,
            items_scope=execution.items_scope,
            claim_key=execution.claim_key,
            handed_back=execution.handed_back,
            limits=self._limits,
            headers=execution.headers,
            parent_id=execution.parent_id,
            root_id=execution.root_id,
            workflow=execution.workflow,
        )

    def _run(self, job: Job) -> Done:
        while True:
            child = self._pool.take(self._broker.settings)
            if self._limits.memory is not None and child.jobs and child.is_used_up(self._limits.memory):
                self._pool.drop(child)
                child = self._pool.take(self._broker.settings)
            try:
                return self._in(child, job)
            except Gone:
                logger.warning("process %d of this thread was gone; another one takes its place", child.pid)

    def _in(self, child: Process, job: Job) -> Done:
        reporter = Reporter.of(self._execution)
        clean = False
        before, self._execution.ender = self._execution.ender, child.strike
        if reporter is not None:
            child.page.clear()
            reporter.attach(child.page.take)
        try:
            done = child.run(job, self._answer)
            clean = True
            return done
        finally:
            self._execution.ender = before
            if reporter is not None:
                reporter.detach()
            if not clean:
                self._pool.drop(child)

    # -- questions ---------------------------------------------------------------------------------------

    def _answer(self, question: Question) -> Answer:
        value, error = None, None
        try:
            value = self._ask(question)
        except Exception as raised:  # noqa: BLE001 - it is the body's: what it makes of it is its affair
            error = pack(raised, traceback=False)
        execution = self._execution
        return Answer(value, error, self._broker.stopping.is_set(), execution.lost, execution.terminated)

    def _ask(self, question: Question) -> Any:
        args = question.args
        match question.what:
            case "run":
                value = self._broker.storage.run(*args[:3], called=args[3])
                if args[0] == "item":
                    self._execution.uses_items = True
                    self._execution.came_on = self._execution.came_on or finishes(args[2])
                return value
            case "call":
                return self._broker.storage.call(*args[0], name=args[1], insist=args[2])
            case "enqueue":
                return self._broker.enqueue(args[0], delay=args[1])
            case "progress":
                reporter = Reporter.of(self._execution)
                return reporter is None or reporter.write(args[0])
            case "news":
                return None
            case what:
                raise ValueError(f"a child asks {what!r}, which this worker does not know")

    # -- the death of a child ----------------------------------------------------------------------------

    def _death(self, how: Died) -> Exception:
        """What becomes of the message: the rule is that for a worker process that died (see ``brokers/poison.py``)."""
        held = self._held
        worker = getattr(self._broker, "worker_id", "?")
        held.hold = held.hold.after_death(worker, came_on=self._execution.came_on)
        self._execution.came_on = False  # it is counted
        if held.alone and held.hold.is_poison:
            text = f"the process of its body died {held.hold.in_all} times, the last time alone: {how}"
            logger.error("%s: %s; it is poison and a dead letter now", held, text)
            return traced(PoisonMessage(text), how.stacks)
        logger.error("%s: the process of its body died (%s); it runs again", held, how)
        return BodyDied(f"the process of its body died: {how}")


def finishes(arguments: Sequence[Value]) -> bool:
    """Whether an exchange of items (``item.lua``) with these arguments closes any: what is remembered of the loop
    changes then."""
    behind = 5 + 2 * int(arguments[4])
    return any(str(mark).startswith(LEDGER) for mark in arguments[6:behind:2])


class _Contributed:
    """What the loops of the body know of their items, and the server does not yet."""

    def __init__(self, marks: dict[str, str]) -> None:
        self._marks = marks

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        outcome.marks.update(self._marks)


def _result(done: Done) -> Any:
    if done.encoded:
        return serialization.loads(done.encoded)
    try:
        return pickle.loads(done.result)
    except Exception as error:
        raise SerializationError(
            "result", f"cannot be read outside of the process where the body ran: {type(error).__name__}: {error}"
        ) from error
