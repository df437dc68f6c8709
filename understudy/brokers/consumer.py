"""The consumer: one blocking read, and the certainty that nothing this worker holds is forgotten.

A read may fail after the server handed out entries. They are pending for this worker then, and nobody here knows of
them. So after every failed read the pending entries are listed, and those that are not held here are taken up.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

from dramatiq import Consumer, Message, MessageProxy
from dramatiq.errors import DecodeError

from understudy.errors import NoGroup, ServerUnavailable
from understudy.holds import Hold

from .committer import Settlement
from .held import HeldMessage
from .names import QueueKeys
from .sharing import say_if_idle
from .transport import Transport

logger = logging.getLogger(__name__)

#: Entries looked at in one request when pending ones are taken up.
PAGE = 100
#: Seconds between two looks whether the worker has stopped.
DRAINING = 0.1
#: Seconds between two looks at a server on which a read cannot wait.
POLL = 0.005

_Entry = tuple[bytes, dict[bytes, bytes] | None]


class StreamConsumer(Consumer):
    """Messages of one queue. Never raises into the worker: an outage is waited out here.

    Args:
      prefetch: how many messages this worker may hold and not have committed.
      timeout: milliseconds that a read may wait.
    """

    def __init__(self, broker: Transport, queue: QueueKeys, *, prefetch: int, timeout: int) -> None:
        self.broker = broker
        self.queue = queue
        self.prefetch = max(1, prefetch)
        self.timeout = timeout
        self._buffer: deque[HeldMessage] = deque()
        self._take_up_from: list[str] | None = None
        self._identity = ""

    def __next__(self) -> HeldMessage | None:
        if self._buffer:
            return self._buffer.popleft()
        try:
            try:
                self._read()
            except NoGroup:
                self.broker.group_is_gone(self.queue)
        except ServerUnavailable as error:
            logger.warning("queue %s cannot be read: %s", self.queue.queue, error)
            self._take_up_from = list(self.queue.streams)
            self.broker.wait_for_server()
        return self._buffer.popleft() if self._buffer else None

    def ack(self, message: MessageProxy) -> None:
        """Commit the outcome that was collected on ``message``. Dramatiq's ``nack`` means the same."""
        assert isinstance(message, HeldMessage)
        self.broker.commit(message)

    nack = ack

    def requeue(self, messages: Any) -> None:
        """Hand back messages whose bodies have not begun; called when the worker stops."""
        for message in messages:
            self.broker.hand_back(message)

    def close(self) -> None:
        """Hand back what was fetched and not given out."""
        while self._buffer:
            self.broker.hand_back(self._buffer.popleft())

    def _read(self) -> None:
        if self.broker.draining.is_set():
            self.broker.closing.wait(DRAINING)
            return
        identity = self.broker.enroll()
        if identity != self._identity:
            # A new name on the server holds nothing yet; what the old one held is no longer ours.
            self._take_up_from = None
            self.broker.ensure_group(self.queue)
            self._identity = identity
        if self._take_up_from:
            self._take_up()
            return
        room = self.broker.room(self.queue.queue, self.prefetch, self.timeout / 1000)
        if room <= 0:
            return
        reads = self.broker.read(self.queue.streams, count=room, block=self.timeout)
        for stream, entries in reads:
            self._hold(stream, entries)
        if not reads:
            say_if_idle(self.broker, self.queue.queue)
        if not reads and self.broker.reader is None and self.broker.keeps_up:
            # An in-memory server under a worker with threads: nothing there can wait for us.
            self.broker.closing.wait(POLL)

    def _take_up(self) -> None:
        """List what is pending for this worker, stream by stream, and take up what is not held here."""
        assert self._take_up_from is not None
        while self._take_up_from:
            stream, after = self._take_up_from[0], "0"
            while True:
                reads = self.broker.read((stream,), count=PAGE, after=after)
                entries = reads[0][1] if reads else []
                if not entries:
                    break
                known = self.broker.holds
                unknown = [entry for entry in entries if (stream, entry[0].decode()) not in known]
                if unknown:
                    logger.warning("%d messages were handed out in a reply that was lost; taken up", len(unknown))
                self._hold(stream, unknown)
                after = entries[-1][0].decode()
            self._take_up_from.pop(0)

    def _hold(self, stream: str, entries: list[_Entry]) -> None:
        level = self.queue.streams.index(stream) + 1
        for raw, fields in entries:
            entry = raw.decode()
            if not fields:
                self._acknowledge(stream, entry)
                continue
            hold = Hold(
                stream=stream,
                entry=entry,
                token=f"{self.queue.queue}/{level}/{entry}",
                deaths=int(fields.get(b"d", b"0")),
                worker=fields.get(b"w", b"").decode(),
            )
            data = fields.get(b"m", b"")
            try:
                message = Message.decode(data)
            except DecodeError as error:
                self.broker.quarantine(self.queue, hold, data, error)
                continue
            held = HeldMessage(message, hold)
            self.broker.hold(held)
            self._buffer.append(held)

    def _acknowledge(self, stream: str, entry: str) -> None:
        """Let go of an entry that was flushed after it had been handed out."""
        self.broker.committer.submit(
            Settlement(stream=stream, entry=entry, size=0, write=lambda operations: 0, done=lambda verdict: None)
        )


class Room:
    """How many messages of each queue this process holds, and a place to wait until there are fewer."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._changed = threading.Condition()
        self._waiting = 0

    def add(self, queue: str) -> None:
        """One more is held."""
        with self._changed:
            self._counts[queue] = self._counts.get(queue, 0) + 1

    def remove(self, queue: str) -> None:
        """One less."""
        with self._changed:
            self._counts[queue] -= 1
            if self._waiting:
                self._changed.notify_all()

    def wait(self, queue: str, limit: int, timeout: float) -> int:
        """How many more may be fetched; waits until half of them may, so that a read is worth its round trip."""
        enough = max(1, limit // 2)
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: limit - self._counts.get(queue, 0) >= enough, timeout)
            finally:
                self._waiting -= 1
            return limit - self._counts.get(queue, 0)
