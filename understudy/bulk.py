"""``send_many``: many messages, hundreds in a round trip.

::

    understudy.send_many(welcome.message(user.id) for user in users)

A batch is accepted whole or not at all; the iterable is consumed as it is sent, so a million messages need no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dramatiq import Message

from .brokers.queueing import QueueingBroker
from .durations import Duration, to_millis, to_seconds
from .errors import UnderstudyError
from .runtime import installed


def send_many(messages: Iterable[Message[Any]], *, delay: Duration | None = None) -> int:
    """Send messages, built by ``actor.message(...)`` or ``actor.message_with_options(...)``.

    Args:
      messages: what to send; may be a generator.
      delay: when they may run: a timedelta or seconds from the moment at which each batch is sent.

    Returns:
      How many were sent: all of them, but for those of ``unique`` actors whose key another message stands under, of the
      same call or from before. They are left out and the rest goes on; ``send`` tells which message stands.

    Raises:
      MessageTooLarge, SerializationError: names what is wrong. Its batch was not sent. ``error.accepted`` says how
        many messages, from the first on, were.
      ServerUnavailable: the same, but whether the batch after those was accepted is not known.
      TypeError: something that is not a message, or one that was built with ``when="committed"``, which joins the
        outcome of a running body: send those one by one.
    """
    seconds = None if delay is None else to_seconds(delay, field="send_many(delay)", allow_zero=True)
    broker = installed()
    if not isinstance(broker, QueueingBroker):
        raise TypeError(f"send_many needs Understudy's broker, not {type(broker).__name__}")
    accepted = 0
    try:
        for batch in broker.transmit_in_batches(_announced(broker, messages, seconds)):
            accepted += len(batch)
            for message in batch:
                broker.emit_after("enqueue", message, _millis(seconds))
    except UnderstudyError as error:
        error.accepted = accepted
        error.add_note(f"{accepted:,} messages before were accepted")
        raise
    return accepted


def _announced(
    broker: QueueingBroker, messages: Iterable[Message[Any]], delay: float | None
) -> Iterator[tuple[Message[Any], float | None]]:
    for message in _checked(messages):
        broker.emit_before("enqueue", message, _millis(delay))
        yield message, delay


def _millis(seconds: float | None) -> int | None:
    return None if seconds is None else to_millis(seconds)


def _checked(messages: Iterable[Message[Any]]) -> Iterator[Message[Any]]:
    message: Any  # whatever the caller has put there
    for number, message in enumerate(messages):
        if not isinstance(message, Message):
            hint = "; write actor.message(...), not actor.send(...)" if message is None else ""
            raise TypeError(f"send_many: number {number} is not a message but {type(message).__name__}{hint}")
        if message.options.get("when") == "committed":
            raise TypeError(f'send_many: number {number} was built with when="committed"; send it by itself')
        yield message
