"""A message that this process holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dramatiq import Message, MessageProxy

from understudy.execution import Execution
from understudy.holds import Hold
from understudy.outcome import Outcome
from understudy.turns import Turn

from .gate import Gate
from .hooks import Around


class HeldMessage(MessageProxy):
    """A delivered message with the outcome that is being collected on it."""

    #: Its body runs on the event loop, beside the threads of the worker.
    on_loop = False
    #: Frees the place of a body that has begun there; None while the message counts among those of the threads.
    place: Callable[[], None] | None = None
    # What most messages never change stands here: there are thousands a second.
    execution: Execution | None = None
    #: What was asked for when it was fetched, if it has an idempotency key; when it was claimed then, by the clock that
    #: measures.
    claim_name = ""
    claimed_at = -math.inf
    #: Whether that showed that it is a duplicate, and does not run now.
    duplicate = False
    #: The hooks around its body, from when that begins.
    hooks: Around | None = None
    #: What it was answered when it asked for its turn under the limits of its actor, if there are some.
    turn: Turn | None = None
    #: The limit in whose line it stood, if it asks for no turn any more.
    quits = ""
    #: Set when the message went back to its queue before its body began.
    withdrawn = False
    #: Set when it waits for its settlement alone.
    over = False
    #: When its body began, by the clock that measures; None before.
    began_at: float | None = None
    #: The worker name under which a started mark was written, if one was.
    started = ""
    #: Set when the body has ended.
    ended = False
    #: For how many seconds it ran; None if it has not.
    took: float | None = None
    #: Whether the body runs alone in its process (see ``poison.py``).
    alone = False
    #: The gate that the body has passed and not left.
    gate: Gate | None = None
    #: How often an outcome did not fit what lies on the server.
    misfits = 0
    #: The name under which a part of the outcome was staged, if it is large.
    staged = ""
    #: The dead letter of the outcome, encoded.
    body = b""

    def __init__(self, message: Message[Any], hold: Hold) -> None:
        super().__init__(message)
        # Copied, because Dramatiq's proxy looks every one of them up anew, twenty times a message.
        self.message_id = message.message_id
        self.queue_name = message.queue_name
        self.actor_name = message.actor_name
        self.args = message.args
        self.kwargs = message.kwargs
        self.options = message.options
        self.hold = hold
        self.outcome = Outcome()
        #: What the outcome sends (message, payload, delay, hold), encoded.
        self.letters: list[tuple[Message[Any], bytes, float | None, Hold | None]] = []
        #: The numbers by which the reply names those of them that were refused as duplicates, and those that were.
        self.numbers: list[int] = []
        self.refused: dict[int, str] = {}

    def __str__(self) -> str:
        # Dramatiq logs messages with %s; arguments do not belong in a log.
        return f"{self.actor_name}[{self.message_id}]"

    __repr__ = __str__

    @property
    def entry(self) -> str:
        """What names the delivery."""
        return self.hold.token

    @property
    def retries(self) -> int:
        """How many retries came before this delivery."""
        return int(self.options.get("retries") or 0)


def plain(message: Message[Any]) -> Message[Any]:
    """The message itself, if ``message`` is a delivery of it."""
    return message._message if isinstance(message, MessageProxy) else message
