"""Dead letters: messages that nobody will run again unless a person says so.

::

    held --failed for good, poison, cannot be read--> dead letter --requeue--> waiting, as if never run
                                                          '-------purge, or its time is over--> gone

A dead letter is the message as it travelled, whole, with why it is here. What the message's record says (exception,
traceback) goes its own time, which is usually shorter. Reads and changes page by page: nothing here is unbounded.
"""

from __future__ import annotations

import base64
import heapq
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from . import clock
from .brokers.names import LEVELS, NORMAL, QueueKeys
from .brokers.operations import Operations
from .brokers.pipelines import later
from .canvas.resuming import retry_node
from .durations import to_millis
from .errors import AlreadyEnqueued, DecodeError
from .inspection import consumed, describe, is_poison, server_now
from .plans.place import parse_id
from .plans.reading import Flow
from .records import Record, Records
from .states import State
from .storage.client import Storage
from .uniqueness import Lock, lock_name

#: Dead letters read in one request. Their messages come along, and may be large.
PAGE = 50
#: Dead letters removed in one request.
BATCH = 500
#: Seconds for which the items that a requeued message has done are remembered at least, so that it goes on where it
#: stopped although it has to wait for its turn.
REMEMBER = 7 * 86400.0
#: What a person's retry starts without: Dramatiq's and Understudy's counts of what happened before.
STALE_OPTIONS = ("retries", "traceback", "requeue_timestamp", "unknown_since")

Verdict = Literal["requeued", "gone", "succeeded"]


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter.

    Attributes:
      queue: where it was, and will be again.
      member: names it in its queue; a message that was sent twice may be there twice.
      message_id: "" when it cannot be read.
      actor: "" when it cannot be read.
      exception: the class of what killed it, by its short name; "" when nothing says it.
      reason: why it is here, in words.
      died_at: when, in seconds since the epoch.
      deaths: at how many deaths of a worker process its body was running.
      worker: who held it last; "" when nothing says it.
      payload: the message, as it travelled.
      stream: the number of the stream that it came from.
      stands: until when it stood under its unique key, and for how many seconds at the most; None when nothing says it.
    """

    queue: str
    member: str
    message_id: str
    actor: str
    exception: str
    reason: str
    died_at: float
    deaths: int
    worker: str
    payload: bytes
    stream: int = NORMAL
    stands: tuple[str, float] | None = None

    @property
    def poison(self) -> bool:
        """Whether it is here because worker processes died at it."""
        return is_poison(self.member)


@dataclass(frozen=True)
class Which:
    """Which dead letters are meant: those that match all that is given.

    Attributes:
      exception: a class, by its name with or without its module.
      reason: a part of the reason, in any case.
      older_than: seconds since they died, at the least.
    """

    queue: str | None = None
    actor: str | None = None
    exception: str | None = None
    reason: str | None = None
    older_than: float | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Which()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether ``letter`` is meant; its queue and age have been seen to."""
        return (
            (self.actor is None or letter.actor == self.actor)
            and (self.exception is None or letter.exception == re.split(r"[.:]", self.exception)[-1])
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
        )


