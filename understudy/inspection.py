"""The read model: how the server, the queues and the workers are, for the command line.

It only reads, and the hot path never imports it. What it knows of the transport's keys it knows from Dramatiq's
Redis broker (``dispatch.lua``): ``<namespace>:queue:`` and then

    <queue>          list: what waits         <queue>.msgs     hash: what waits, and what workers have in hand
    <queue>.DQ.msgs  hash: what is delayed    <queue>.XQ       sorted set: dead letters
    __heartbeats__   sorted set: the worker processes, and when each fetched last (ms)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from . import clock
from .embedded import EmbeddedServer
from .errors import ServerUnavailable
from .records import Record, Records
from .settings import Settings
from .states import State
from .storage.client import Storage, connect

#: How much of the key space is searched for queues that no worker has announced: steps of SCAN, and keys per step.
SCAN_STEPS, SCAN_COUNT = 100, 1_000


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
    """How many messages of a queue wait, are in workers' hands, are delayed (retries, too) and are dead.

    ``announced``: a worker has named it as the queue of one of its actors.
    """

    name: str
    waiting: int
    in_hand: int
    delayed: int
    dead: int
    announced: bool


@dataclass(frozen=True)
class Worker:
    """A worker process that asked for messages ``seen`` seconds ago."""

    id: str
    seen: float


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
        self._prefix = f"{storage.keys.namespace}:queue:"

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

    def queues(self, announced: set[str]) -> list[Queue]:
        """The ``announced`` queues, and those found that hold messages."""
        names = sorted(announced | self._found())
        if not names:
            return []
        with self._storage.exchange("queues"):
            pipeline = self._storage.client.pipeline(transaction=False)
            for name in names:
                key = self._prefix + name
                pipeline.llen(key)
                pipeline.hlen(f"{key}.msgs")
                pipeline.hlen(f"{key}.DQ.msgs")
                pipeline.zcard(f"{key}.XQ")
            sizes = [int(size) for size in pipeline.execute()]
        return [
            Queue(
                name,
                waiting=sizes[at],
                in_hand=max(0, sizes[at + 1] - sizes[at]),
                delayed=sizes[at + 2],
                dead=sizes[at + 3],
                announced=name in announced,
            )
            for at, name in zip(range(0, len(sizes), 4), names, strict=True)
        ]

    def workers(self, within: float) -> list[Worker]:
        """The worker processes that were heard of within the last ``within`` seconds, the latest first."""
        now = self._now()
        key = f"{self._prefix}__heartbeats__"
        rows = self._storage.call("ZREVRANGEBYSCORE", key, "+inf", int((now - within) * 1000), "WITHSCORES")
        # A flat list in RESP2, pairs in RESP3.
        pairs = rows if not rows or isinstance(rows[0], list | tuple) else zip(rows[::2], rows[1::2], strict=True)
        return [Worker(name.decode(), max(0.0, now - float(score) / 1000)) for name, score in pairs]

    def _now(self) -> float:
        """The one time of the system: the server's, or what a test session says."""
        told = self._storage.call("GET", self._storage.keys.clock)
        if told is not None:
            return float(told) / 1000
        seconds, micros = self._storage.call("TIME")
        return int(seconds) + int(micros) / 1_000_000

    def _found(self) -> set[str]:
        """Queues by their keys. Bounded: on a server with more keys than that some may be missing."""
        found: set[str] = set()
        cursor = 0
        with self._storage.exchange("SCAN"):
            for _ in range(SCAN_STEPS):
                cursor, keys = self._storage.client.scan(cursor, match=f"{self._prefix}*", count=SCAN_COUNT)
                found.update(_text(key).removeprefix(self._prefix) for key in keys)
                if cursor == 0:
                    break
        names = (name for name in found if not name.startswith("__"))
        return {re.sub(r"(\.DQ|\.XQ)?(\.msgs)?$", "", name) for name in names}

    def _config(self, name: str) -> str | None:
        try:
            found: Any = self._storage.call("CONFIG GET", name)
        except ServerUnavailable:
            return None  # managed servers refuse CONFIG; one that is really away fails the next question, too
        return dict(found).get(name)


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode()


def attempts(record: Record) -> int:
    """How often the body was begun."""
    if record.text("actor") is None:
        return 0
    retries = int(record.text("retries") or 0)
    # The record counts the retry that is to come from the moment it is decided.
    return retries if record.state is State.RETRY else retries + 1


def describe(message_id: str, record: Record) -> dict[str, Any]:
    """A record by names and values: times as ISO 8601 in UTC, result and progress as they were stored."""

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
        "attempts": attempts(record),
        "progress": record.value("info"),
        "started_at": time("started_at"),
        "done_at": time("done_at"),
        "next_run": time("next_run"),
        "expires_at": time("expires_at"),
        "result": record.value("result"),
        "exception": failure
        and {"type": failure["type"].replace(":", ".").removeprefix("builtins."), "message": failure["text"]},
        "traceback": record.text("traceback") or None,
    }
