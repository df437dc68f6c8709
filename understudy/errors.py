"""Every error Understudy raises, in one tree.

::

    UnderstudyError
    |-- SettingsError                 the environment is wrong (every mistake at once)
    |-- EmbeddedServerError           the development server cannot be started or kept
    |-- DeclarationError              an actor is declared wrongly (also a TypeError: raised at import)
    |   `-- LimitsConflict            limits that cannot be together (also a ValueError, as in Celery)
    |-- SerializationError            a value cannot travel (also a TypeError: raised in the caller)
    |-- DecodeError                   bytes from the server are not what Understudy wrote
    |-- ServerUnavailable             the server cannot be asked: nothing was decided
    |   |-- NoGroup                   the server knows no such queue: it has lost its data
    |   |-- ServerFull                the server has no memory left: nothing was sent
    |   `-- GuardUnavailable          ... and so the actor did not run (it fails closed)
    |-- TaskError                     what a reader of results meets
    |   |-- ResultTimeout             waited, not ready (also a TimeoutError)
    |   |-- RemoteError               stand-in for an exception class the reader cannot import
    |   |-- TimeLimitExceeded         the body was stopped at its time limit
    |   |-- MemoryLimitExceeded       the body was stopped at its memory limit
    |   |-- MaxRetriesExceeded        the body asked for one more run than its policy allows
    |   |-- Revoked                   the message was revoked: it did not run, or was stopped
    |   |-- ChordError                a step did not run, because a member of the group before it failed
    |   |-- DuplicateRunning          a twin with the same idempotency key runs, and the actor said "fail"
    |   |-- PoisonMessage             worker processes died while they ran it, too many times
    |   |-- TooManyFailures           too many of the items of each() failed
    |   |-- ItemsChanged              the items of each() that are over are not those that come first now
    |   |-- CircuitOpen               it waited too long for something that is broken
    |   |-- InDoubt                   the process died between work and commit, and the actor said "skip"
    |   `-- ResultTooLarge            the result is above the limit
    |-- HookFailed                    a middleware hook raised, so the outcome does not count
    |-- MessageTooLarge               the encoded message is above the limit (raised in the sender)
    |-- AlreadyEnqueued               a message with the same unique key stands (raised in the sender)
    |-- WorkflowError                 what is asked of a workflow does not go
    |   |-- WorkflowExists            there is one of this name (raised in the sender)
    |   `-- NotResumable              it has not failed, or its end cannot be taken back
    |-- UnknownActor                  no such actor is registered here
    |-- HandBack                      control flow: give the message back, burn no attempt
    |   |-- NotYet                    a limit is reached: it is not the message's turn
    |   `-- BodyDied                  the process that ran the body has died; the message runs again
    |-- RetryAsked                    control flow: the body asks to run again (made by understudy.retry)
    |-- SoftTimeLimitExceeded         raised in the body at its soft time limit; may be caught, and retried
    |-- IsolationError                the process for a body cannot be made, whatever is tried
    `-- LeaseLost                     this worker no longer holds the message: stop, record nothing

Each message says what happened and what to do next.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import dramatiq
from dramatiq.middleware import MiddlewareError


class UnderstudyError(Exception):
    """Base of everything below.

    Attributes:
      accepted: out of ``send_many``: how many messages were accepted before.
    """

    accepted = 0


class SettingsError(UnderstudyError):
    """One or more settings are wrong. ``problems`` lists each with its name and what to write instead."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = list(problems)
        noun = "setting is" if len(self.problems) == 1 else "settings are"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} {noun} wrong:\n{lines}")


class EmbeddedServerError(UnderstudyError):
    """The embedded server could not be started or kept. The message carries the end of its log."""


class DeclarationError(UnderstudyError, TypeError):
    """An actor's declaration is wrong: an unknown option, an impossible combination. Raised at import."""


class LimitsConflict(DeclarationError, ValueError):
    """A soft limit above the hard one, which would end the body first (T11). A ``ValueError`` as well, as in Celery."""