class DeadLetters:
    """The dead letters on the server that ``storage`` talks to.

    Every method raises ``ServerUnavailable`` when the server cannot be asked.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._records = Records(storage)

    def queues(self) -> list[str]:
        """The queues that may hold dead letters: those that were ever consumed."""
        return sorted(consumed(self._storage))

    def walk(self, which: Which | None = None, *, oldest_first: bool = False) -> Iterator[DeadLetter]:
        """The dead letters that match, the newest first; those that come while we walk are left out."""
        which = which or Which()
        until = server_now(self._storage) - (which.older_than or 0.0)
        names = self.queues() if which.queue is None else [which.queue]
        walks = [self._walk_queue(name, until, oldest_first=oldest_first) for name in names]
        everything = heapq.merge(*walks, key=lambda letter: letter.died_at, reverse=not oldest_first)
        return (letter for letter in everything if which.matches(letter))

    def find(self, message_id: str, queue: str | None = None) -> list[DeadLetter]:
        """The dead letters of one message; more than one when the id was sent more than once.

        ``"?"`` finds those that cannot be read.
        """
        found = list(self._named(message_id, queue))
        if not found and message_id != "?":
            # What a worker could not read is named "?"; its id may be legible all the same.
            found = [letter for letter in self._named("?", queue) if letter.message_id == message_id]
        return sorted(found, key=lambda letter: -letter.died_at)

    def show(self, letter: DeadLetter) -> dict[str, Any]:
        """Everything that is known of ``letter``: itself, the message whole, and the message's record.

        The message is given by its fields as they travelled; one that cannot be read, by its bytes in base64.
        """
        record = self._records.read(letter.message_id) if letter.message_id else Record()
        try:
            message: Any = msgspec.json.decode(letter.payload)
        except ValueError:
            message = base64.b64encode(letter.payload).decode()
        return {**summary(letter), "message": message, "record": describe(letter.message_id, record)}

    def requeue(self, letter: DeadLetter, *, force: bool = False) -> Verdict:
        """Put the message on its queue again as if it had never run; what is remembered of its items stays done. It
        stands under its unique key again; with ``force`` it is requeued whoever else stands there, and without that.

        ``"gone"``: it is no dead letter any more, somebody was faster. ``"succeeded"``: the same message has succeeded
        since; it was left alone.

        A step of a workflow is taken up by that: what depends on it runs too, when it has succeeded.

        Raises:
          AlreadyEnqueued: another message stands under its unique key, which it names; the dead letter was left alone.
          NotResumable: the workflow has gone on without the step, or was revoked.
        """
        step = self._step(letter)
        if step is not None:
            flow, node = step
            if not retry_node(flow, node):
                return "succeeded" if flow.ending(node).state is State.SUCCESS else "gone"
            return "requeued" if self._remove(letter.queue, [letter.member]) else "gone"
        keys, storage_keys, payload = self._keys(letter.queue), self._storage.keys, fresh(letter.payload)
        after = [storage_keys.state(id) for id in later(_options(letter.payload))]
        operations = Operations(
            *(storage_keys.clock, keys.dead, keys.bodies, keys.streams[letter.stream - 1]),
            *(storage_keys.state(letter.message_id), storage_keys.items(letter.message_id), *after),
        )
        lock = None if force else _lock(letter, _options(payload))
        if lock is not None:
            operations.unique(storage_keys, lock, letter.message_id, delay=0.0)
        reply = self._storage.run(
            "requeue",
            operations.keys,
            [
                *(letter.member, payload, storage_keys.channel(letter.message_id), to_millis(REMEMBER)),
                *(letter.message_id, len(after), int(lock is not None), *operations.args),
            ],
        )
        if isinstance(reply, bytes):
            raise AlreadyEnqueued(letter.actor, reply.decode())
        verdicts: dict[int, Verdict] = {1: "requeued", 0: "gone", -1: "succeeded"}
        return verdicts[int(reply)]

    def _step(self, letter: DeadLetter) -> tuple[Flow, int] | None:
        """The workflow and the node of a dead letter that belongs to one which is known."""
        found = parse_id(letter.message_id)
        if found is None or b'"workflow"' not in letter.payload:
            return None
        flow = Flow(self._storage, found[0])
        return (flow, found[1]) if flow.exists() else None

    def purge(self, letters: Iterable[DeadLetter]) -> int:
        """Remove ``letters`` for good; returns how many there still were."""
        removed = 0
        batches: dict[str, list[str]] = {}
        for letter in letters:
            batch = batches.setdefault(letter.queue, [])
            batch.append(letter.member)
            if len(batch) >= BATCH:
                removed += self._remove(letter.queue, batches.pop(letter.queue))
        return removed + sum(self._remove(queue, batch) for queue, batch in batches.items())

    def _named(self, name: str, queue: str | None) -> Iterator[DeadLetter]:
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", name) + "|*"
        for one in self.queues() if queue is None else [queue]:
            keys, cursor = self._keys(one), 0
            members: dict[str, float] = {}
            while True:
                cursor, rows = self._storage.call("ZSCAN", keys.dead, cursor, "MATCH", pattern, "COUNT", 1_000)
                members |= {member.decode(): float(score) for member, score in rows}
                if int(cursor) == 0:
                    break
            yield from self._read(keys, list(members.items()))

    def _remove(self, queue: str, members: list[str]) -> int:
        keys = self._keys(queue)
        return int(self._storage.run("purge", [keys.dead, keys.bodies], members))

    def _keys(self, queue: str) -> QueueKeys:
        return QueueKeys(self._storage.keys.namespace, queue)

    def _walk_queue(self, queue: str, until: float, *, oldest_first: bool) -> Iterator[DeadLetter]:
        keys = self._keys(queue)
        end = str(to_millis(until)) if until > 0 else "0"
        at, seen = ("-inf" if oldest_first else end), set[str]()
        while True:
            # A page begins at the time at which the last one ended, less what was seen of that time: positions would
            # shift while others remove and add.
            span = (at, end) if oldest_first else (at, "-inf")
            command = "ZRANGEBYSCORE" if oldest_first else "ZREVRANGEBYSCORE"
            rows = self._storage.call(command, keys.dead, *span, "WITHSCORES", "LIMIT", 0, PAGE + len(seen))
            page = [(row[0].decode(), float(row[1])) for row in rows]
            new = [(member, score) for member, score in page if member not in seen]
            if not new:
                return
            yield from self._read(keys, new)
            last = new[-1][1]
            same = {member for member, score in page if score == last}
            seen = seen | same if at == f"{last:.0f}" else same
            at = f"{last:.0f}"

    def _read(self, keys: QueueKeys, members: list[tuple[str, float]]) -> list[DeadLetter]:
        letters = []
        for start in range(0, len(members), PAGE):
            page = members[start : start + PAGE]
            bodies = self._storage.call("HMGET", keys.bodies, *(member for member, _ in page))
            letters += [
                _letter(keys.queue, member, score / 1000, body)
                for (member, score), body in zip(page, bodies, strict=True)
                if body is not None  # gone meanwhile
            ]
        return self._with_records(letters)

    def _with_records(self, letters: list[DeadLetter]) -> list[DeadLetter]:
        """Ask the messages' records for what the letters themselves do not say."""
        asking = [letter for letter in letters if letter.message_id and not (letter.exception and letter.worker)]
        if not asking:
            return letters
        with self._storage.exchange("inspect"):
            pipeline: Any = self._storage.client.pipeline(transaction=False)
            for letter in asking:
                pipeline.hmget(self._storage.keys.state(letter.message_id), "state", "exception", "worker")
            replies = pipeline.execute()
        told = {letter.member: reply for letter, reply in zip(asking, replies, strict=True)}
        return [_completed(letter, *told.get(letter.member, (None, None, None))) for letter in letters]


