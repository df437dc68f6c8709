"""What is recorded of messages: one hash each, read by id alone, with Celery's states (S01-S09).

Fields of a record: ``v`` schema version, ``state``, ``actor``, ``queue``, ``worker``, ``by`` (the delivery
token), ``started_at`` ``done_at`` ``expires_at`` ``next_run`` (milliseconds), ``retries``, ``info`` (progress),
``rate`` (how much of it in a second), ``result``, ``exception``, ``traceback``, ``claim`` (the idempotency key that is
kept for it while it comes back), ``instead`` (the id of what goes on in its place), ``parent`` and ``children`` (ids).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import serialization
from .durations import to_millis
from .errors import DecodeError
from .holds import GROUP, Hold
from .plans.reading import derived
from .states import State
from .storage.client import Storage

#: Seconds for which a claim is believed that is held in another queue, where this delivery cannot look.
BELIEVED = 3600.0


@dataclass(frozen=True)
class Record:
    """What the server holds of one message. ``timestamps`` are seconds since the epoch."""

    state: State = State.PENDING
    fields: dict[str, bytes] = field(default_factory=dict)
    #: Reads what a group of a workflow comes to, which no single record holds.
    values: Callable[[], Any] | None = None

    def text(self, name: str) -> str | None:
        """Field ``name`` as text, or None."""
        value = self.fields.get(name)
        return None if value is None else value.decode()

    def seconds(self, name: str) -> float | None:
        """Field ``name``, a time, in seconds since the epoch, or None."""
        value = self.fields.get(name)
        return None if value is None else float(value) / 1000

    def value(self, name: str) -> Any:
        """Field ``name`` decoded, or None."""
        data = self.fields.get(name)
        if data is None and name == "result" and self.values is not None:
            return self.values()
        return None if not data else serialization.loads(data)

    @property
    def place(self) -> dict[str, Any]:
        """Where the body was begun: ``hostname`` and ``pid``, as Celery has it (S03). They are read from the name of
        the worker process (``new_name`` in ``brokers/queueing.py``)."""
        host, _, rest = (self.text("worker") or "").partition(":")
        pid = rest.partition(":")[0]
        return {"hostname": host, "pid": int(pid) if pid.isdecimal() else None}

    @property
    def rate(self) -> float | None:
        """How much of what progress counts is done in a second, while the body tells it."""
        value = self.fields.get("rate")
        return None if value is None or self.state is not State.PROGRESS else float(value)


@dataclass(frozen=True)
class Claim:
    """The answer to a claim of an idempotency key. ``wait``: seconds that it is kept for a retry of its owner."""

    verdict: Literal["run", "takeover", "done", "finished", "busy", "lost"]
    owner: str = ""
    result: bytes = b""
    wait: float | None = None


class Records:
    """Every write on a message's behalf. Each is one script that is safe to resend.

    All methods raise ``ServerUnavailable`` when the server cannot be asked.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def claim(
        self,
        key: str,
        hold: Hold,
        *,
        message_id: str,
        streams: Sequence[str],
        but_not: str = "",
        tells: bool = False,
    ) -> Claim:
        """Ask to be the one holder of idempotency ``key``; ``streams`` are those of the message's queue. An outcome of
        message ``but_not`` does not count any more. If it ``tells`` when the body begins (``begin``), a death before
        that leaves nothing in doubt."""
        keys = self.storage.keys
        queue = hold.token.partition("/")[0]
        verdict, owner, *rest = self.storage.run(
            "claim",
            [keys.clock, keys.claim(key), keys.claimed_items(key), keys.state(message_id), *streams],
            [hold.token, message_id, GROUP, queue, to_millis(BELIEVED), but_not, "told" if tells else ""],
        )
        name = verdict.decode()
        if name == "done":
            return Claim("done", owner.decode(), result=rest[0])
        if name == "busy":
            wait = int(rest[0])
            return Claim("busy", owner.decode(), wait=None if wait < 0 else wait / 1000)
        return Claim(name, owner.decode())

    def claim_ahead(self, wanted: Sequence[tuple[str, Hold, str]]) -> str:
        """Ask for keys that nobody has used yet, each for a delivery (key, hold, message id). A letter for each: "r" it
        is claimed; "d" it is not, and the message is a duplicate that does not run now; "-" it is not."""
        keys = self.storage.keys
        names = [keys.clock]
        places: dict[str, str] = {}
        for _, hold, _ in wanted:
            if hold.stream not in places:
                names.append(hold.stream)
                places[hold.stream] = str(len(names))
        args = [str(to_millis(BELIEVED)), GROUP, str(len(places))]
        # Spelled here, and not a thousand times a second each by a call.
        claim, items, state = keys.claim(""), keys.claimed_items(""), keys.state("")
        for key, hold, message_id in wanted:
            names += (claim + key, items + key, state + message_id)
            args += (places[hold.stream], hold.token, hold.entry, message_id)
        return str(self.storage.run("claims", names, args).decode())

    def begin(self, key: str, hold: Hold) -> bool:
        """The body begins that holds ``key``; False when this delivery does not hold the key, or the message, any
        more."""
        keys = self.storage.keys
        names = [keys.clock, keys.claim(key), hold.stream]
        return bool(self.storage.run("begin", names, [hold.token, GROUP, hold.entry]))

    def progress(self, message_id: str, hold: Hold, *, info: bytes, actor: str, rate: float | None = None) -> bool:
        """Write progress, and how much of it is done in a second; False when this delivery does not hold the message
        any more."""
        keys = self.storage.keys
        queue = hold.token.partition("/")[0]
        return bool(
            self.storage.run(
                "progress",
                [keys.clock, hold.stream, keys.state(message_id)],
                [
                    *(GROUP, hold.entry, hold.token, info, keys.channel(message_id), actor, queue),
                    "" if rate is None else f"{rate:.6g}",
                ],
            )
        )

    def items(
        self, scope: str, hold: Hold, *, close: Mapping[str, str], opens: Sequence[str], on_doubt: str
    ) -> list[tuple[str, str]] | None:
        """Close items with their marks and open the next ones (see ``item.lua``): for each of ``opens`` the verdict,
        and the mark if it is closed. None when this delivery does not hold the message any more."""
        pairs = [part for pair in close.items() for part in pair]
        reply = self.storage.run(
            "item",
            [hold.stream, self.storage.keys.items(scope), self.storage.keys.started(hold.holder)],
            [GROUP, hold.entry, hold.token, on_doubt, len(close), *pairs, *opens],
        )
        held, *rest = (part.decode() for part in reply)
        return list(zip(rest[::2], rest[1::2], strict=True)) if held == "held" else None

    def marks(self, scope: str, items: Sequence[str]) -> list[str]:
        """The marks of ``items`` in turn, empty where there is none. One round trip; pass a bounded list."""
        raw: list[bytes | None] = self.storage.call("HMGET", self.storage.keys.items(scope), *items)
        return ["" if mark is None else mark.decode() for mark in raw]

    def marks_under(self, scope: str, prefix: str, *, start: str, most: int) -> dict[str, str]:
        """At most so many marks that begin with ``start``, of items that begin with ``prefix``, without it."""
        key, found, cursor = self.storage.keys.items(scope), dict[str, str](), 0
        while True:
            cursor, flat = self.storage.call("HSCAN", key, cursor, "COUNT", 1_000)
            if isinstance(flat, dict):
                flat = [part for pair in flat.items() for part in pair]
            for name, mark in zip(flat[::2], flat[1::2], strict=True):
                if mark.startswith(start.encode()) and name.startswith(prefix.encode()) and len(found) < most:
                    found[name.decode().removeprefix(prefix)] = mark.decode()
            if int(cursor) == 0 or len(found) >= most:
                return found

    def read(self, message_id: str) -> Record:
        """The record of a message; PENDING when there is none, or its time is over (S01, S09)."""
        keys = self.storage.keys
        flat = self.storage.run("read", [keys.clock, keys.state(message_id)])
        fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        state = fields.get("state", b"PENDING").decode()
        try:
            record = Record(State(state), fields)
        except ValueError:
            raise DecodeError(
                f"message {message_id} is in the state {state!r}, which this version does not know; a newer one "
                "wrote it: update this process"
            ) from None
        # A step that never ran has no record: its workflow says what has become of it.
        ending = None if record.state.terminal else derived(self.storage, message_id, fields)
        return record if ending is None else Record(ending.state, {**fields, **ending.fields}, ending.values)

    def forget(self, message_id: str) -> bool:
        """Remove what is recorded of a message (S10)."""
        return bool(self.storage.run("forget", [self.storage.keys.state(message_id)]))

    def announce(self, actors: dict[str, str]) -> None:
        """Tell senders that cannot import the actors which queue each has."""
        if actors:
            self.storage.call("HSET", self.storage.keys.actors, *(part for pair in actors.items() for part in pair))

    def announced_queue(self, actor_name: str) -> str | None:
        """The queue of an actor, as a worker announced it, or None."""
        queue: bytes | None = self.storage.call("HGET", self.storage.keys.actors, actor_name)
        return None if queue is None else queue.decode()

    def announced_actors(self) -> dict[str, str]:
        """Every announced actor with its queue."""
        raw: Any = self.storage.call("HGETALL", self.storage.keys.actors)
        return {name.decode(): queue.decode() for name, queue in dict(raw).items()}