class SerializationError(UnderstudyError, TypeError):
    """A value cannot travel in a message or a result. ``path`` says where it stands."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class DecodeError(UnderstudyError):
    """Bytes read from the server are not what Understudy writes."""


class ServerUnavailable(UnderstudyError):
    """The server could not be asked, so nothing was decided. Check that it runs: ``understudy doctor``."""


class NoGroup(ServerUnavailable):
    """The server answers that it knows no such consumer group: it has lost its data, or the queue was never made."""


class ServerFull(ServerUnavailable):
    """The server's memory is used up (``maxmemory``), so it takes nothing new. What it has accepted goes on and makes
    room: send again later, let more workers drain it, or raise ``maxmemory``."""


class GuardUnavailable(MiddlewareError, ServerUnavailable):
    """A guard could not ask the server, so the actor did not run; the message waits and is tried again.

    A ``MiddlewareError``, because Dramatiq swallows every other exception of a ``before_*`` hook and runs
    the actor all the same (``Broker.emit_before``).
    """


class TaskError(UnderstudyError):
    """Base of what a reader of results meets."""


class ResultTimeout(TaskError, TimeoutError):
    """The wait is over and the message is not ready; it goes on all the same, and a later ``get`` works."""


class RemoteError(TaskError):
    """Stands in for an exception whose class this process cannot rebuild (S08).

    It is of a class that is called as the original is and was made for the purpose; it has its arguments and reads like
    it. To catch it write ``except RemoteError``, and look at ``type_name``.

    Attributes: ``type_name`` (the class's full name), ``message`` (its text), ``exc_args`` (what survived of its
    arguments), ``written`` (how a record names the class).
    """

    def __new__(cls, type_name: str, message: str, exc_args: tuple[Any, ...] = ()) -> RemoteError:
        made: RemoteError = super().__new__(
            _named(_last(type_name)) if cls is RemoteError else cls, *(exc_args or (message,))
        )
        return made

    def __init__(self, type_name: str, message: str, exc_args: tuple[Any, ...] = ()) -> None:
        self.written = type_name
        self.type_name = type_name.replace(":", ".")
        self.message = message
        self.exc_args = exc_args
        super().__init__(*(exc_args or (message,)))

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteError, (self.written, self.message, self.exc_args)


def _last(type_name: str) -> str:
    return type_name.replace(":", ".").rpartition(".")[2]


@lru_cache(maxsize=1_000)
def _named(name: str) -> type[RemoteError]:
    """The class of the stand-ins for classes of this name. Bounded: names come from the server."""
    return type(name, (RemoteError,), {"__module__": __name__}) if name.isidentifier() else RemoteError


class TimeLimitExceeded(TaskError):
    """The body was stopped at its time limit (T01, T03), as a reader of results meets it.

    In a process of its own the body is ended without being asked. In a thread ``dramatiq.middleware.TimeLimitExceeded``
    is raised in it, a ``BaseException``, which would get past a reader's ``except Exception``.
    """


class MemoryLimitExceeded(TaskError):
    """The process of the body took more memory than ``memory_limit`` allows, and was ended. Not retried. Give the work
    in smaller parts, or raise the limit."""


class MaxRetriesExceeded(TaskError):
    """The body raised ``dramatiq.Retry`` with nothing behind it, and its policy allows no further run (R02)."""


class Revoked(TaskError):
    """The message was revoked: it did not run, or was stopped. Celery's ``TaskRevokedError``."""


class ChordError(TaskError):
    """A member of a group has failed, so what comes after the group did not run (H02). Names the member and what it
    raised. Celery's ``ChordError``."""


class DuplicateRunning(TaskError):
    """A message with the same idempotency key is being worked on, and the actor says ``on_running="fail"``."""


class PoisonMessage(TaskError):
    """The body was running at too many deaths of a worker process, the last time alone; it is a dead letter now."""


class TooManyFailures(TaskError):
    """More items of ``each`` failed than ``max_failures`` allows, so the body was stopped. Not retried: an item that
    failed is not tried again.

    Attributes: ``done``, ``failed`` and ``in_doubt`` count items; ``first`` has the reasons of the first few, by key.
    """

    def __init__(
        self, text: str, *, done: int = 0, failed: int = 0, in_doubt: int = 0, first: dict[str, str] | None = None
    ) -> None:
        self.done = done
        self.failed = failed
        self.in_doubt = in_doubt
        self.first = {} if first is None else first
        super().__init__(text)


