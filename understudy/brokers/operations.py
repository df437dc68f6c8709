"""Builds the operations that the scripts apply (``storage/lua/_ops.lua`` says what each means).

What is added is encoded already, so that a commit cannot fail on data, and is text as far as it can be: text is what
goes to the server fastest (``understudy/storage/packing.py``).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from understudy.durations import to_millis
from understudy.outcome import Outcome
from understudy.storage.client import Value
from understudy.storage.keys import Keys
from understudy.storage.packing import as_text
from understudy.turns import Limit, Turn
from understudy.uniqueness import Lock

from .names import QueueKeys

#: Durations are a few settings, and looked up for every message.
_millis = lru_cache(1_024)(lambda seconds: str(to_millis(seconds)))


class Operations:
    """Operations for one run of a script. A key is passed once and meant by its number."""

    def __init__(self, *fixed: str) -> None:
        self.keys: list[str] = list(fixed)
        self.args: list[Value] = []
        self._numbers = {name: str(number) for number, name in enumerate(fixed, start=1)}
        self._refusable = 0
        #: The queues of the last turn, and how they are named in it: they are mostly those of the next one, too.
        self._queues: Mapping[str, Sequence[str]] = {}
        self._text = ""

    def number(self, key: str) -> str:
        """The number of ``key`` in KEYS, as an argument."""
        number = self._numbers.get(key)
        if number is None:
            self.keys.append(key)
            number = self._numbers[key] = str(len(self.keys))
        return number

    def put(self, name: str, *arguments: Value) -> None:
        """An operation by its name, and its arguments."""
        self.args += (name, *map(as_text, arguments))

    def add(self, stream: str, payload: bytes, *, deaths: str = "0", worker: str = "") -> None:
        """A message that may run now."""
        self.put("add", self.number(stream), payload, deaths, worker)

    def later(
        self,
        queue: QueueKeys,
        wake: str,
        message_id: str,
        payload: bytes,
        *,
        delay: float,
        level: int,
        deaths: str = "0",
        worker: str = "",
        due: float | None = None,
    ) -> None:
        """A message that may run in ``delay`` seconds, or at ``due`` by the server's clock in ms."""
        number = self.number
        head: Value = level
        if deaths != "0" or worker:
            name = worker.encode()
            head, payload = f"{level},{deaths},{len(name)}", name + payload
        self.put(
            "later",
            number(queue.delayed),
            number(queue.payloads),
            number(queue.ids),
            wake,
            f"{message_id}|{uuid.uuid4().hex[:16]}",
            message_id,
            to_millis(delay) if due is None else f"@{due:.4f}",
            head,
            payload,
        )

    def unique(self, keys: Keys, lock: Lock, message_id: str, *, delay: float) -> int:
        """What comes next is put on its queue only if no other message stands under ``lock``; the number by which the
        reply names it if one does."""
        number = self.number
        self._refusable += 1
        self.put(
            "unique",
            number(keys.unique(lock.name)),
            number(keys.state(message_id)),
            number(keys.revoked),
            message_id,
            lock.until,
            to_millis(delay + lock.ttl),
            "" if lock.expires_at is None else to_millis(lock.expires_at),
            self._refusable,
        )
        return self._refusable

    def free(self, lock: str, message_id: str, *, ended: bool, flow: str = "") -> None:
        """A message does not stand under ``lock`` any more, if it has ended; else only if it had ended before. If the
        workflow ``flow`` goes on in its place, it stands as long as that does."""
        self.put("free", self.number(lock), message_id, int(ended), self.number(flow) if flow else 0)

    def turn(
        self,
        keys: Keys,
        turn: Turn,
        limit: Limit,
        queues: Mapping[str, Sequence[str]],
        *,
        action: Literal["leave", "join", "wait", "quit"],
    ) -> None:
        """A place is free, or the message waits for one; it waits for its turn under a rate, or does not begin after
        all. Who waits is woken in ``queues``. After ``join`` and ``wait`` its ``later`` comes next."""
        number = self.number
        self.put(
            "turn",
            *(number(key) for key in keys.limit(limit.name)),
            keys.wake,
            turn.token,
            turn.member,
            repr(turn.order),
            limit.most if limit.kind == "places" else turn.number,
            action,
            self._text_of(queues),
        )

    def quit(self, keys: Keys, name: str, member: str, queues: Mapping[str, Sequence[str]]) -> None:
        """A message that nobody holds does not stand in the line of the limit ``name`` any more."""
        number = self.number
        limit = (number(key) for key in keys.limit(name))
        self.put("turn", *limit, keys.wake, "", member, "0", -1, "quit", self._text_of(queues))

    def _text_of(self, queues: Mapping[str, Sequence[str]]) -> str:
        if queues is not self._queues:
            pairs = ((name, self.number(delayed), self.number(ids)) for name, (*_, delayed, ids) in queues.items())
            self._queues, self._text = queues, "".join(f"{name}/{delayed}/{ids}/" for name, delayed, ids in pairs)
        return self._text

    def state(self, record: str, outcome: Outcome, *, channel: str, ttl: float) -> None:
        """The state and the fields of a record."""
        args, fields = self.args, outcome.fields
        args += (
            "state",
            self.number(record),
            _millis(ttl),
            outcome.state.value if outcome.state is not None else "",
            channel,
            str(len(fields)),
        )
        for name, value in fields.items():
            args += (name, value if type(value) is str else as_text(value))

    def marks(self, items: str, marks: dict[str, str], *, token: str, ttl: float) -> None:
        """Marks of items; a ``ttl`` when the message is finished."""
        self.args += ("marks", self.number(items), _millis(ttl), token, str(len(marks)))
        for pair in marks.items():
            self.args += pair

    def claim(self, claim: str, outcome: Outcome, *, token: str, items: str, ttl: float) -> None:
        """What becomes of an idempotency claim, and of the ``items`` under it; ``ttl`` is the record's."""
        self.args += (
            "claim",
            self.number(claim),
            token,
            outcome.claim,
            _millis(outcome.claim_ttl),
            self.number(items),
            _millis(ttl),
            as_text(outcome.claim_result),
        )

    def dead(self, queue: QueueKeys, member: str, body: bytes, *, ttl: float) -> None:
        """A dead letter."""
        self.put("dead", self.number(queue.dead), self.number(queue.bodies), member, body, _millis(ttl))

    def begun(self, started: str, entry: str) -> None:
        """Forget that the entry was started."""
        self.args += ("begun", self.number(started), entry)

    def publish(self, staged: str, published: str, outbox: str, name: str, wake: str) -> None:
        """What was staged under ``name`` takes effect."""
        number = self.number
        self.args += ("publish", number(staged), number(published), number(outbox), name, wake)
