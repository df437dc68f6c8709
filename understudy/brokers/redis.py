"""The Redis broker: streams with a consumer group, and one script that commits an outcome.

::

    send --> [delayed] --promote--> stream --read--> held --settle--> (gone, and all that follows exists)
                                      ^                |
                                      '----- reap -----'   its worker died: a new entry, so the old one is a zombie

A message is *held* while its entry is pending for this worker process. The process has a lease that a helper beside it
renews (``pulse.py``); whoever sees a lease unrenewed for its whole length gives what it held back to the queue
(``reaper.py``). Everything that follows from an execution is committed with the acknowledgement (``committer.py``).
"""

from __future__ import annotations

import logging
import math
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from dramatiq import Consumer, Worker
from dramatiq.errors import QueueJoinTimeout
from dramatiq.worker import _ConsumerThread as ConsumerThread

from understudy import clock, discretion
from understudy.durations import to_millis
from understudy.errors import NoGroup, ServerUnavailable
from understudy.holds import GROUP, SUSPECT_AFTER, Hold
from understudy.outcome import Disposition
from understudy.settings import Settings
from understudy.storage.client import Storage, Value
from understudy.turns import ARRIVED

from . import delays, outcomes, staging, tally
from .committer import COMMITTED, MISFIT, REVOKED, UNCLAIMED, Committer, Settlement
from .consumer import StreamConsumer
from .gate import Gate, together
from .held import HeldMessage
from .names import QueueKeys
from .operations import Operations
from .parameters import access
from .queueing import QueueingBroker, new_name
from .room import Room
from .transport import Entries
from .upkeep import Upkeep
from .workqueue import WorkQueue

logger = logging.getLogger(__name__)

#: Seconds before the next look at a server that did not answer.
AFTER_AN_OUTAGE = 0.5
#: Seconds for which an outage is waited out when the process ends with outcomes in line.
GRACE = 5.0
#: Milliseconds for which dead letters are kept, as in Dramatiq: seven days.
DEAD_MESSAGE_TTL = 7 * 86_400_000


