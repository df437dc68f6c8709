"""The outcome of one execution: all that must follow from it, collected on the message, committed once.

While a message is processed, middleware adds what must follow (state, result, item marks, what becomes of the
idempotency claim, follow-up messages). The broker commits the outcome with the acknowledgement. Dramatiq's
``ack`` and ``nack`` both mean "commit this outcome"; its choice between them is only the default disposition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from dramatiq import Message

from .states import State

ClaimAction = Literal["", "complete", "keep", "undo", "release"]


class Disposition(StrEnum):
    """What becomes of the message."""

    DONE = "done"
    FAILED = "failed"
    RETRY = "retry"
    #: Back to the queue, at a time, burning no attempt. Invisible to retries and results.
    HAND_BACK = "hand back"
    #: To the dead letters.
    DEAD = "dead"


@dataclass(frozen=True)
class Continued:
    """A part of a workflow that begins in the place of a message (C15).

    Attributes:
      first: its first node.
      to: the streams that its nodes mean by number.
      aside: the name under which a workflow of its own was put aside; empty when it is a part of the message's.
      size: the number of its last node.
    """

    workflow: str
    first: int
    to: str
    aside: str = ""
    size: int = 0


@dataclass
class Outcome:
    """What follows from one execution. Durations are in seconds.

    Attributes:
      disposition: what becomes of the message; None leaves it to Dramatiq's choice of ack or nack.
      delay: when it comes back, for RETRY and HAND_BACK.
      due: the same as a time of the server's in ms, where it must be exact; None: after ``delay``.
      state: the state to record, or None to leave it.
      fields: further fields of the record, already encoded; an empty value removes the field.
      marks: item key -> mark; an empty mark forgets the item's intent, "?" does so unless the item was in doubt before.
      claim: what becomes of the idempotency claim, with its ``claim_ttl`` and ``claim_result``.
      follow_ups: messages (with their delay) that exist only if this outcome is committed.
      reason: why, for the log.
      stops: nothing follows it in its workflow although it did not fail: it was skipped.
      continued: the workflow, or the part of one, that goes on in its place.
      poison: it becomes a dead letter because processes died at it.
      again: what comes back in place of the message itself: it under the same id, with other arguments (R07).
    """

    disposition: Disposition | None = None
    delay: float = 0.0
    due: float | None = None
    state: State | None = None
    fields: dict[str, bytes | str | int | float] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    claim: ClaimAction = ""
    claim_ttl: float = 0.0
    claim_result: bytes = b""
    follow_ups: list[tuple[Message[Any], float | None]] = field(default_factory=list)
    reason: str = ""
    poison: bool = False
    again: Message[Any] | None = None
    stops: bool = False
    continued: Continued | None = None

    @property
    def records_anything(self) -> bool:
        """Whether the commit writes to the server's records at all."""
        return bool(self.state or self.fields or self.marks or self.claim)

    def decide(self, disposition: Disposition, *, delay: float = 0.0, reason: str = "") -> None:
        """Set what becomes of the message."""
        self.disposition = disposition
        self.delay = delay
        self.due = None
        self.reason = reason

    def void(self) -> None:
        """Take back all that was contributed, except the marks of items: what is done is done."""
        marks = self.marks
        self.__init__()  # type: ignore[misc]  # a fresh outcome under the same identity
        self.marks = marks
