"""What was enqueued: recorded by a middleware of the test's broker."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from dramatiq import Broker, Message, Middleware


@dataclass(frozen=True)
class Sent:
    """One message as it was enqueued; ``delay`` in seconds, None for at once."""

    message: Message[Any]
    delay: float | None


class Enqueued(Middleware):
    """Every message that was enqueued on the test's broker, retries and hand-backs among them, in order."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        #: The names of the actors whose bodies were about to run, also as steps of a workflow, which nobody enqueues.
        self.begun: set[str] = set()
        self._waiting: Counter[str] = Counter()

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        if delay is None and self._waiting[message.message_id]:
            # A delayed message that has come due is enqueued by Dramatiq once more; nobody sent it.
            self._waiting[message.message_id] -= 1
            return
        if delay is not None:
            self._waiting[message.message_id] += 1
        self.sent.append(Sent(message, None if delay is None else delay / 1000))

    def before_process_message(self, broker: Broker, message: Any) -> None:
        self.begun.add(message.actor_name)

    def __len__(self) -> int:
        return len(self.sent)

    def messages(self, actor: str | Any | None = None) -> list[Message[Any]]:
        """The messages, in order; of one actor when it or its name is given."""
        name = getattr(actor, "actor_name", actor)
        return [sent.message for sent in self.sent if name is None or sent.message.actor_name == name]

    def assert_sent(self, actor: str | Any, *args: Any, times: int = 1, **kwargs: Any) -> list[Message[Any]]:
        """Assert that ``actor`` was sent exactly ``times`` messages with these arguments; return them.

        The failure lists what was sent instead.
        """
        found = [
            message for message in self.messages(actor) if list(message.args) == list(args) and message.kwargs == kwargs
        ]
        if len(found) != times:
            lines = "".join(f"\n  {message}" for message in self.messages()) or "\n  nothing"
            wanted = f"{getattr(actor, 'actor_name', actor)}(*{args!r}, **{kwargs!r})"
            raise AssertionError(f"{wanted} was sent {len(found)} times, not {times}; sent were:{lines}")
        return found

    def assert_nothing(self, actor: str | Any | None = None) -> None:
        """Assert that nothing (of ``actor``) was sent."""
        found = self.messages(actor)
        if found:
            raise AssertionError("sent were:" + "".join(f"\n  {message}" for message in found))
