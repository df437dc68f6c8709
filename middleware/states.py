"""State and result of every message, by id (S01-S19).

After the body the outcome gets the state with the result, or with the exception and its traceback. STARTED is shown
by the broker, which knows best when a body has begun (``track_started``).
"""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq import Broker, Middleware

from understudy import clock, serialization
from understudy.actors import declared
from understudy.brokers.pipelines import TARGET
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.canvas.compose import Canvas as Composed
from understudy.durations import to_millis
from understudy.errors import (
    HookFailed,
    MaxRetriesExceeded,
    ResultTooLarge,
    RetryAsked,
    Revoked,
    SerializationError,
    ServerUnavailable,
    UnderstudyError,
    WorkflowError,
)
from understudy.exceptions import encode_exception, format_traceback
from understudy.outcome import Disposition
from understudy.plans.place import WORKFLOW
from understudy.states import State

from .canvas import continued
from .executions import of, opened


class States(Middleware):
    """Keeps the record. Below the guards: what it finds before the body has been let in."""

    @property
    def actor_options(self) -> set[str]:
        return {"result_ttl", "track_started", "ignore_result"}

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, _ = of(broker, message)
        opened(held).begun = True

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, settling = of(broker, message)
        outcome = held.outcome
        if held.execution is not None:
            for part in held.execution.contributors:
                part.contribute(outcome, exception)
        if outcome.disposition is Disposition.HAND_BACK and (held.execution is None or not held.execution.begun):
            return  # it was not let in: as if nothing had happened
        outcome.fields.update(actor=held.actor_name, queue=held.queue_name, retries=held.retries)
        if "parent_id" in held.options:
            outcome.fields["parent"] = str(held.options["parent_id"])
        if exception is None and isinstance(result, Composed):
            exception = self._go_on(settling, held, result)
        elif exception is None:
            exception = self._succeed(held, result, settling.settings.max_result_size)
        if exception is None or outcome.disposition is Disposition.HAND_BACK:
            return
        if outcome.disposition is Disposition.DONE:
            end_as_revoked(held, held.execution.terminated if held.execution is not None else "revoked")
            return
        outcome.state = State.RETRY if outcome.disposition is Disposition.RETRY else State.FAILURE
        shown = _shown(held, exception)
        outcome.fields["exception"] = b"" if shown is None else encode_exception(shown)
        outcome.fields["traceback"] = format_traceback(exception)
        outcome.fields["result"] = b""
        if outcome.state is State.RETRY:
            outcome.fields["next_run"] = to_millis(clock.now() + outcome.delay)

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        """Somebody else's ``SkipMessage``: nobody shall wait in vain (S12, E02)."""
        held, _ = of(broker, message)
        execution, outcome = held.execution, held.outcome
        if outcome.state is not None or (execution is not None and execution.duplicate):
            return
        outcome.fields.update(actor=held.actor_name, queue=held.queue_name, retries=held.retries)
        if execution is not None and execution.begun and not held.failed:
            for part in execution.contributors:
                part.contribute(outcome, None)
            self._succeed(held, None, 1_024)
            outcome.stops = True  # in a workflow nothing follows it (C11, H11)
            return
        outcome.state = State.REVOKED
        outcome.fields["exception"] = encode_exception(Revoked("it was skipped before it ran"))

    def _go_on(self, broker: SettlingBroker, held: HeldMessage, result: Composed) -> Exception | None:
        """Let a workflow run in the place of the message; an exception when it cannot, which fails the message."""
        try:
            if TARGET in held.options:
                raise WorkflowError(
                    f"{held.actor_name} returned a canvas, and a pipeline made with | cannot wait for what that comes "
                    f"to; write chain({held.actor_name}.message(...), ...) instead of the pipeline"
                )
            continued(broker, held, result)
        except ServerUnavailable:
            raise
        except (UnderstudyError, TypeError) as error:
            held.outcome.follow_ups.clear()  # also what a pipeline would hand the canvas to
            held.outcome.decide(Disposition.FAILED, reason=type(error).__name__)
            held.fail()
            return error
        return None

    def _succeed(self, held: HeldMessage, result: Any, limit: int) -> Exception | None:
        """Record the result; an exception when it cannot be recorded, which fails the message (S18)."""
        outcome = held.outcome
        ignores = held.execution is not None and declared(held.execution.actor).ignore_result
        if ignores and WORKFLOW not in held.options:  # another step may need it (H14)
            result = None
        try:
            data = serialization.dumps(result, root="result")
            if len(data) > limit:
                raise ResultTooLarge(
                    f"the result is {len(data):,} bytes when encoded, the limit is {limit:,}; store it elsewhere "
                    "and return its name, or raise UNDERSTUDY_MAX_RESULT_SIZE"
                )
        except (SerializationError, ResultTooLarge) as error:
            outcome.follow_ups.clear()
            outcome.decide(Disposition.FAILED, reason=str(error))
            held.fail()
            return error
        outcome.state = State.SUCCESS
        outcome.fields["result"] = data
        return None


def end_as_revoked(held: HeldMessage, text: str) -> None:
    """The message ends here: it does not run, or was stopped (V01, V02, E02)."""
    outcome = held.outcome
    outcome.state = State.REVOKED
    outcome.fields.update(actor=held.actor_name, queue=held.queue_name, retries=held.retries)
    outcome.fields.update(exception=encode_exception(Revoked(text)), traceback=b"", result=b"", next_run=b"", claim=b"")
    if held.execution is not None:
        held.execution.uses_items = True  # what earlier runs remembered of items goes with the record


def _shown(held: HeldMessage, exception: BaseException) -> BaseException | None:
    """What readers see of ``dramatiq.Retry``: the exception that it was raised from (R01), else nothing while it
    is retried and ``MaxRetriesExceeded`` at the end (R02, R03). Of a hook before the body: what it raised, as if the
    body had (K04); the traceback names the hook. Anything else is shown as it is."""
    if isinstance(exception, HookFailed) and exception.__cause__ is not None:
        return exception.__cause__
    if not isinstance(exception, dramatiq.Retry):
        return exception
    if exception.__cause__ is not None:
        return exception.__cause__
    if held.outcome.disposition is Disposition.RETRY:
        return None
    text = f"actor {held.actor_name} asked for one more run of message {held.message_id}, which has had all of them"
    says_why = str(exception) and not isinstance(exception, RetryAsked)
    return MaxRetriesExceeded(f"{text}: {exception}" if says_why else text)
