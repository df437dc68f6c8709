"""What an outcome sends, kept in the record until the entry that it came from is acknowledged.

Record, messages and acknowledgement are three steps on this transport. A process may die between them: then the
same entry is delivered again, ``begin`` says that it is settled, and what it was to send is sent from here. The
body does not run again. An entry made from an entry for the same attempt of the same message always gets the same
name, so that nothing is sent twice.
"""

from __future__ import annotations

import uuid
from typing import Any

from dramatiq import Message

from understudy import clock, serialization
from understudy.outcome import Disposition

from .held import HeldMessage

#: What comes back to the queue: the message itself.
AGAIN = (Disposition.RETRY, Disposition.HAND_BACK)


def letters(held: HeldMessage) -> list[tuple[Message[Any], float | None, str]]:
    """What the outcome of ``held`` sends, in order: message, delay in seconds, and the name of its entry."""
    outcome = held.outcome
    sent = list(outcome.follow_ups)
    if outcome.disposition in AGAIN:
        sent.append((held._message, outcome.delay or None))
    return [(message, delay, _entry_after(held.entry, index, message)) for index, (message, delay) in enumerate(sent)]


def _entry_after(entry: str, index: int, message: Message[Any]) -> str:
    # The attempt is part of the name: a delivery that was handed back before its process died may be followed by
    # one that is retried, and the retry is another message to the queue than the copy that was handed back.
    attempt = message.options.get("retries", 0)
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{entry}/{index}/{message.message_id}/{attempt}").hex


def pack(held: HeldMessage) -> bytes:
    """The outbox of ``held``; empty when its outcome sends nothing."""
    outcome = held.outcome
    again = outcome.disposition in AGAIN
    if not again and not outcome.follow_ups:
        return b""
    now = clock.now()
    return serialization.dumps(
        {
            # Its arguments need not be kept: the entry that is delivered again has them.
            "again": {"due": now + outcome.delay, "retries": held.retries} if again else None,
            "follow_ups": [
                {"data": message.encode(), "due": None if delay is None else now + delay}
                for message, delay in outcome.follow_ups
            ],
        }
    )


def unpack(held: HeldMessage, outbox: bytes) -> None:
    """Let the outcome of ``held``, a redelivered entry, send what was packed."""
    outcome = held.outcome
    if not outbox:
        return
    packed = serialization.loads(outbox)
    for letter in packed["follow_ups"]:
        delay = None if letter["due"] is None else _left(letter["due"])
        outcome.follow_ups.append((Message.decode(letter["data"]), delay))
    again = packed["again"]
    if again is not None:
        held.options["retries"] = again["retries"]
        outcome.decide(Disposition.HAND_BACK, delay=_left(again["due"]), reason="decided before the process died")


def _left(due: float) -> float:
    return max(0.0, due - clock.now())
