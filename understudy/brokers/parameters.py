"""The parameters of Dramatiq's own Redis broker, as what this one is built from."""

from __future__ import annotations

from typing import Any

import redis

from understudy.settings import Settings, load
from understudy.storage.client import READING, Storage, connect, is_fake
from understudy.storage.sockets import Pool

#: Dramatiq's default, so that a project finds its keys where they were expected; ours lie beside them, not among them.
NAMESPACE = "dramatiq"


def access(
    *,
    url: str | None,
    client: redis.Redis | None,
    namespace: str | None,
    heartbeat_timeout: float | None,
    parameters: dict[str, Any],
) -> tuple[Storage, Storage | None, Settings]:
    """Access for commands, access for blocking reads, and settings, from what Dramatiq's broker takes.

    Nothing is read from the environment: a project that passes parameters means them.

    Args:
      heartbeat_timeout: milliseconds.
    """
    if client is None:
        client = _client(url, parameters)
    reader = _reader(client)
    environment = {"UNDERSTUDY_NAMESPACE": namespace or NAMESPACE}
    if heartbeat_timeout is not None:
        environment["UNDERSTUDY_HEARTBEAT_TIMEOUT"] = f"{heartbeat_timeout}ms"
    settings = load(Settings, environ=environment)
    blocking = None if reader is None else Storage(reader, namespace=settings.namespace, reads=True)
    return Storage(client, namespace=settings.namespace), blocking, settings


def _client(url: str | None, parameters: dict[str, Any]) -> redis.Redis:
    if url is not None:
        return connect(url, **parameters)
    if "connection_pool" in parameters:
        return redis.Redis(connection_pool=parameters["connection_pool"])
    host, port = parameters.pop("host", "localhost"), parameters.pop("port", 6379)
    db = parameters.pop("db", 0)
    return connect(f"redis://{host}:{port}/{db}", **parameters)


def _reader(client: redis.Redis) -> redis.Redis | None:
    """A second client for the same server whose reads may wait; None for a fake that has no connections."""
    if is_fake(client):
        return None
    pool = client.connection_pool
    kwargs = {**pool.connection_kwargs, **READING}
    return redis.Redis(connection_pool=Pool(connection_class=pool.connection_class, **kwargs))
