"""One execution: a delivery of a message that this process is working on, and what the body may ask of it.

``current()`` finds it from within the body. It is None when the actor is called as a plain function (R19), so
that ``each`` and ``progress`` work there too and record nothing.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from .actors import Actor, declared
from .errors import LeaseLost
from .holds import Hold
from .outcome import Outcome
from .records import Records


class Contributor(Protocol):
    """Something that adds to the outcome when the body has ended, whatever way."""

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None: ...


@dataclass(eq=False)
class Execution:
    """What is known of the delivery being worked on.

    Attributes:
      hold: the delivery: every write on the message's behalf checks it and carries its token.
      retries: how many retries came before this run.
      items_scope: what remembered items belong to: the idempotency key if there is one, else the message.
      unheard: the claim was asked for, and the answer did not come.
      begun: it was let in by the guards.
      duplicate: this delivery is a duplicate and does not run.
      uses_items: the body remembers items, so that something of them lies on the server.
      lost: set by the heartbeat when the claim belongs to another delivery; the body stops at its next write.
      outer: what ``current()`` found before.
    """

    message_id: str
    actor: Actor[Any, Any]
    records: Records
    outcome: Outcome
    stopping: threading.Event
    hold: Hold
    retries: int = 0
    items_scope: str = ""
    claim_key: str | None = None
    unheard: bool = False
    begun: bool = False
    duplicate: bool = False
    uses_items: bool = False
    lost: bool = False
    outer: Execution | None = None
    contributors: list[Contributor] = field(default_factory=list)

    @property
    def token(self) -> str:
        """Names the delivery."""
        return self.hold.token

    @property
    def track_started(self) -> bool:
        """Whether STARTED is shown."""
        return declared(self.actor).track_started

    @property
    def last_attempt(self) -> bool:
        """Whether a failure of this run will not be retried, however it fails."""
        policy = declared(self.actor).retry
        return policy is None or not policy.allows(self.retries)

    def confirm(self, held: bool = True) -> None:
        """Let the body go on only while the message and its claim are held here.

        Raises:
          LeaseLost: they are not.
        """
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
