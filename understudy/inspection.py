"""The read model: how the server, the queues and the workers are, for the command line.

It only reads, and the hot path never imports it. Every look is bounded: a number of requests per queue and worker, and
a stated share of the key space, whatever the server holds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import clock
from .bar import seconds_left
from .brokers.names import LEVELS, QueueKeys
from .embedded import EmbeddedServer
from .errors import ServerUnavailable
from .holders import Holder
from .holds import GROUP
from .records import Record, Records
from .settings import Settings
from .states import State
from .storage.client import Storage, connect

#: How much of the key space is searched for queues that no worker has consumed: steps of SCAN, and keys per step.
SCAN_STEPS, SCAN_COUNT = 100, 1_000
#: The newest dead letters of a queue among which poison is counted.
NEWEST_DEAD = 1_000
#: Seconds between two looks at leases.
LOOK_AGAIN = 0.1


@dataclass(frozen=True)
class ServerFacts:
    """What the server says of itself. Sizes in bytes, times in seconds; None where it would not say.

    ``clock_difference`` is the server's clock minus this machine's.
    """

    product: str
    version: tuple[int, ...]
    role: str
    cluster: bool
    aof: bool
    aof_healthy: bool
    fsync: str | None
    policy: str | None
    memory: int
    max_memory: int
    clock_difference: float
    round_trip: float


@dataclass(frozen=True)
class Queue:
    """How many messages of a queue wait, are held by workers, are delayed (retries, too) and are dead.

    Attributes:
      announced: a worker has named it as the queue of one of its actors.
      oldest: for how many seconds the message that waits longest has been waiting; None when none waits.
      overdue: for how many seconds the earliest delayed message has been due; 0 when none is.
      poison: how many of the newest ``NEWEST_DEAD`` dead letters are messages at which worker processes died.
      holders: how many messages each worker holds.
    """

    name: str
    waiting: int
    held: int
    delayed: int
    dead: int
    announced: bool
    oldest: float | None = None
    overdue: float = 0.0
    poison: int = 0
    holders: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Worker:
    """A worker process.

    Attributes:
      holds: how many messages it holds.
      idle: seconds since it last asked for messages or got some; None when it never did.
      beats: how often its lease has been renewed; None when it has no lease, or no more.
      alive: whether it asked for messages within the length of a lease, or its lease was renewed while we watched;
        None when we did not watch long enough to tell.
    """

    id: str
    holds: int
    idle: float | None
    beats: int | None
    alive: bool | None


def open_storage(settings: Settings, *, timeout: float) -> Storage:
    """Access for a look: one attempt per command, no longer than ``timeout`` seconds, nothing is resent."""
    url = settings.server_url
    embedded = None
    if url is None:
        embedded = EmbeddedServer(settings.data_dir / "server", start_timeout=timeout)
    client = connect(url, embedded=embedded, socket_timeout=timeout, socket_connect_timeout=timeout, retry=None)
    return Storage(client, namespace=settings.namespace)


class Inspection:
    """Reads through ``storage``. Every method raises ``ServerUnavailable`` when the server cannot be asked."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._prefix = f"{storage.keys.namespace}:q:"

    def server(self) -> ServerFacts:
        """Version, persistence, memory, clock."""
        self._storage.call("PING")  # connects, which would else count as time on the way
        started, asked = clock.monotonic(), clock.now()
        seconds, micros = self._storage.call("TIME")
        difference = int(seconds) + int(micros) / 1_000_000 - (asked + clock.now()) / 2
        round_trip = clock.monotonic() - started
        info: dict[str, Any] = self._storage.call("INFO")
        is_valkey = "valkey_version" in info
        number = str(info.get("valkey_version") or info["redis_version"])
        return ServerFacts(
            product=f"{'Valkey' if is_valkey else 'Redis'} {number}",
            # Valkey says here which Redis it is compatible with.
            version=tuple(int(part) for part in re.findall(r"\d+", str(info["redis_version"]))[:3]),
            role=str(info.get("role", "master")),
            cluster=str(info.get("cluster_enabled", "0")) == "1",
            aof=str(info.get("aof_enabled", "0")) == "1",
            aof_healthy=info.get("aof_last_write_status", "ok") == "ok",
            fsync=self._config("appendfsync"),
            policy=info.get("maxmemory_policy") or self._config("maxmemory-policy"),
            memory=int(info.get("used_memory", 0)),
            max_memory=int(info.get("maxmemory", 0)),
            clock_difference=difference,
            round_trip=round_trip,
        )

    def actors(self) -> dict[str, str]:
        """Every announced actor with its queue."""
        return dict(sorted(Records(self._storage).announced_actors().items()))

    def queues(self, announced: set[str], *, search: bool = True) -> list[Queue]:
        """The ``announced`` queues, those that were ever consumed, and, with ``search``, those found among the keys."""
        names = sorted(announced | consumed(self._storage) | (self._found() if search else set()))
        if not names:
            return []
        everything = [QueueKeys(self._storage.keys.namespace, name) for name in names]
        commands: list[tuple[Any, ...]] = []
        for keys in everything:
            for stream in keys.streams:
                commands += [("XLEN", stream), ("XPENDING", stream, GROUP), ("XINFO GROUPS", stream)]
            commands += [("ZCARD", keys.delayed), ("ZRANGE", keys.delayed, 0, 0, "WITHSCORES"), ("ZCARD", keys.dead)]
            commands += [("ZREVRANGE", keys.dead, 0, NEWEST_DEAD - 1)]
        replies = iter(self._ask(commands))
        looks = [[next(replies) for _ in range(3 * len(LEVELS) + 4)] for _ in everything]
        waits = self._oldest(everything, looks)
        now = server_now(self._storage)
        return [
            _queue(name, look, announced=name in announced, oldest=oldest, now=now)
            for name, look, oldest in zip(names, looks, waits, strict=True)
        ]

    def workers(
        self,
        queues: Iterable[Queue],
        *,
        lease: float,
        patience: float = 0.0,
        pause: Callable[[float], object] = time.sleep,
    ) -> list[Worker]:
        """The worker processes that have a lease or hold something of ``queues``.

        One that asked for messages within ``lease`` seconds lives. A busy one may not have asked for long, so its lease
        is watched for up to ``patience`` seconds: renewed, it lives; not renewed for a whole lease, it does not.
        """
        queues = list(queues)
        holds: dict[str, int] = {}
        for queue in queues:
            for worker, count in queue.holders.items():
                holds[worker] = holds.get(worker, 0) + count
        first, idle = self._beats(), self._idle(queue.name for queue in queues)
        alive: dict[str, bool | None] = dict.fromkeys(first)
        alive |= {worker: False for worker in holds if worker not in first}
        alive |= {worker: True for worker in first if idle.get(worker, lease) < lease}
        watched, patience = 0.0, min(patience, lease)
        while None in alive.values() and watched < patience:
            pause(LOOK_AGAIN)
            watched += LOOK_AGAIN
            beats = self._beats()
            alive |= {name: True for name, at in alive.items() if at is None and beats.get(name) != first[name]}
        if watched >= lease:
            alive = {name: bool(at) for name, at in alive.items()}
        return [
            Worker(name, holds=holds.get(name, 0), idle=idle.get(name), beats=first.get(name), alive=alive[name])
            for name in sorted(alive)
        ]

    def _beats(self) -> dict[str, int]:
        raw = self._storage.call("HGETALL", self._storage.keys.leases)
        return {_text(name): int(count) for name, count in dict(raw).items()}

    def _idle(self, queues: Iterable[str]) -> dict[str, float]:
        """Seconds since each consumer last talked to any stream."""
        streams = [stream for name in queues for stream in QueueKeys(self._storage.keys.namespace, name).streams]
        idle: dict[str, float] = {}
        for rows in self._ask([("XINFO CONSUMERS", stream, GROUP) for stream in streams]):
            for row in rows or ():
                name, seconds = _text(row["name"]), int(row["idle"]) / 1000
                idle[name] = min(seconds, idle.get(name, seconds))
        return idle

    def _oldest(self, queues: list[QueueKeys], looks: list[list[Any]]) -> list[float | None]:
        """For each queue, for how many seconds the message that waits longest has been waiting.

        What was never delivered waits, and stands behind what was delivered last.
        """
        commands = []
        for keys, look in zip(queues, looks, strict=True):
            for at, stream in enumerate(keys.streams):
                last = next((row["last-delivered-id"] for row in look[3 * at + 2] or () if row["name"] == _GROUP), None)
                commands.append(("XRANGE", stream, "-" if last is None else f"({_text(last)}", "+", "COUNT", 1))
        replies = iter(self._ask(commands))
        # Entries are named by the server's clock, also where a test tells another time.
        now = _time(self._storage)
        waits: list[float | None] = []
        for _ in queues:
            firsts = [entries[0][0] for _ in LEVELS if (entries := next(replies))]
            since = min((int(_text(entry).partition("-")[0]) / 1000 for entry in firsts), default=None)
            waits.append(None if since is None else max(0.0, now - since))
        return waits

    def _ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """The replies to ``commands``, None where there is no such stream or group (yet)."""
        if not commands:
            return []
        with self._storage.exchange("inspect"):
            pipeline: Any = self._storage.client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies = pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, Exception) and not ("NOGROUP" in str(reply) or "no such key" in str(reply)):
                    raise reply
        return [None if isinstance(reply, Exception) else reply for reply in replies]

    def _found(self) -> set[str]:
        """Queues by their keys. Bounded: on a server with more keys than that some may be missing."""
        found: set[str] = set()
        cursor = 0
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self._prefix) + "*"
        with self._storage.exchange("SCAN"):
            for _ in range(SCAN_STEPS):
                cursor, keys = self._storage.client.scan(cursor, match=pattern, count=SCAN_COUNT)
                found.update(_text(key).removeprefix(self._prefix).rpartition(":")[0] for key in keys)
                if cursor == 0:
                    break
        return found - {""}

    def _config(self, name: str) -> str | None:
        try:
            found: Any = self._storage.call("CONFIG GET", name)
        except ServerUnavailable:
            return None  # managed servers refuse CONFIG; one that is really away fails the next question, too
        return dict(found).get(name)


