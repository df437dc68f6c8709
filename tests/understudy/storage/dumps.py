"""All that a namespace of the server holds, to compare before and after."""

from __future__ import annotations

from typing import Any

from understudy.holds import GROUP
from understudy.storage.client import Storage


def dump(storage: Storage) -> dict[str, Any]:
    """Key -> (content, whether it expires), without the clock of the test."""
    found: dict[str, Any] = {}
    for key in sorted(storage.client.scan_iter(match=storage.keys.pattern())):
        name = key.decode()
        if name != storage.keys.clock:
            found[name] = (_content(storage, name), storage.client.pttl(name) >= 0)
    return found


def _content(storage: Storage, name: str) -> Any:
    client: Any = storage.client
    kind = client.type(name)
    if kind == b"hash":
        return client.hgetall(name)
    if kind == b"zset":
        return client.zrange(name, 0, -1, withscores=True)
    if kind == b"stream":
        return client.xrange(name), pending(storage, name)
    if kind == b"list":
        return client.lrange(name, 0, -1)
    if kind == b"set":
        return client.smembers(name)
    return client.get(name)


def pending(storage: Storage, stream: str) -> list[tuple[str, str]]:
    """What is held of a stream: (entry, worker)."""
    if not storage.client.exists(stream) or not storage.client.xinfo_groups(stream):
        return []
    rows: Any = storage.client.xpending_range(stream, GROUP, "-", "+", 1_000)
    return [(row["message_id"].decode(), row["consumer"].decode()) for row in rows]
