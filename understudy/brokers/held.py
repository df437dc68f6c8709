"""A message that this process holds."""

from __future__ import annotations

from typing import Any

from dramatiq import Message, MessageProxy

from understudy.execution import Execution
from understudy.outcome import Outcome

#: The option that names one enqueued copy of a message: every enqueue makes a new one, also of the same message.
#: Dramatiq's own Redis broker names it so.
ENTRY = "redis_message_id"


class HeldMessage(MessageProxy):
    """A delivered message with the outcome that is being collected on it."""

    def __init__(self, message: Message[Any]) -> None:
        super().__init__(message)
        self.outcome = Outcome()
        self.execution: Execution | None = None

    def __str__(self) -> str:
        # Dramatiq logs messages with %s; arguments do not belong in a log.
        return f"{self.actor_name}[{self.message_id}]"

    __repr__ = __str__

    @property
    def entry(self) -> str:
        """What names the copy that was delivered; a redelivery has the same."""
        return str(self.options.get(ENTRY, ""))

    @property
    def retries(self) -> int:
        """How many retries came before this delivery."""
        return int(self.options.get("retries") or 0)


def plain(message: Message[Any]) -> Message[Any]:
    """The message itself, if ``message`` is a delivery of it."""
    return message._message if isinstance(message, MessageProxy) else message