def summary(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter by names and values, without the message."""
    return {
        "id": letter.message_id or None,
        "queue": letter.queue,
        "actor": letter.actor or None,
        "exception": letter.exception or None,
        "reason": letter.reason,
        "poison": letter.poison,
        "deaths": letter.deaths,
        "worker": letter.worker or None,
        "died_at": clock.utc(letter.died_at).isoformat(timespec="milliseconds"),
        "size": len(letter.payload),
    }


def fresh(payload: bytes) -> bytes:
    """The message without what counted its earlier runs, with as much time until it expires as it had when it was made;
    all else stays byte for byte."""
    try:
        fields = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        options = msgspec.json.decode(fields["options"], type=dict[str, msgspec.Raw])
    except (ValueError, KeyError):
        return payload  # whoever can read it may run it
    kept = {name: value for name, value in options.items() if name not in STALE_OPTIONS}
    with suppress(ValueError, KeyError):  # it does not expire, or says so as nobody can read it
        ends = msgspec.json.decode(kept["expires_at"], type=float)
        made = msgspec.json.decode(fields["message_timestamp"], type=float) / 1000
        kept["expires_at"] = msgspec.Raw(msgspec.json.encode(clock.now() + max(ends - made, 0.0)))
    return msgspec.json.encode({**fields, "options": kept})


class _Body(msgspec.Struct):
    """What the broker keeps of a dead letter (``brokers/outcomes.py``)."""

    message: bytes
    reason: str
    stream: str = ""
    deaths: int = 0
    worker: str = ""
    exception: str = ""
    stands: tuple[str, float] | None = None


def _lock(letter: DeadLetter, options: dict[str, Any]) -> Lock | None:
    """The lock under which a message stands that is requeued, if it has a unique key."""
    name = lock_name(letter.actor, options)
    until, ttl = letter.stands or ("done", REMEMBER)
    return None if name is None else Lock(name, until, ttl, options.get("expires_at"))


def _letter(queue: str, member: str, died_at: float, data: bytes) -> DeadLetter:
    try:
        body = msgspec.json.decode(data, type=_Body)
    except ValueError as error:
        raise DecodeError(
            f"dead letter {member} of queue {queue} is not what this version writes ({error}); a newer one wrote it: "
            "update this process"
        ) from error
    fields = _fields(body.message)
    level = body.stream.rpartition(":")[2]
    return DeadLetter(
        queue=queue,
        member=member,
        message_id=_string(fields, "message_id"),
        actor=_string(fields, "actor_name"),
        exception=body.exception.rpartition(".")[2] or _exception(member, body.reason),
        reason=body.reason,
        died_at=died_at,
        deaths=body.deaths,
        worker=body.worker or (match[1] if (match := _LAST_WORKER.search(body.reason)) else ""),
        payload=body.message,
        stream=int(level) if level in map(str, LEVELS) else NORMAL,
        stands=body.stands,
    )


_LAST_WORKER = re.compile(r"the last one was (\S+)$")


def _exception(member: str, reason: str) -> str:
    """What killed it, if the letter itself says so."""
    if is_poison(member):
        return "PoisonMessage"
    if reason.startswith("cannot be read"):
        return "DecodeError"
    return reason if reason.isidentifier() else ""


def _completed(letter: DeadLetter, state: bytes | None, exception: bytes | None, worker: bytes | None) -> DeadLetter:
    if state != b"FAILURE":  # the record is of another run
        return letter
    kind = _string(_fields(exception or b""), "type")
    return replace(
        letter,
        worker=letter.worker or (worker or b"").decode(),
        exception=letter.exception or re.split(r"[.:]", kind)[-1],
    )


def _fields(payload: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(payload)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _options(payload: bytes) -> dict[str, Any]:
    found = _fields(payload).get("options")
    return found if isinstance(found, dict) else {}


def _string(fields: dict[str, Any], name: str) -> str:
    found = fields.get(name)
    return found if isinstance(found, str) else ""
