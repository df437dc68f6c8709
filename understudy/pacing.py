"""Rate limits inside of a body: for each of many things that one message does."""

from __future__ import annotations

from typing import Any

from .brokers.queueing import QueueingBroker
from .execution import current
from .keyed import RateLimit
from .runtime import installed
from .turns import Limit, Turn, Turns, member


def turn(limit: RateLimit, **arguments: Any) -> float:
    """Take this message's turn under ``limit``, whose key is made of ``arguments``: 0 when it was now and is taken,
    else in how many seconds it is. Whatever has the same key shares it, also as ``rate_limit=`` of an actor. ::

        if wait := turn(CHANNEL_LIMIT, channel="ops"):
            raise HandBack("not yet", delay=wait)  # burns no attempt, and `each` knows what is done

    Outside of a body there is no line to stand in: then it is always now.

    Raises:
      ValueError: the limit has no key, or it does not fit the arguments.
      LeaseLost: the message is not held any more.
      ServerUnavailable: the server cannot be asked. The message waits, as at any limit (P12).
    """
    execution = current()
    if execution is None:
        return 0.0
    if limit.key is None:
        raise ValueError("a limit that is asked for in a body needs a key: RateLimit(..., key='channel:{channel}')")
    broker, storage = installed(), execution.records.storage
    assert isinstance(broker, QueueingBroker)
    asked_for = Limit.of_rate(limit, f"key:{limit.render(arguments)}")
    name = member(execution.actor.queue_name, execution.message_id)
    _, _, line, _ = storage.keys.limit(asked_for.name)
    # Since when it stands in line, if it does: its entry is new after each time that it went back.
    since = storage.call("ZSCORE", line, name) or execution.hold.entry.partition("-")[0]
    # Each is a turn of its own. The same number would be taken for the same question, whose answer was lost; and the
    # next one gives back the turn before, of which no use was made.
    times = execution.turns.get(asked_for.name, 0)
    number = 2 * times - 1
    asked = Turn(execution.token, name, float(since), (asked_for,), number=number)
    Turns(storage).ask([asked], broker.lines())
    execution.turns[asked_for.name] = times + 1
    if asked.word == "lost":
        raise execution.hold_lost()
    if asked.word == "odd":
        raise ValueError("a limit cannot be kept: its key on the server holds something that Understudy did not write")
    return asked.wait