class RedisBroker(QueueingBroker):
    """A drop-in for ``dramatiq.brokers.redis.RedisBroker``: takes its parameters and works with the stock worker, CLI,
    middleware, results and pipelines. Does no I/O until the first send or read.

    ``understudy.install()`` builds it from the settings instead, by ``storage``, ``settings`` and ``reader``.

    Args:
      storage: access to the server.
      reader: access for blocking reads, which must not be resent; None when nothing ever blocks.
      url, client, namespace, parameters: as in Dramatiq: where the server is, and under what its keys lie.
      heartbeat_timeout: milliseconds after which a silent worker is taken for dead; 5,000 by default.
      dead_message_ttl: milliseconds for which dead letters are kept; seven days by default.
      maintenance_chance: taken for compatibility; upkeep does not depend on chance here.
    """

    def __init__(
        self,
        storage: Storage | None = None,
        settings: Settings | None = None,
        middleware: list[Any] | None = None,
        *,
        reader: Storage | None = None,
        url: str | None = None,
        client: Any = None,
        namespace: str | None = None,
        heartbeat_timeout: float | None = None,
        dead_message_ttl: float = DEAD_MESSAGE_TTL,
        maintenance_chance: int | None = None,
        **parameters: Any,
    ) -> None:
        if storage is None or settings is None:
            storage, reader, settings = access(
                url=url,
                client=client,
                namespace=namespace,
                heartbeat_timeout=heartbeat_timeout,
                parameters=parameters,
            )
        elif parameters:
            raise TypeError(f"unknown parameters: {', '.join(sorted(parameters))}")
        self.prepare(storage, settings)
        self.reader = reader
        self.dead_ttl = dead_message_ttl / 1000
        self.threads = 0
        self.closing = threading.Event()
        #: Set while the worker of this process stops: nothing more is fetched.
        self.draining = threading.Event()
        self._give_up_at = math.inf
        self.holds: dict[tuple[str, str], HeldMessage] = {}
        self._room = self._new_room()
        self._enroll_lock = threading.Lock()
        self._enrolled = ""
        self.upkeep = Upkeep(self)
        self.work = WorkQueue()
        self._detaching = threading.Lock()
        self.committer = self._new_committer()
        super().__init__(middleware=middleware)
        self.queues: set[str] = set()
        _brokers.add(self)

    # -- what Dramatiq asks for --------------------------------------------------------------------------

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        # What asks for it is a thread of the worker that boots, if it is one of Dramatiq's.
        work = self.work if isinstance(threading.current_thread(), ConsumerThread) else None
        return StreamConsumer(self, self.keys_of(queue_name), prefetch=prefetch, timeout=timeout, work=work)

    def begins(self, held: HeldMessage) -> None:
        self.upkeep.begins(held)

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        if signal == "process_message":
            self._before_the_body(args[0])
            return
        if signal == "worker_boot":
            self._worker_boots(args[0] if args else None)
        elif signal == "worker_shutdown":
            # Whoever stops a worker in an outage does not wait for its end.
            self._give_up_at = clock.monotonic() + max(GRACE, self.settings.shutdown_timeout)
            self.draining.set()
            self.work.close()
        super().emit_before(signal, *args, **kwargs)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        super().emit_after(signal, *args, **kwargs)
        if signal == "process_boot" and not self.settings.log_exceptions:
            discretion.guard()
        if signal == "worker_shutdown":
            self.committer.finish()
            self.upkeep.stop()

    def _worker_boots(self, worker: Any) -> None:
        self._give_up_at = math.inf
        self.draining.clear()
        self.grace_over.clear()
        self.threads = getattr(worker, "worker_threads", 1)
        if isinstance(worker, Worker):
            # Its threads are made after this, with the queue that they find here.
            self.work = WorkQueue()
            worker.work_queue = self.work  # type: ignore[assignment]  # it has what Dramatiq uses of one
        self.upkeep.start()

    def join(self, queue_name: str, *, interval: int = 20, timeout: int | None = None) -> None:
        """Wait until a queue has no message waiting, delayed or being worked on. For tests and scripts.

        Raises:
          QueueJoinTimeout: after ``timeout`` milliseconds.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout / 1000
        while self.size(queue_name) or len(self.committer):
            if deadline is not None and clock.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]
            self.pause(interval / 1000)

    def close(self) -> None:
        """Commit what is in line, end the helpers, close the connections. An outage is waited out for a while."""
        self._give_up_at = clock.monotonic() + GRACE
        self.draining.set()
        self.closing.set()
        if self.reader is not None:
            self.reader.close()
        for held in list(self.holds.values()):
            self.hand_back(held)  # if its body has not begun
        if not self.committer.finish():
            logger.error("%d outcomes could not be committed; their messages will run again", len(self.committer))
        self.upkeep.stop()
        self.storage.close()

    # -- what consumers ask for --------------------------------------------------------------------------

    def enroll(self) -> str:
        """The name of this worker process, with a lease on the server. Again after a fork, or a lost lease."""
        with self._enroll_lock:
            if self._enrolled != self.worker_id:
                self.storage.call("HSETNX", self.storage.keys.leases, self.worker_id, 1, insist=True)
                self._enrolled = self.worker_id
                self.upkeep.enrolled(self.worker_id)
            return self.worker_id

    @property
    def is_enrolled(self) -> bool:
        """Whether this process has asked for a lease under its present name."""
        return self._enrolled == self.worker_id

    @property
    def keeps_up(self) -> bool:
        """Whether the threads of the upkeep run in this process."""
        return self.upkeep.running

    def forked(self) -> None:
        """Called in a child after a fork: names, locks and threads are the parent's, and so is what it holds."""
        self._enroll_lock = threading.Lock()
        self.upkeep = Upkeep(self)
        super().forked()
        self.abandon()

    def abandon(self) -> None:
        """What a kill -9 leaves behind: everything is held under a name that nobody keeps alive. For tests."""
        self.forget_bodies()
        self.holds.clear()
        self.detached = 0
        self._room = self._new_room()
        self._gate = Gate()
        self.worker_id = new_name()
        self.committer = self._new_committer()

    def lease_lost(self) -> None:
        """The server knows this worker no more: what it holds is somebody else's. It goes on under a new name."""
        with self._enroll_lock:
            logger.error(
                "this worker (%s) was taken for dead, or the server lost its data: what it was working on is done by "
                "another, its own outcomes are refused; it goes on with new messages",
                self.worker_id,
            )
            self.worker_id = new_name()

    def retire(self) -> None:
        """This process works no more under its name: what is left under it is given back when the lease has run out."""
        with self._enroll_lock:
            self.worker_id = new_name()

    def ensure_group(self, queue: QueueKeys) -> bool:
        """Make the queue's streams and their group if they are not there; whether one was not."""
        # On record first: reapers find the streams by it, wherever the data of a crashed server end.
        self.storage.call("SADD", self.storage.keys.queues, queue.queue, insist=True)
        return self.ensure_streams(queue.streams)

    def ensure_streams(self, streams: Iterable[str]) -> bool:
        """Make streams and their group if they are not there; whether one was not."""
        made = False
        for stream in streams:
            try:
                self.storage.call("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM", insist=True)
                made = True
            except ServerUnavailable as error:
                if "BUSYGROUP" not in str(error):
                    raise
        return made

    def group_is_gone(self, queue: QueueKeys) -> None:
        """The server knew no such group: it has lost its data, or somebody removed it."""
        mine = [held for (stream, _), held in self.holds.items() if stream in queue.streams]
        logger.error(
            "queue %s: the server has lost it, with every message that was waiting; %d that are being worked on here "
            "cannot be committed. The queue is made again, empty",
            queue.queue,
            len(mine),
        )
        self.ensure_group(queue)

    def read(
        self, streams: tuple[str, ...], *, count: int, block: int | None = None, after: str = ">"
    ) -> list[tuple[str, Entries]]:
        """Read entries for this worker: new ones, waiting up to ``block`` ms, or pending ones after an id.

        Raises:
          NoGroup: the server knows no such group.
          ServerUnavailable: entries may have been handed out in a reply that was lost.
        """
        storage = self.reader or self.storage
        waits: tuple[Value, ...] = ("BLOCK", max(1, block)) if block and self.reader is not None else ()
        command = ("XREADGROUP", "GROUP", GROUP, self.worker_id, "COUNT", count, *waits, "STREAMS", *streams)
        try:
            reply = storage.call(*command, *[after] * len(streams), name="fetch")
        except ServerUnavailable as error:
            if "NOGROUP" in str(error):
                raise NoGroup(str(error)) from error
            raise
        pairs = reply.items() if isinstance(reply, dict) else reply or ()
        return [(name.decode(), entries) for name, entries in pairs]

    def hold(self, *messages: HeldMessage) -> None:
        """This process holds ``messages`` from now on."""
        for held in messages:
            self.holds[held.hold.stream, held.hold.entry] = held
        for queue_name, count in Counter(held.queue_name for held in messages).items():
            self._room.add(queue_name, count)

    def room(self, queue_name: str, prefetch: int, timeout: float) -> int:
        """How many more messages of a queue this process may hold; waits a while if it is full."""
        return self._room.wait(queue_name, prefetch, timeout)

    def begin_soon(self, queue_name: str) -> int:
        if not self.threads:
            return self._room.most  # driven step by step
        return max(self.threads - self._gate.inside + self.detached, self._room.soon(queue_name))

    def has_idle_threads(self) -> bool:
        """Whether a worker runs here that has more threads than bodies."""
        return self.upkeep.running and self._gate.inside - self.detached < self.threads

    def company_of(self, held: HeldMessage) -> int:
        # The only suspect here is known for certain when its process has died once more; so are the few of the threads.
        others = any(
            other is not held and not other.ended and other.hold.must_be_alone for other in list(self.holds.values())
        )
        if not (held.on_loop and others) or held.hold.deaths < SUSPECT_AFTER:
            return 1
        return together(held.hold.deaths, self.settings.async_concurrency)

    def detach(self, held: HeldMessage, leave: Callable[[], None]) -> None:
        """The body of ``held`` runs beside the threads of the worker from now on, at a place that ``leave`` frees."""
        with self._detaching:
            self.detached += 1

        def free() -> None:
            with self._detaching:
                self.detached -= 1
            leave()

        held.place = free
        self._room.remove(held.queue_name)

    def wait_for_server(self) -> None:
        """Wait a moment before the server is asked again."""
        self.pause(AFTER_AN_OUTAGE)

    # -- the end of an execution -------------------------------------------------------------------------

    def commit(self, held: HeldMessage) -> None:
        """Commit what was collected on ``held``, together with its acknowledgement."""
        if held.withdrawn:
            return  # its going back was committed
        if held.place is None and not held.over:
            held.over = True
            self._room.over(held.queue_name)
        outcomes.conclude(self, held)
        staging.stage(self, held)
        self.committer.submit(
            Settlement(
                stream=held.hold.stream,
                entry=held.hold.entry,
                size=outcomes.size_of(held),
                write=lambda operations: outcomes.write(self, held, operations),
                done=lambda verdict: self._settled(held, verdict),
                refused=lambda refused: held.refused.update(refused),
                counted=tally.of_outcome(held, self.actors, self.buckets),
            ),
            # What goes back goes at once: the process may be about to end.
            at_once=held.alone or held.outcome.disposition is Disposition.HAND_BACK,
        )

    def hand_back(self, held: HeldMessage) -> None:
        """Give a message back, if its body has not begun."""
        if self.withdraw(held):
            # A copy, because a worker thread may come upon the message itself at any time.
            copy = HeldMessage(held._message, held.hold)
            copy.turn = held.turn
            if held.turn is not None:
                copy.options[ARRIVED] = held.turn.order  # its entry will be a new one, its place in line is not
            copy.outcome.decide(Disposition.HAND_BACK, reason="not begun")
            self.commit(copy)

    def give_up(self, held: HeldMessage) -> None:
        """The body of ``held`` has run for so long that it counts as stuck: another delivery is made of it.

        The body is a zombie from then on: its outcome is refused. It counts as a death for which it is suspected.
        """
        logger.error("%s: it has run past its limit and is given to another worker; its outcome will be refused", held)
        came_on = held.execution is not None and held.execution.came_on
        hold = held.hold.after_death(self.worker_id, came_on=came_on)
        payload = held._message.encode()

        def write(operations: Operations) -> int:
            self.put(operations, held._message, payload, None, hold=hold)
            return 1

        self.committer.submit(
            Settlement(hold.stream, hold.entry, len(payload), write, lambda verdict: self._let_go(held))
        )

    def unstarted(self, queue_name: str) -> list[HeldMessage]:
        """The messages of a queue that are held here and whose bodies have not begun, the latest first."""
        held = [one for one in list(self.holds.values()) if one.queue_name == queue_name and one.began_at is None]
        return held[::-1]

    def find_delayed(self, queue_name: str, message_id: str) -> list[delays.Delayed]:
        """The copies of a message that wait for their time in a queue. See ``delays.find``."""
        return delays.find(self, queue_name, message_id)

    def cancel_delayed(self, queue_name: str, message_id: str) -> int:
        """Take them away; how many there were. See ``delays.cancel``, and ``understudy.revoke``."""
        return delays.cancel(self, queue_name, message_id)

    def quarantine(self, queue: QueueKeys, hold: Hold, data: bytes, error: Exception) -> None:
        """An entry that cannot be read becomes a dead letter with its bytes; it stops nobody."""
        logger.error(
            "an entry of queue %s cannot be read (%s, %d bytes); it is a dead letter now",
            queue.queue,
            type(error).__name__,
            len(data),
        )
        # What Dramatiq says of it is only that it failed; the encoder says at what.
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
        self.committer.submit(
            Settlement(
                stream=hold.stream,
                entry=hold.entry,
                size=len(data),
                write=lambda operations: outcomes.write_unreadable(self, operations, queue, hold, data, error),
                done=lambda verdict: None,
                counted=tally.counted(tally.UNKNOWN, queue.queue, "failure", None),
            )
        )

    def _let_go(self, held: HeldMessage) -> None:
        self.leave_the_gate(held)
        if self.holds.pop((held.hold.stream, held.hold.entry), None) is None:
            return
        if held.place is None:
            self._room.remove(held.queue_name, over=held.over)
        else:
            held.place()

    def _settled(self, held: HeldMessage, verdict: str) -> None:
        if verdict in (UNCLAIMED, REVOKED, MISFIT) and outcomes.instead(held, verdict):
            self.commit(held)
            return
        self._let_go(held)
        if verdict == COMMITTED:
            if held.ended:
                for number, (message, _, delay, _) in zip(held.numbers, held.letters, strict=True):
                    if number in held.refused:
                        staging.left_out(message, held.refused[number])
                    else:
                        self.emit_after("enqueue", message, None if delay is None else to_millis(delay))
                self.emit_after("commit", held)
            return
        if held.execution is None or not held.execution.duplicate:
            self.refused += 1
            logger.warning("%s: another worker has it now, or had; this outcome was refused and has no effect", held)

    def _new_room(self) -> Room:
        return Room(said=lambda queue: self.settings.prefetch_of(queue), threads=lambda: self.threads)

    def _new_committer(self) -> Committer:
        return Committer(
            self.storage,
            worker=self.worker_id,
            pause=self._wait_out,
            busy=self._busy,
            repair=self.ensure_streams,
            waiting=lambda: self.work.waiting(),
        )

    def _busy(self) -> bool:
        """Whether more messages wait in this process, so that an outcome may wait for others to go along."""
        return self.upkeep.running and len(self.holds) - len(self.committer) - self._gate.inside > 0

    def _wait_out(self, seconds: float) -> bool:
        self.pause(seconds)
        return clock.monotonic() < self._give_up_at


_brokers: weakref.WeakSet[RedisBroker] = weakref.WeakSet()


def _after_fork() -> None:
    # Two processes under one name would take each other's replies for their own.
    for broker in _brokers:
        broker.forked()


os.register_at_fork(after_in_child=_after_fork)