class ItemsChanged(TaskError):
    """What is remembered of the items of ``each`` does not fit what it is given now, so none is given out. Not retried.

    With ``ordered`` the items must come in the same order in every execution of the message; and a message that was
    begun with one of ``ordered`` and ``cursor`` must go on with it.
    """


class InDoubt(TaskError):
    """The process died after the body had begun, and the actor says that such work is not repeated."""


class CircuitOpen(TaskError):
    """What the actor calls is broken, and stayed so for longer than its circuit breaker has patience. Not retried: see
    that it works, and requeue the dead letter (``understudy dead requeue``)."""


class ResultTooLarge(TaskError):
    """The result is larger than ``UNDERSTUDY_MAX_RESULT_SIZE`` allows. Store it elsewhere, return its name."""


class HookFailed(MiddlewareError, UnderstudyError):
    """A middleware hook raised. What the execution would have led to is void; the message names the hook."""


class MessageTooLarge(UnderstudyError, ValueError):
    """The encoded message is above ``UNDERSTUDY_MAX_MESSAGE_SIZE``; nothing was sent."""


class AlreadyEnqueued(UnderstudyError):
    """The actor is declared ``unique``, and a message with the same key waits or runs: this one was not accepted.

    Attributes: ``actor_name``; ``message_id`` (of the one that stands: ``handle(error.message_id)`` waits for it).
    """

    def __init__(self, actor_name: str, message_id: str) -> None:
        self.actor_name = actor_name
        self.message_id = message_id
        super().__init__(actor_name, message_id)

    def __str__(self) -> str:
        return (
            f"{self.actor_name}: message {self.message_id} stands under the same unique key, so nothing was sent; wait "
            "for it, revoke it, or send with another unique_key"
        )


class WorkflowError(UnderstudyError):
    """What is asked of a workflow does not go."""


class WorkflowExists(WorkflowError):
    """There is a workflow of this name, so nothing was accepted. Give another ``workflow_id``, or none."""


class NotResumable(WorkflowError):
    """The workflow cannot be taken up again as it is; the message says why, and what can be done."""


class UnknownActor(UnderstudyError, LookupError):
    """No actor of this name is registered in this process."""


class HandBack(MiddlewareError, dramatiq.Retry, UnderstudyError):
    """Control flow: this message is not for now. It goes back to its queue and no attempt is burned.

    A ``dramatiq.Retry`` as well, because that is what Dramatiq's worker does not log as an error.
    ``delay`` is in seconds from now.
    """

    def __init__(self, reason: str, *, delay: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = self.message = reason
        self.delay: float = delay  # type: ignore[assignment]  # seconds here, milliseconds in dramatiq.Retry


class NotYet(HandBack):
    """A rate or concurrency limit is reached: the message waits in its queue until it is its turn."""


class BodyDied(HandBack):
    """The process that ran the body died in the middle of it. The message runs again, and the death is remembered."""


class RetryAsked(dramatiq.Retry, UnderstudyError):
    """Control flow: the body asks to run once more. ``understudy.retry(...)`` makes it; its cause is what readers see.

    Attributes:
      delay: milliseconds, as in ``dramatiq.Retry``; None leaves it to the policy.
      arguments: the positional and the named arguments of the next run, encoded; empty when they stay as they are.
      max_retries: in place of the policy's, for this execution; None leaves it to the policy.
    """

    def __init__(
        self, text: str = "", delay: int | None = None, *, arguments: bytes = b"", max_retries: int | None = None
    ) -> None:
        super().__init__(text, delay)
        self.arguments = arguments
        self.max_retries = max_retries


class SoftTimeLimitExceeded(UnderstudyError):
    """The soft time limit of the message is over (T01). Raised in the body, once: what it does about it is its affair.
    Not caught it is a failure like any other, and retried if the actor's policy says so (T05)."""

    def __init__(self, text: str = "the soft time limit is over; end soon, before the hard one") -> None:
        super().__init__(text)


class IsolationError(UnderstudyError):
    """No process can be made that runs the body: it cannot import the worker's modules, or does not know the actor."""


class LeaseLost(UnderstudyError):
    """This worker no longer holds the message. The body must stop; nothing it does now is recorded."""