def consumed(storage: Storage) -> set[str]:
    """The queues that were ever consumed.

    Raises:
      ServerUnavailable: the server cannot be asked.
    """
    return {_text(name) for name in storage.call("SMEMBERS", storage.keys.queues)}


def server_now(storage: Storage) -> float:
    """The one time of the system, in seconds: the server's, or what a test session says.

    Raises:
      ServerUnavailable: the server cannot be asked.
    """
    told = storage.call("GET", storage.keys.clock)
    return _time(storage) if told is None else float(told) / 1000


def is_poison(member: str) -> bool:
    """Whether a dead letter, by its name in the sorted set, was buried because worker processes died at it."""
    return member.rpartition("|")[2].split("/")[-2:-1] == ["dead"]


_GROUP = GROUP.encode()


def _queue(name: str, look: list[Any], *, announced: bool, oldest: float | None, now: float) -> Queue:
    lengths, pendings = look[0:9:3], [summary or {} for summary in look[1:9:3]]
    delayed, first, dead, members = look[9:]
    held = sum(int(summary.get("pending", 0)) for summary in pendings)
    holders: dict[str, int] = {}
    for summary in pendings:
        for row in summary.get("consumers", ()):
            worker = _text(row["name"])
            holders[worker] = holders.get(worker, 0) + int(row["pending"])
    return Queue(
        name,
        waiting=max(0, sum(lengths) - held),
        held=held,
        delayed=delayed,
        dead=dead,
        announced=announced,
        oldest=oldest,
        overdue=max(0.0, now - float(first[0][1]) / 1000) if first else 0.0,
        poison=sum(is_poison(_text(member)) for member in members),
        holders=holders,
    )


