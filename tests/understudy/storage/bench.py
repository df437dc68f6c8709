"""A bench on which the scripts are run: a queue on a server, workers that are only names, and every call made twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from understudy.brokers.names import NORMAL, QueueKeys
from understudy.brokers.operations import Operations
from understudy.holds import GROUP, Hold
from understudy.outcome import Outcome
from understudy.states import State
from understudy.storage.client import Storage, Value

from .dumps import dump, pending

Ops = Callable[[Operations], object]
#: Milliseconds for which a holder in another queue is believed.
BELIEVED = 10_000


class Bench:
    """One queue, its keys, and the calls of the scripts.

    ``run`` makes every call twice: the second reply must be ``resent`` (by default that of the first), and nothing
    that is stored may change by it. It also sees to it that no key changes that was not passed.
    """

    def __init__(self, storage: Storage, queue: str = "q") -> None:
        self.storage, self.keys = storage, storage.keys
        self.client: Any = storage.client
        self.queue = QueueKeys(storage.keys.namespace, queue)
        self._numbers = count(1)
        for stream in self.queue.streams:
            storage.client.xgroup_create(stream, GROUP, "0", mkstream=True)

    @property
    def stream(self) -> str:
        return self.queue.streams[NORMAL - 1]

    def run(self, name: str, keys: list[str], args: list[Any], resent: Any = None) -> Any:
        before = dump(self.storage)
        reply = self.storage.run(name, keys, args)
        after = dump(self.storage)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert changed <= set(keys), f"{name} changed keys that were not passed"
        assert self.storage.run(name, keys, args) == (reply if resent is None else resent)
        assert dump(self.storage) == after, f"{name} is not safe to resend"
        return reply

    # -- messages ----------------------------------------------------------------------------------------

    def put(self, payload: str = "m", **fields: str) -> str:
        """A waiting message; returns its entry."""
        return str(self.client.xadd(self.stream, {"m": payload, **fields}).decode())

    def take(self, worker: str = "w1", payload: str = "m", stream: str = "") -> Hold:
        """A message that ``worker`` holds."""
        stream = stream or self.stream
        self.client.xadd(stream, {"m": payload, "d": "0", "w": ""})
        return self.taken(worker, stream)

    def taken(self, worker: str = "w1", stream: str = "") -> Hold:
        """The next waiting message, held by ``worker`` now."""
        stream = stream or self.stream
        reply: Any = self.client.xreadgroup(GROUP, worker, {stream: ">"}, count=1)
        entries = dict(reply)[stream.encode()]
        if len(entries) == 1 and isinstance(entries[0], list):
            entries = entries[0]
        entry = entries[0][0].decode()
        level = self.queue.streams.index(stream) + 1
        return Hold(stream, entry, f"{self.queue.queue}/{level}/{entry}")

    # -- scripts -----------------------------------------------------------------------------------------

    def enqueue(self, *write: Ops, token: str = "", lane: str = "1") -> Any:
        operations = Operations(self.keys.clock, self.keys.producer("p"))
        for one in write:
            one(operations)
        token = token or f"t{next(self._numbers)}"
        return self.run("enqueue", operations.keys, [lane, token, len(write), *operations.args], resent=0)

    def settle(self, *outcomes: tuple[Hold, list[Ops]], worker: str = "w1", number: int = 0) -> str:
        """Commit outcomes in one batch: the verdicts."""
        operations = Operations(self.keys.clock, self.keys.batch(worker))
        for hold, write in outcomes:
            operations.args += (operations.number(hold.stream), hold.entry, len(write))
            for one in write:
                one(operations)
        head: list[Value] = [number or next(self._numbers), GROUP, len(outcomes)]
        return str(self.run("settle", operations.keys, [*head, *operations.args]).decode())

    def claim(self, hold: Hold, message: str = "m", key: str = "k") -> Any:
        own = [self.keys.claim(key), self.keys.claimed_items(key), self.keys.state(message)]
        names = [self.keys.clock, *own, *self.queue.streams]
        return self.run("claim", names, [hold.token, message, GROUP, self.queue.queue, BELIEVED])

    def started(self, *holds: Hold, worker: str = "w1", mark: str = "1", tracked: bool = True) -> Any:
        names, args = [self.keys.clock, self.keys.started(worker), self.stream, self.keys.state("m")], [GROUP, worker]
        for hold in holds:
            args += [3, hold.entry, hold.token, mark, 4 if tracked else -4, self.keys.channel("m"), "a", "q"]  # type: ignore[list-item]
        return self.run("started", names, args)

    def progress(self, hold: Hold, info: bytes = b"5", rate: str = "") -> Any:
        names = [self.keys.clock, hold.stream, self.keys.state("m")]
        args = [GROUP, hold.entry, hold.token, info, self.keys.channel("m"), "a", "q", rate]
        return self.run("progress", names, args)

    def item(
        self, hold: Hold, close: dict[str, str], opens: list[str], on_doubt: str = "skip", resent: Any = None
    ) -> Any:
        pairs = [part for pair in close.items() for part in pair]
        args = [GROUP, hold.entry, hold.token, on_doubt, len(close), *pairs, *opens]
        return self.run(
            "item", [hold.stream, self.keys.items("m"), self.keys.started(hold.holder)], args, resent=resent
        )

    def promote(self, most: int = 100, resent: Any = None) -> Any:
        return self.run("promote", [self.keys.clock, *self.queue.promoted], [most], resent=resent)

    def stage(self, *letters: str, already: int = 0, resent: Any = None) -> Any:
        return self.run("stage", [self.keys.staged("o")], [already, 60_000, *letters], resent=resent)

    def pump(self, length: int, *write: Ops, resent: Any = -1) -> Any:
        operations = Operations(self.keys.clock, self.keys.published("o"), self.keys.outbox)
        for one in write:
            one(operations)
        return self.run("pump", operations.keys, ["o", length, len(write), len(write), *operations.args], resent=resent)

    def reap(self, worker: str = "w1", seen: str = "", most: int = 100, resent: Any = None) -> Any:
        names = [self.keys.leases, self.keys.started(worker), self.stream]
        return self.run("reap", names, [worker, seen, most, GROUP, 3, 100], resent=resent)

    def bury(self, worker: str = "w1", seen: str = "") -> Any:
        names = [self.keys.leases, self.keys.started(worker), self.keys.batch(worker), *self.queue.streams]
        return self.run("bury", names, [worker, seen, GROUP])

    # -- operations --------------------------------------------------------------------------------------

    def add(self, payload: bytes = b"next", level: int = NORMAL) -> Ops:
        return lambda operations: operations.add(self.queue.streams[level - 1], payload)

    def later(self, payload: bytes = b"later", *, delay: float = 60, level: int = NORMAL, message: str = "m") -> Ops:
        def write(operations: Operations) -> None:
            operations.later(self.queue, self.keys.wake, message, payload, delay=delay, level=level)

        return write

    def state(self, state: State | None, message: str = "m", *, ttl: float = 60, **fields: Any) -> Ops:
        outcome = Outcome(state=state, fields=fields)
        return lambda operations: operations.state(
            self.keys.state(message), outcome, channel=self.keys.channel(message), ttl=ttl
        )

    def marks(self, hold: Hold, marks: dict[str, str], *, scope: str = "m", ttl: float = 0) -> Ops:
        return lambda operations: operations.marks(self.keys.items(scope), marks, token=hold.token, ttl=ttl)

    def claimed(self, hold: Hold, action: Any, *, ttl: float = 60, result: bytes = b"42") -> Ops:
        outcome = Outcome(claim=action, claim_ttl=ttl, claim_result=result)
        items = self.keys.claimed_items("k")
        return lambda operations: operations.claim(self.keys.claim("k"), outcome, token=hold.token, items=items, ttl=60)

    def dead(self, hold: Hold, body: bytes = b"{}", *, ttl: float = 60, message: str = "m") -> Ops:
        return lambda operations: operations.dead(self.queue, f"{message}|{hold.token}", body, ttl=ttl)

    def publish(self, name: str = "o") -> Ops:
        keys = self.keys
        return lambda operations: operations.publish(
            keys.staged(name), keys.published(name), keys.outbox, name, keys.wake
        )

    def begun(self, hold: Hold, worker: str = "w1") -> Ops:
        return lambda operations: operations.begun(self.keys.started(worker), hold.entry)

    # -- what is there -----------------------------------------------------------------------------------

    def waiting(self, stream: str = "") -> list[bytes]:
        """The payloads of entries that nobody holds."""
        stream = stream or self.stream
        held = {entry for entry, _ in pending(self.storage, stream)}
        return [fields[b"m"] for entry, fields in self.client.xrange(stream) if entry.decode() not in held]

    def holding(self, worker: str = "w1") -> list[str]:
        """The entries of the middle stream that ``worker`` holds."""
        return [entry for entry, consumer in pending(self.storage, self.stream) if consumer == worker]

    def hash(self, key: str) -> dict[bytes, bytes]:
        return dict(self.client.hgetall(key))

    def spoil(self, key: str) -> None:
        """Somebody else wrote something under this key."""
        self.client.delete(key)
        if key in self.queue.streams:
            self.client.hset(key, "not", "ours")
        else:
            self.client.set(key, "not ours")
