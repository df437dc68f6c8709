"""What the parts of the Redis broker ask of it. They know this and not the broker, so that none goes in circles."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import dramatiq
from dramatiq import Message

from understudy.holds import Hold
from understudy.settings import Settings
from understudy.storage.client import Storage

from .committer import Committer
from .held import HeldMessage
from .names import QueueKeys
from .operations import Operations
from .workqueue import WorkQueue

#: Entries as they are read: the id, and the fields (or names and values in turn) unless the entry was removed.
Entries = list[tuple[bytes, dict[bytes, bytes] | list[bytes] | None]]


class Transport(Protocol):
    """The broker as its parts see it. ``RedisBroker`` says what each means."""

    storage: Storage
    reader: Storage | None
    settings: Settings
    actors: dict[str, dramatiq.Actor[..., Any]]
    queues: set[str]
    holds: dict[tuple[str, str], HeldMessage]
    worker_id: str
    committer: Committer
    work: WorkQueue
    dead_ttl: float
    pause: Callable[[float], object]
    closing: threading.Event
    draining: threading.Event

    @property
    def is_enrolled(self) -> bool: ...
    @property
    def keeps_up(self) -> bool: ...
    def keys_of(self, queue_name: str) -> QueueKeys: ...
    def level_of(self, message: Message[Any]) -> int: ...
    def stand(self, operations: Operations, message: Message[Any], delay: float | None) -> int: ...
    def put(
        self,
        operations: Operations,
        message: Message[Any],
        payload: bytes,
        delay: float | None,
        *,
        hold: Hold | None = None,
    ) -> None: ...
    def enroll(self) -> str: ...
    def lease_lost(self) -> None: ...
    def retire(self) -> None: ...
    def ensure_group(self, queue: QueueKeys) -> None: ...
    def group_is_gone(self, queue: QueueKeys) -> None: ...
    def read(
        self, streams: tuple[str, ...], *, count: int, block: int | None = None, after: str = ">"
    ) -> list[tuple[str, Entries]]: ...
    def hold(self, held: HeldMessage) -> None: ...
    def room(self, queue_name: str, prefetch: int, timeout: float) -> int: ...
    def has_idle_threads(self) -> bool: ...
    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None: ...
    def wait_for_server(self) -> None: ...
    def commit(self, held: HeldMessage) -> None: ...
    def hand_back(self, held: HeldMessage) -> None: ...
    def give_up(self, held: HeldMessage) -> None: ...
    def unstarted(self, queue_name: str) -> list[HeldMessage]: ...
    def quarantine(self, queue: QueueKeys, hold: Hold, data: bytes, error: Exception) -> None: ...