def _time(storage: Storage) -> float:
    seconds, micros = storage.call("TIME")
    return int(seconds) + int(micros) / 1_000_000


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode()


def attempts(record: Record) -> int:
    """How often the body was begun."""
    if record.text("actor") is None:
        return 0
    retries = int(record.text("retries") or 0)
    # The record counts the retry that is to come from the moment it is decided.
    return retries if record.state is State.RETRY else retries + 1


def describe(message_id: str, record: Record, holder: Holder | None = None) -> dict[str, Any]:
    """A record by names and values: times as ISO 8601 in UTC, result and progress as they were stored; and who holds
    the message, where that was looked up."""

    def time(name: str) -> str | None:
        seconds = record.seconds(name)
        return None if seconds is None else clock.utc(seconds).isoformat(timespec="milliseconds")

    failure = record.value("exception")
    return {
        "id": message_id,
        "state": record.state.value,
        "known": bool(record.fields),
        "actor": record.text("actor"),
        "queue": record.text("queue"),
        "worker": record.text("worker"),
        "holder": None if holder is None else {"worker": holder.worker, "alive": holder.alive, "silent": holder.silent},
        "deaths": None if holder is None or holder.worker is None else holder.deaths,
        "attempts": attempts(record),
        "progress": record.value("info"),
        "rate": record.rate,
        "eta": seconds_left(record.value("info"), record.rate),
        "started_at": time("started_at"),
        "done_at": time("done_at"),
        "next_run": time("next_run"),
        "expires_at": time("expires_at"),
        "result": record.value("result"),
        "exception": failure
        and {"type": failure["type"].replace(":", ".").removeprefix("builtins."), "message": failure["text"]},
        "traceback": record.text("traceback") or None,
    }
