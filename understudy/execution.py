"""One execution: a delivery of a message that this process is working on, and what the body may ask of it.

``current()`` finds it from within the body. It is None when the actor is called as a plain function (R19), so
that ``each`` and ``progress`` work there too and record nothing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from dramatiq.middleware import Interrupt

from .actors import Actor, declared
from .errors import LeaseLost, RetryAsked
from .holds import Hold
from .limits import Limits
from .outcome import Outcome
from .records import Records

#: The option that a message carries whose body has begun and which went back.
HANDED_BACK = "handed_back"


class Terminated(Interrupt):
    """Raised in a body whose message was revoked with ``terminate=True``. A ``BaseException``, as Dramatiq's own
    interrupts are, so that ``except Exception`` in the body does not take it for a failure of its work."""


class Contributor(Protocol):
    """Something that adds to the outcome when the body has ended, whatever way."""

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None: ...


@dataclass(eq=False)
class Execution:
    """What is known of the delivery being worked on.

    Attributes:
      hold: the delivery: every write on the message's behalf checks it and carries its token.
      retries: how many retries came before this run.
      args, kwargs: what the body was given (K03).
      headers: what the sender put beside the arguments (K07).
      parent_id, root_id: the message whose body sent this one, and the first of that line, this one if nobody sent it.
      items_scope: what remembered items belong to: the idempotency key if there is one, else the message.
      handed_back: the body of an earlier delivery began, and the message went back.
      circuit: the circuit breaker that let it in, to be told how it ended.
      unheard: the claim was asked for, and the answer did not come.
      begun: it was let in by the guards.
      entered: nothing is left between it and its body, which begins or has begun.
      duplicate: this delivery is a duplicate and does not run.
      uses_items: the body remembers items, so that something of them lies on the server.
      came_on: an item was finished in this delivery, and the server knows.
      lost: set by the heartbeat when the claim belongs to another delivery; the body stops at its next write.
      cut_off: the body was ended from outside, in the middle of whatever it did.
      outer: what ``current()`` found before.
      terminated: why the body is to end, once somebody has said so.
      ender: ends the body where it runs: in its thread, or with its process. Set while there is something to be ended.
      limits: its time limits; None when nobody keeps any.
      began_at: when the body began, by the clock that measures.
      overdue: raises what a time limit that is over would have raised; None where limits are not only measured.
      reporting: makes its reporter of progress, which few ask for; None when there is none.
      reporter: the one that was made, which is one of the contributors.
      again: what the body asked for with ``retry(throw=False)`` (R18).
      failure: what the body raised, as readers see it.
      workflow: the workflow that the message belongs to, if it does.
      turns: how often the body has asked for a turn of its own, by the name of the limit.
      told_wait: the seconds that the exception of the body says to wait, where only its own process could read them.
    """

    message_id: str
    actor: Actor[Any, Any]
    records: Records
    outcome: Outcome
    stopping: threading.Event
    hold: Hold
    retries: int = 0
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    parent_id: str | None = None
    root_id: str = ""
    items_scope: str = ""
    claim_key: str | None = None
    handed_back: bool = False
    circuit: str | None = None
    unheard: bool = False
    begun: bool = False
    entered: bool = False
    duplicate: bool = False
    uses_items: bool = False
    came_on: bool = False
    lost: bool = False
    cut_off: bool = False
    outer: Execution | None = None
    terminated: str = ""
    ender: Callable[[], None] | None = None
    limits: Limits | None = None
    began_at: float = 0.0
    overdue: Callable[[], None] | None = None
    reporting: Callable[[Execution], Contributor] | None = None
    reporter: Contributor | None = None
    again: RetryAsked | None = None
    told_wait: float | None = None
    failure: BaseException | None = None
    workflow: str | None = None
    turns: dict[str, int] = field(default_factory=dict)
    contributors: list[Contributor] = field(default_factory=list)

    @property
    def token(self) -> str:
        """Names the delivery."""
        return self.hold.token

    @property
    def redelivered(self) -> bool:
        """Whether an earlier delivery came to no end: it was held by a worker, or run in a process, that died (D05), or
        its body began and the message went back (S14). What went back before its body began does not count, and a retry
        is a new beginning."""
        return self.hold.suspect or self.handed_back

    def tracks(self, default: bool) -> bool:
        """Whether STARTED is shown: as the actor says, else ``default``."""
        said = declared(self.actor).track_started
        return default if said is None else said

    @cached_property
    def arguments_to_log(self) -> dict[str, Any]:
        """The arguments that the actor says may be logged, by name."""
        names = declared(self.actor).log_args
        if not names or not isinstance(self.actor, Actor):
            return {}
        try:
            found = self.actor.arguments(self.args, self.kwargs)
        except TypeError:
            return {}  # they do not fit; the message fails with that
        return {name: found[name] for name in names if name in found}

    @property
    def time_limit(self) -> float | None:
        """Seconds after which this body is ended, or None (T16)."""
        return None if self.limits is None or self.limits.hard == math.inf else self.limits.hard

    @property
    def soft_time_limit(self) -> float | None:
        """Seconds after which ``SoftTimeLimitExceeded`` is raised in this body, or None (T16)."""
        return None if self.limits is None else self.limits.soft

    @property
    def memory_limit(self) -> int | None:
        """Bytes that the process of this body may take, or None."""
        return None if self.limits is None else self.limits.memory

    @property
    def last_attempt(self) -> bool:
        """Whether a failure of this run will not be retried, however it fails, unless the body asks for more runs than
        its policy allows (``retry(max_retries=...)``)."""
        policy = declared(self.actor).retry
        return policy is None or not policy.allows(self.retries)

    def terminate(self, reason: str) -> None:
        """Let the body end: ``each`` stops at its next item. ``end_now`` does not wait for that."""
        self.terminated = reason

    def close(self) -> None:
        """Let go of what contributed to the outcome, and refers to this: both go now, not when the collector comes."""
        self.contributors.clear()
        self.reporter = None

    def end_now(self) -> None:
        """End the body where it runs, in the middle of whatever it does."""
        if self.ender is not None:
            self.ender()

    def confirm(self, held: bool = True) -> None:
        """Let the body go on only while the message and its claim are held here.

        Raises:
          LeaseLost: they are not.
        """
        if self.overdue is not None:
            self.overdue()
        if self.lost or not held:
            raise self.hold_lost()

    def hold_lost(self) -> LeaseLost:
        """The error that stops a body whose message is held by somebody else now."""
        return LeaseLost(
            f"message {self.message_id} is held by another worker now; this execution stops and records nothing"
        )


_current: ContextVar[Execution | None] = ContextVar("understudy_execution", default=None)


def current() -> Execution | None:
    """The execution whose body is running here, or None outside of a worker."""
    return _current.get()


def set_current(execution: Execution | None) -> None:
    """Make ``execution`` the one that ``current()`` finds in this thread."""
    _current.set(execution)
