"""All that a namespace of the server holds, to compare before and after."""

from __future__ import annotations

from typing import Any

from understudy.storage.client import Storage


def dump(storage: Storage) -> dict[str, Any]:
    """Key -> (content, whether it expires), without the clock of the test."""
    found: dict[str, Any] = {}
    for key in sorted(storage.client.scan_iter(match=storage.keys.pattern())):
        name = key.decode()
        if name != storage.keys.clock:
            content = storage.client.hgetall(name) if storage.client.type(name) == b"hash" else key
            found[name] = (content, storage.client.pttl(name) >= 0)
    return found
