"""Notes a tick on the server, by its clock."""

from __future__ import annotations

import os
from typing import Any

import redis

_server: Any = redis.Redis.from_url(os.environ["REDIS_URL"])


def note(*_: object, **__: object) -> None:
    """Something was sent."""
    seconds, micros = _server.time()
    _server.rpush("ticks", f"{int(seconds)}.{int(micros):06d} {os.getpid()}")
