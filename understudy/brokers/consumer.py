"""The consumer: one blocking read, and the certainty that nothing this worker holds is forgotten.

A read may fail after the server handed out entries. They are pending for this worker then, and nobody here knows of
them. So after every failed read the pending entries are listed, and those that are not held here are taken up.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from dramatiq import Consumer, Message, MessageProxy
from dramatiq.errors import DecodeError

from understudy.errors import NoGroup, ServerUnavailable
from understudy.holds import Hold, counts

from .committer import Settlement
from .held import HeldMessage
from .names import QueueKeys
from .sharing import say_if_idle
from .transport import Entries, Transport
from .workqueue import Item, WorkQueue

logger = logging.getLogger(__name__)

#: Entries looked at in one request when pending ones are taken up.
PAGE = 100
#: Seconds between two looks whether the worker has stopped.
DRAINING = 0.1
#: Seconds between two looks at a server on which a read cannot wait.
POLL = 0.005


class StreamConsumer(Consumer):
    """Messages of one queue. Never raises into the worker: an outage is waited out here.

    Args:
      prefetch: how many messages this worker asks for; ``Room`` says how many it may hold.
      timeout: milliseconds that a read may wait.
      work: where the messages are put that are fetched, all at once. Without it they are given out one by one, and
        Dramatiq's thread looks at messages that it delays itself after each of them.
    """

    def __init__(
        self, broker: Transport, queue: QueueKeys, *, prefetch: int, timeout: int, work: WorkQueue | None = None
    ) -> None:
        self.broker = broker
        self.queue = queue
        self.prefetch = max(1, prefetch)
        self.timeout = timeout
        self._work = work
        self._buffer: deque[HeldMessage] = deque()
        self._take_up_from: list[str] | None = None
        self._identity = ""
        self._connections = 0
        #: Whether the last thing was to take up. A read comes before the next time, or a bad line would allow none.
        self._taken_up = False
        #: Whether somebody has said how many may be held.
        self._exact = broker.settings.prefetch_of(queue.queue) is not None
        self._turn = 0

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
            self._take_up_from = self._take_up_from or list(self.queue.streams)
            self.broker.wait_for_server()
        if self._work is not None and self._buffer:
            self._hand_over(self._work)
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

    def _hand_over(self, work: WorkQueue) -> None:
        """Put in line what can be run as it is; the rest is Dramatiq's business."""
        items, rest = [], deque[HeldMessage]()
        for held in self._buffer:
            actor = self.broker.actors.get(held.actor_name)
            if actor is None or "eta" in held.options:
                rest.append(held)
            else:
                items.append(Item(actor.priority, held))
        self._buffer = rest
        work.put_all(items)

    def _read(self) -> None:
        if self.broker.draining.is_set():
            self.broker.closing.wait(DRAINING)
            return
        identity = self.broker.enroll()
        if identity != self._identity:
            # A new name on the server holds nothing yet; what the old one held is no longer ours.
            self._take_up_from = None
            is_lost = self.broker.ensure_group(self.queue) and self._identity
            self._identity = identity
            if is_lost:
                self.broker.group_is_gone(self.queue)
        made = 0 if self.broker.reader is None else self.broker.reader.connections
        if made != self._connections and not self._take_up_from and not self._taken_up:
            # The server may be another one now, or have forgotten what it had confirmed: entries that were settled may
            # be pending again, and reapers find a queue by its name in this set.
            storage = self.broker.storage
            storage.call("SADD", storage.keys.queues, self.queue.queue)
            self._connections = made
            self._take_up_from = list(self.queue.streams)
        if self._take_up_from:
            self._take_up()
            self._taken_up = True
            return
        self._taken_up = False
        room = self.broker.room(self.queue.queue, self.prefetch, self.timeout / 1000)
        if room <= 0:
            return
        reads = self._exactly(room) if self._exact else self._up_to(room)
        for stream, entries in reads:
            self._hold(stream, entries)
        if self.broker.draining.is_set():
            self.close()  # the worker was told to stop while the read waited
            return
        if len(self._buffer) > 1 and self.broker.keeps_up:
            # What guards need to know of many messages they may ask in one round trip.
            self.broker.emit_before("work", list(self._buffer))
        if not reads:
            say_if_idle(self.broker, self.queue.queue)
        if not reads and self.broker.reader is None and self.broker.keeps_up:
            # An in-memory server under a worker with threads: nothing there can wait for us.
            self.broker.closing.wait(POLL)

    def _up_to(self, room: int) -> list[tuple[str, Entries]]:
        """One read. The server counts by stream, so it may be three times as many for a moment."""
        return self.broker.read(self.queue.streams, count=room, block=self.timeout)

    def _exactly(self, room: int) -> list[tuple[str, Entries]]:
        """Not more than ``room``, stream by stream, the urgent ones first, but for every eighth time: nobody starves.

        Only a read that waits may bring one of each stream, when they come in at the same moment.
        """
        self._turn += 1
        reads: list[tuple[str, Entries]] = []
        for stream in self.queue.streams if self._turn % 8 else self.queue.streams[::-1]:
            for name, entries in self.broker.read((stream,), count=room):
                reads.append((name, entries))
                room -= len(entries)
            if room <= 0:
                break
        return reads or self.broker.read(self.queue.streams, count=1, block=self.timeout)

    def _take_up(self) -> None:
        """List what is pending for this worker, stream by stream, and take up what is not held here."""
        assert self._take_up_from is not None
        while self._take_up_from:
            stream, after = self._take_up_from[0], "0"
            while True:
                # Before the read: what is settled while the reply is on its way is not unknown.
                known = set(self.broker.holds)
                reads = self.broker.read((stream,), count=PAGE, after=after)
                entries = reads[0][1] if reads else []
                if not entries:
                    break
                unknown = [entry for entry in entries if (stream, entry[0].decode()) not in known]
                if unknown:
                    logger.warning("%d messages were handed out in a reply that was lost; taken up", len(unknown))
                self._hold(stream, unknown)
                after = entries[-1][0].decode()
            self._take_up_from.pop(0)

    def _hold(self, stream: str, entries: Entries) -> None:
        level = self.queue.streams.index(stream) + 1
        taken: list[HeldMessage] = []
        try:
            for raw, found in entries:
                held = self._delivered(stream, level, raw.decode(), found)
                if held is not None:
                    taken.append(held)
        finally:
            self.broker.hold(*taken)
            self._buffer += taken

    def _delivered(
        self, stream: str, level: int, entry: str, found: dict[bytes, bytes] | list[bytes] | None
    ) -> HeldMessage | None:
        """The message of an entry; None if there is nothing to be run."""
        if (stream, entry) in self.broker.holds:
            return None  # the server has forgotten that it was handed out; its body runs, or will
        if not found:
            self._acknowledge(stream, entry)
            return None
        token, holder = f"{self.queue.queue}/{level}/{entry}", self.broker.worker_id
        if len(found) == 2 and type(found) is list:  # a payload and nothing else, as nearly always
            hold, data = Hold(stream, entry, token, holder=holder), found[1]
        else:
            fields = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
            (deaths, in_all), worker = counts(fields.get(b"d", b"").decode()), fields.get(b"w", b"").decode()
            hold = Hold(stream, entry, token, deaths, worker, in_all, holder)
            data = fields.get(b"m", b"")
        try:
            return HeldMessage(Message.decode(data), hold)
        except DecodeError as error:
            self.broker.quarantine(self.queue, hold, data, error)
            return None

    def _acknowledge(self, stream: str, entry: str) -> None:
        """Let go of an entry that was flushed after it had been handed out."""
        self.broker.committer.submit(
            Settlement(stream=stream, entry=entry, size=0, write=lambda operations: 0, done=lambda verdict: None)
        )
