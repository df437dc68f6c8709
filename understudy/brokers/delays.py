"""Messages that wait for their time: finding them by id, and cancelling them.

A message that was sent with a delay, waits for a retry, or was handed back for later lies in Redis with its payload,
indexed by its id; the same id may wait more than once. What has come due is in its stream and out of reach here.

To let nobody run a message any more, wherever it is, ``understudy.revoke(id)`` is the way, and the only one for people.
What is here takes away what waits for its time in one queue, and no more: the same id may be sent anew at once.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dramatiq import Message
from dramatiq.errors import DecodeError

from understudy import clock
from understudy.actors import declared
from understudy.errors import Revoked
from understudy.exceptions import encode_exception
from understudy.holds import counts
from understudy.outcome import Outcome
from understudy.plans.place import WORKFLOW
from understudy.states import State
from understudy.turns import IN_LINE, member
from understudy.uniqueness import lock_name

from .operations import Operations
from .transport import Transport
from .workflows import UNFINISHED, ended

#: How much longer than the id a copy's name is (see ``copies`` in ``_prelude.lua``).
_SUFFIX = len("|") + 16


@dataclass(frozen=True)
class Delayed:
    """One copy of a message that waits for its time.

    Attributes:
      due: when it may run, in UTC.
      level: the number of the stream that it will join (``names.LEVELS``).
      message: the message; None when this process cannot read it.
      deaths: at how many deaths of a process its body was running.
      worker: the worker that held it when it died, if one did.
    """

    due: datetime
    level: int
    message: Message[Any] | None
    deaths: int = 0
    worker: str = ""


def find(broker: Transport, queue_name: str, message_id: str) -> list[Delayed]:
    """The copies of a message that wait for their time in a queue, the earliest first.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    storage, keys = broker.storage, broker.keys_of(queue_name)
    raw: bytes = storage.call("HGET", keys.ids, message_id) or b""
    length = len(message_id.encode()) + _SUFFIX
    members = [raw[start : start + length] for start in range(0, len(raw), length + 1)]
    if not members:
        return []
    dues = storage.call("ZMSCORE", keys.delayed, *members)
    bodies = storage.call("HMGET", keys.payloads, *members)
    # One that came due in between is not there any more.
    found = [read(float(due), body) for due, body in zip(dues, bodies, strict=True) if due is not None and body]
    return sorted(found, key=lambda one: one.due)


def cancel(broker: Transport, queue_name: str, message_id: str) -> int:
    """Take away every copy of a message that waits for its time in a queue; returns how many there were.

    If there was one, the message is REVOKED at once and whoever waits for it gets ``Revoked`` (V01, V06), unless it had
    ended before; its unique key is free, and an idempotency key that was kept for its retry. A copy that has come due
    already runs, and is not counted.

    Raises:
      ServerUnavailable: it may or may not have been cancelled; doing it again does no harm.
    """
    copies = find(broker, queue_name, message_id)
    if not copies:
        return 0
    names = broker.storage.keys
    actor_name = next((copy.message.actor_name for copy in copies if copy.message is not None), "")
    actor = broker.actors.get(actor_name)
    own = None if actor is None else declared(actor).result_ttl
    ttl = broker.settings.result_ttl if own is None else own
    outcome = Outcome(state=State.REVOKED)
    outcome.fields.update(exception=encode_exception(Revoked("revoked")), queue=queue_name, next_run="", traceback="")
    outcome.fields["claim"] = ""
    if actor_name:
        outcome.fields["actor"] = actor_name
    queue, record = broker.keys_of(queue_name), names.state(message_id)
    operations = Operations(names.clock, queue.delayed, queue.payloads, queue.ids, record)
    is_step = any(WORKFLOW in copy.message.options for copy in copies if copy.message is not None)
    operations.state(record, outcome, channel=names.channel(message_id), ttl=UNFINISHED if is_step else ttl)
    # Nothing to mark; but what is remembered of its items expires with the record.
    operations.marks(names.items(message_id), {}, token="", ttl=ttl)
    locks = {lock_name(copy.message.actor_name, copy.message.options) for copy in copies if copy.message is not None}
    locks.discard(None)
    for lock in locks:
        operations.free(names.unique(str(lock)), message_id, ended=True)
    options = next((copy.message.options for copy in copies if copy.message is not None), {})
    line = options.get(IN_LINE)
    if line is not None:
        operations.quit(names, line, member(queue_name, message_id), broker.lines())
    key = (broker.storage.call("HGET", record, "claim") or b"").decode()
    if key:
        # Kept for a retry that will not come; what was done under it is remembered as after a failure.
        outcome.claim = "release"
        operations.claim(names.claim(key), outcome, token="", items=names.claimed_items(key), ttl=ttl)
    count = (
        2 + len(locks) + (line is not None) + bool(key) + ended(broker, operations, message_id, options, State.REVOKED)
    )
    arguments = [message_id, f"cancel/{uuid.uuid4().hex}", count, *operations.args]
    return int(broker.storage.run("cancel", operations.keys, arguments))


def read(due: float, body: bytes) -> Delayed:
    """A copy as it lies on the server; ``due`` in ms."""
    head = re.match(rb"(\d),?([\d/]*),?(\d*):", body)
    assert head is not None, "a delayed message begins with the number of its stream"
    start = head.end() + int(head[3] or 0)
    try:
        message: Message[Any] | None = Message.decode(body[start:])
    except DecodeError:
        message = None
    worker = body[head.end() : start].decode()
    return Delayed(clock.utc(due / 1000), int(head[1]), message, counts(head[2].decode())[1], worker)
