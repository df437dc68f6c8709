"""Builds the operations that the scripts apply (``storage/lua/_ops.lua`` says what each means).

What is added is encoded already, so that a commit cannot fail on data.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Literal

from understudy.durations import to_millis
from understudy.outcome import Outcome
from understudy.storage.client import Value
from understudy.storage.keys import Keys
from understudy.turns import Limit, Turn
from understudy.uniqueness import Lock

from .names import QueueKeys


class Operations:
    """Operations for one run of a script. A key is passed once and meant by its number."""

    def __init__(self, *fixed: str) -> None:
        self.keys: list[str] = list(fixed)
        self.args: list[Value] = []
        self._numbers = {name: number for number, name in enumerate(fixed, start=1)}
        self._refusable = 0
        #: The queues of the last turn, and how they are named in it: they are mostly those of the next one, too.
        self._queues: Mapping[str, Sequence[str]] = {}
        self._text = ""

    def number(self, key: str) -> int:
        """The number of ``key`` in KEYS."""
        number = self._numbers.get(key)
        if number is None:
            self.keys.append(key)
            number = self._numbers[key] = len(self.keys)
        return number

    def add(self, stream: str, payload: bytes, *, deaths: str = "0", worker: str = "") -> None:
        """A message that may run now."""
        self.args += ("add", self.number(stream), payload, deaths, worker)

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
        self.args += (
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
        self.args += (
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
        self.args += ("free", self.number(lock), message_id, int(ended), self.number(flow) if flow else 0)

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
        self.args += (
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
        self.args += ("turn", *limit, keys.wake, "", member, "0", -1, "quit", self._text_of(queues))

    def _text_of(self, queues: Mapping[str, Sequence[str]]) -> str:
        if queues is not self._queues:
            pairs = ((name, self.number(delayed), self.number(ids)) for name, (*_, delayed, ids) in queues.items())
            self._queues, self._text = queues, "".join(f"{name}/{delayed}/{ids}/" for name, delayed, ids in pairs)
        return self._text

    def state(self, record: str, outcome: Outcome, *, channel: str, ttl: float) -> None:
        """The state and the fields of a record."""
        fields = outcome.fields
        self.args += (
            "state",
            self.number(record),
            to_millis(ttl),
            outcome.state.value if outcome.state is not None else "",
            channel,
            len(fields),
        )
        for pair in fields.items():
            self.args += pair

    def marks(self, items: str, marks: dict[str, str], *, token: str, ttl: float) -> None:
        """Marks of items; a ``ttl`` when the message is finished."""
        self.args += ("marks", self.number(items), to_millis(ttl), token, len(marks))
        for pair in marks.items():
            self.args += pair

    def claim(self, claim: str, outcome: Outcome, *, token: str, items: str, ttl: float) -> None:
        """What becomes of an idempotency claim, and of the ``items`` under it; ``ttl`` is the record's."""
        self.args += (
            "claim",
            self.number(claim),
            token,
            outcome.claim,
            to_millis(outcome.claim_ttl),
            self.number(items),
            to_millis(ttl),
            outcome.claim_result,
        )

    def dead(self, queue: QueueKeys, member: str, body: bytes, *, ttl: float) -> None:
        """A dead letter."""
        self.args += ("dead", self.number(queue.dead), self.number(queue.bodies), member, body, to_millis(ttl))

    def begun(self, started: str, entry: str) -> None:
        """Forget that the entry was started."""
        self.args += ("begun", self.number(started), entry)

    def publish(self, staged: str, published: str, outbox: str, name: str, wake: str) -> None:
        """What was staged under ``name`` takes effect."""
        number = self.number
        self.args += ("publish", number(staged), number(published), number(outbox), name, wake)
