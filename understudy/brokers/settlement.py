"""How the hooks of middleware lead to an outcome: what they raise, and what they enqueue.

Dramatiq logs what a hook raises and goes on. Here a hook before the body that raises keeps the body from running,
and one after it voids the outcome; a message that is enqueued by a hook after the body joins the outcome. Hooks that
do nothing are not called: Dramatiq calls some thirty of them for every message.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import dramatiq
from dramatiq import Broker, Message, Middleware
from dramatiq.middleware import MiddlewareError, SkipMessage

from understudy import clock, discretion
from understudy.actors import Actor
from understudy.errors import (
    GuardUnavailable,
    HandBack,
    HookFailed,
    MessageTooLarge,
    ServerUnavailable,
    UnderstudyError,
)
from understudy.exception_groups import deciding
from understudy.exceptions import encode_exception, format_traceback
from understudy.outcome import Disposition
from understudy.records import Records
from understudy.settings import Settings
from understudy.states import State
from understudy.storage.client import Storage
from understudy.uniqueness import mark

from .gate import Gate
from .held import HeldMessage, plain
from .hooks import Hooks
from .tally import BUCKETS

__all__ = ["HeldMessage", "SettlingBroker"]

logger = logging.getLogger(__name__)

#: Seconds before a message comes back whose outcome is void because the server did not answer.
AFTER_AN_OUTAGE = 1.0

#: Seconds for which a suspect waits for bodies on the event loop to end, and before it tries again.
PATIENCE, AFTER_PATIENCE = 60.0, 10.0

#: The message whose body runs in this context, where it has no thread of its own.
_running: ContextVar[HeldMessage | None] = ContextVar("understudy_running", default=None)


def runs_in_context(held: HeldMessage) -> None:
    """The body of ``held`` runs in this context and in what it starts, whichever threads these are."""
    _running.set(held)


class SettlingBroker(Broker):
    """A Dramatiq broker whose hooks and whose ``enqueue`` serve the outcome. A transport adds the rest.

    Attributes:
      stopping: set when this process has been told to stop; bodies hand themselves back at the next item.
      calls_back: whether ``on_success`` and ``on_failure`` follow from outcomes: a middleware of the stack says so.
      buckets: the upper ends, in seconds, by which durations are counted.
      refused: how many outcomes were refused because another worker held the message.
      detached: how many bodies run beside the threads, on the event loop.
      pause: how an outage is waited out, ``time.sleep`` but for tests.
      grace: seconds for which async bodies may go on when the worker stops; ``grace_over`` is set when whoever runs the
        worker ends that before.
    """

    storage: Storage
    records: Records
    settings: Settings

    def prepare(self, storage: Storage, settings: Settings) -> None:
        """Set what the rest needs; called by the constructors before Dramatiq's."""
        self.storage = storage
        self.records = Records(storage)
        self.settings = settings
        self.stopping = threading.Event()
        self.refused = 0
        self.detached = 0
        self.grace = settings.shutdown_timeout
        self.grace_over = threading.Event()
        self.pause: Callable[[float], object] = time.sleep
        self._gate = Gate()
        self._beginning = threading.Lock()
        self._collecting = threading.local()
        self._hooks = Hooks(self)
        self.calls_back = False
        self.buckets: Sequence[float] = BUCKETS

    def forget_bodies(self) -> None:
        """No body runs in this process: it is a new one."""
        self._gate = Gate()
        self._collecting = threading.local()

    def transmit(self, message: Message[Any], *, delay: int | None) -> Message[Any]:
        """Put ``message`` on its queue, in ``delay`` milliseconds.

        Raises:
          ServerUnavailable: it may or may not have been put.
        """
        raise NotImplementedError

    def begins(self, held: HeldMessage) -> None:
        """The body of ``held`` begins: the server is told, soon, or at once if it is a suspect."""
        raise NotImplementedError

    def company_of(self, held: HeldMessage) -> int:
        """How many suspects may run at once with this one, and it among them."""
        return 1

    def streams_of(self, queue_name: str) -> tuple[str, ...]:
        """The streams in which messages of a queue are held."""
        raise NotImplementedError

    def declare_actor(self, actor: dramatiq.Actor[Any, Any]) -> None:
        if not isinstance(actor, Actor):
            discretion.hush(actor.logger)
        super().declare_actor(actor)

    # -- hooks -------------------------------------------------------------------------------------------

    def add_middleware(self, middleware: Middleware, **where: Any) -> None:
        self._forget_hooks()
        super().add_middleware(middleware, **where)
        self._forget_hooks()

    def _forget_hooks(self) -> None:
        self._hooks.forget()
        self.calls_back = any(getattr(middleware, "calls_back", False) for middleware in self.middleware)

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Guards fail closed (P12): whatever a hook raises before a body keeps the body from running."""
        if signal == "process_message":
            self._before_the_body(args[0])
            return
        for middleware, hook in self._hooks.before(signal):
            try:
                hook(self, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception:
                self.logger.critical("Unexpected failure in %s of %r.", f"before_{signal}", middleware, exc_info=True)

    def withdraw(self, held: HeldMessage) -> bool:
        """Keep the body of a message that has not begun from ever beginning here; False when it has begun."""
        with self._beginning:
            if held.began_at is None and not held.ended:
                held.withdrawn = True
            return held.withdrawn

    def _before_the_body(self, held: HeldMessage) -> None:
        with self._beginning:
            if held.withdrawn:
                raise SkipMessage("it went back to its queue, for a worker that is idle")
            held.began_at = clock.monotonic()
        self._collecting.running = held
        # Before the hooks, one of which starts the clock of the time limit: waiting for the gate is not running.
        gate = self._gate
        if held.hold.must_be_alone:
            self._enter_as_suspect(gate, held)
        else:
            gate.enter(alone=False)
        held.gate = gate
        held.hooks = self._hooks.around(held)
        for middleware, hook in held.hooks.before:
            try:
                hook(self, held)
            except (MiddlewareError, UnderstudyError):
                raise
            except Exception as error:
                raise HookFailed(_hook_text(middleware, "before_process_message", error)) from error
        if held.failed:
            return
        try:
            self.begins(held)
        except ServerUnavailable as error:
            raise GuardUnavailable(f"the beginning could not be recorded, so the actor did not run: {error}") from error
        if held.execution is not None:
            held.execution.entered = True

    def _enter_as_suspect(self, gate: Gate, held: HeldMessage) -> None:
        most = self.company_of(held)
        held.alone = most == 1
        # Bodies in threads are few, and end. On the loop there may be a thousand, and some may go on for ever.
        patience = PATIENCE if self.detached else None
        if not gate.enter(alone=True, most=most, patience=patience):
            held.alone = False
            raise HandBack("it is to run apart, and the bodies that run here do not end", delay=AFTER_PATIENCE)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """An exception in a hook after the body voids the outcome: it is never acknowledged as done."""
        if signal in ("process_message", "skip_message"):
            self._after_the_body(signal, args[0], kwargs)
            return
        for middleware, hook in self._hooks.behind(signal):
            try:
                hook(self, *args, **kwargs)
            except Exception:
                self.logger.critical("Unexpected failure in %s of %r.", f"after_{signal}", middleware, exc_info=True)

    def _after_the_body(self, signal: str, held: HeldMessage, kwargs: dict[str, Any]) -> None:
        held.ended = True
        if held.took is None and held.execution is not None and held.execution.entered and held.execution.began_at:
            held.took = clock.monotonic() - held.execution.began_at
        self._collecting.running = None
        if held.withdrawn:
            return  # it is somebody else's; nothing that a hook could add has an effect
        if kwargs.get("exception") is not None:
            held.outcome.follow_ups.clear()  # what the body wanted to exist if it was committed
            kwargs["exception"] = deciding(kwargs["exception"])
        if not held.alone:
            self.leave_the_gate(held)
        failure: HookFailed | None = None
        self._collecting.held = held
        try:
            for middleware, hook in (held.hooks or self._hooks.all).behind(signal):
                try:
                    hook(self, held, **kwargs)
                except Exception as error:
                    name = _hook_text(middleware, f"after_{signal}", error)
                    place = f"{type(middleware).__name__}.after_{signal}"
                    logger.error("%s: %s raised %s; its outcome is void", held, place, error, exc_info=True)
                    if failure is None:
                        failure = HookFailed(name)
                        failure.__cause__ = error
        finally:
            self._collecting.held = None
        if failure is not None:
            self._void(held, failure)

    def leave_the_gate(self, held: HeldMessage) -> None:
        """The body of ``held`` is over. A suspect stays in until its outcome is committed: were the process killed by
        the next one before that, the suspect would be blamed."""
        if held.gate is not None:
            held.gate.leave()
            held.gate = None

    def _void(self, held: HeldMessage, failure: HookFailed) -> None:
        self.undo(held)
        outcome, execution = held.outcome, held.execution
        if isinstance(failure.__cause__, ServerUnavailable):
            outcome.decide(Disposition.HAND_BACK, delay=AFTER_AN_OUTAGE, reason=str(failure))
            if execution is not None and execution.claim_key is not None:
                outcome.claim, outcome.claim_ttl = "keep", self.settings.result_ttl
                outcome.fields["claim"] = execution.claim_key  # whoever revokes it meanwhile sets the key free
            return
        outcome.decide(Disposition.DEAD, reason=str(failure))
        outcome.state = State.FAILURE
        outcome.fields.update(
            actor=held.actor_name,
            queue=held.queue_name,
            retries=held.retries,
            exception=encode_exception(failure),
            traceback=format_traceback(failure),
        )
        if execution is not None and execution.claim_key is not None:
            outcome.claim = "release"
        held.fail()

    def undo(self, held: HeldMessage) -> None:
        """Take back what was collected on ``held``, except the marks of items: what is done is done."""
        held.outcome.void()
        held.failed = False
        if held.execution is not None:
            held.options["retries"] = held.execution.retries

    # -- enqueue -----------------------------------------------------------------------------------------

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message; ``delay`` in milliseconds, as everywhere at Dramatiq's edge.

        Called by middleware while an outcome is being collected it joins that outcome: the same message again
        is its retry, any other is a follow-up.

        Raises:
          AlreadyEnqueued: another message stands under its unique key. What joins an outcome is left out then, and
            only the log is told.
          MessageTooLarge, SerializationError: nothing was enqueued.
          ServerUnavailable: the server could not be asked.
        """
        message = plain(message)
        if message.options.pop("when", "now") == "committed":
            self._join_the_outcome(message, delay)
            return message
        held: HeldMessage | None = getattr(self._collecting, "held", None)
        if held is None:
            self.emit_before("enqueue", message, delay)
            self.transmit(message, delay=delay)
            self.emit_after("enqueue", message, delay)
            return message
        seconds = None if delay is None else delay / 1000
        if message.message_id == held.message_id:
            held.outcome.decide(Disposition.RETRY, delay=seconds or 0.0, reason="retry")
        else:
            self.emit_before("enqueue", message, delay)
            mark(message, self.actors)
            self.check_size(message.encode())
            held.outcome.follow_ups.append((message, seconds))
        return message

    def _join_the_outcome(self, message: Message[Any], delay: int | None) -> None:
        running: HeldMessage | None = getattr(self._collecting, "running", None) or _running.get()
        if running is None or running.ended:
            raise TypeError('when="committed" joins the outcome of a running body; outside of one send without it')
        self.emit_before("enqueue", message, delay)
        mark(message, self.actors)
        self.check_size(message.encode())
        running.outcome.follow_ups.append((message, None if delay is None else delay / 1000))

    def check_size(self, data: bytes) -> None:
        """Refuse a message above the limit, in the sender. What was accepted once is not measured again.

        Raises:
          MessageTooLarge: says how large it is and what to do.
        """
        limit, size = self.settings.max_message_size, len(data)
        if size > limit:
            raise MessageTooLarge(
                f"the message is {size:,} bytes when encoded, the limit is {limit:,}; send it in parts, send "
                "the name of a file or table instead, or raise UNDERSTUDY_MAX_MESSAGE_SIZE"
            )


def _hook_text(middleware: dramatiq.Middleware, hook: str, error: Exception) -> str:
    return f"{type(middleware).__name__}.{hook} raised {type(error).__name__}: {error}"
