"""``handle(id)``: state, progress and result of a message by its id alone, in Celery's vocabulary."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from dramatiq import Message, MessageProxy

from . import clock, exceptions
from .actors import declared
from .bar import seconds_left
from .durations import Duration, to_seconds
from .errors import ResultTimeout
from .execution import current
from .plans.place import parse_id
from .records import Record, Records
from .revocations import Revocations
from .runtime import installed
from .states import State

#: Seconds after which a waiter looks again although nobody told it: a notification may be lost in an outage.
LOOK_AGAIN = 2.0


def handle(message: Message[Any] | MessageProxy | str) -> Handle:
    """The handle of a message, or of an id; the id is enough, later, in any process.

    Reads the server that is installed; in a process that installed none, the one of the settings.
    """
    message_id = message if isinstance(message, str) else message.message_id
    if not message_id:
        raise TypeError("a message id is a text that is not empty")
    broker = installed()
    actor = None if isinstance(message, str) else broker.actors.get(message.actor_name)
    return Handle(message_id, broker.records, ignored=actor is not None and declared(actor).ignore_result)


def revoke(message: Message[Any] | MessageProxy | str, *, terminate: bool = False) -> State:
    """Let nobody run a message any more. See ``Handle.revoke``."""
    return handle(message).revoke(terminate=terminate)


class Handle:
    """What is known of one message. Each property asks the server; ``read()`` asks once for several.

    A terminal record that was read once stays on the handle although it expires on the server (S25).

    Args:
      ignored: the actor ignores its results, so that nobody waits for one (S11).
    """

    def __init__(self, message_id: str, records: Records, *, ignored: bool = False) -> None:
        self.id = message_id
        self._records = records
        self._ignored = ignored
        self._terminal: Record | None = None

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    def read(self) -> Record:
        """The record as it is now.

        Raises:
          ServerUnavailable: the server could not be asked; that is not the same as PENDING.
        """
        if self._terminal is not None:
            return self._terminal
        record = self._records.read(self.id)
        if record.state.terminal:
            self._terminal = record
        return record

    @property
    def status(self) -> State:
        """The state; PENDING for an unknown id (S01)."""
        return self.read().state

    state = status

    @property
    def result(self) -> Any:
        """The result after SUCCESS, the exception after FAILURE, RETRY or REVOKED, the progress in PROGRESS,
        ``hostname`` and ``pid`` of the worker in STARTED."""
        return _result_of(self.read())

    info = result

    @property
    def progress(self) -> dict[str, Any] | None:
        """The last progress that was reported, in whatever state the message is; None when there is none."""
        found: dict[str, Any] | None = self.read().value("info")
        return found

    @property
    def rate(self) -> float | None:
        """How much of what progress counts was done in a second lately. None while that is not known, and in any other
        state than PROGRESS."""
        return self.read().rate

    @property
    def eta(self) -> float | None:
        """In how many seconds from the last report on the body will be done at ``rate``; None while that is not
        known."""
        record = self.read()
        return seconds_left(record.value("info"), record.rate)

    @property
    def traceback(self) -> str | None:
        """The traceback of the failure, as text."""
        return self.read().text("traceback")

    @property
    def retries(self) -> int:
        """How many times the message was run again."""
        return int(self.read().text("retries") or 0)

    @property
    def date_done(self) -> datetime | None:
        """When the terminal state was reached, in UTC; None before (R01)."""
        done = self.read().seconds("done_at")
        return None if done is None else clock.utc(done)

    @property
    def next_run(self) -> datetime | None:
        """When a message in RETRY runs again, in UTC."""
        due = self.read().seconds("next_run")
        return None if due is None else clock.utc(due)

    @property
    def actor_name(self) -> str | None:
        """The actor, once a worker has taken the message."""
        return self.read().text("actor")

    @property
    def worker(self) -> str | None:
        """The worker process that began the body last, where STARTED is tracked. Whether it still has the message:
        ``understudy status``."""
        return self.read().text("worker")

    @property
    def children(self) -> list[Handle]:
        """The messages that the body sent in its last run, at most the first thousand (S16)."""
        return [Handle(id, self._records) for id in self.read().value("children") or ()]

    @property
    def parent(self) -> Handle | None:
        """The message whose body sent this one, once this one has ended or is retried."""
        id = self.read().text("parent")
        return None if id is None else Handle(id, self._records)

    def exists(self) -> bool:
        """Whether anything is recorded under the id (S01)."""
        return bool(self.read().fields)

    def ready(self) -> bool:
        """Whether the message has reached a terminal state."""
        return self.status.terminal

    def successful(self) -> bool:
        """Whether it ended in SUCCESS."""
        return self.status is State.SUCCESS

    def failed(self) -> bool:
        """Whether it ended in FAILURE. A revoked message did not fail (V01)."""
        return self.status is State.FAILURE

    def revoke(self, *, terminate: bool = False) -> State:
        """Let nobody run the message any more; returns its state afterwards.

        One that waits, in a queue or for its time, is REVOKED at once (V01, V06); an id that is sent later is discarded
        (V05). One whose body runs goes on to its end (V03), but has no further run; with ``terminate`` its body is
        ended, in a process of its own at once, in a thread as soon as Python can be interrupted, with ``each`` at the
        next item, and the message is REVOKED then (V02). One that has ended stays as it is (V04). Remembered for
        seven days.

        Raises:
          ServerUnavailable: it may or may not have been revoked; doing it again does no harm.
        """
        storage = self._records.storage
        ttl = installed().settings.result_ttl
        return Revocations(storage).revoke(self.id, terminate=terminate, result_ttl=ttl)

    def forget(self) -> None:
        """Remove what is recorded; the id reads PENDING again (S10)."""
        self._terminal = None
        self._records.forget(self.id)

    def get(
        self, timeout: Duration | None = None, *, propagate: bool = True, disable_sync_subtasks: bool = True
    ) -> Any:
        """Wait for the end and return the result, or raise the original exception (S06).

        The handle of a message whose actor says ``ignore_result`` returns None at once, whatever becomes of the message
        (S11); one that was made of the id alone waits for the end.

        Args:
          timeout: how long to wait at the most, exactly: a timedelta or seconds; None waits for ever (S17).
          propagate: False returns the exception instead of raising it.
          disable_sync_subtasks: False allows it within an actor. The worker's thread does nothing else meanwhile: when
            all of them wait for messages that nobody is left to run, they wait for ever. Give a timeout.

        Raises:
          ResultTimeout: the time is over; the message goes on all the same.
          RuntimeError: called from within an actor, which would block its worker (S15).
          ServerUnavailable: the server cannot be asked.
        """
        if self._ignored:
            return None
        if disable_sync_subtasks and current() is not None:
            raise RuntimeError(
                "get() inside an actor blocks its worker and may block it for ever; let the other message start "
                "this work when it is done, or allow it: get(disable_sync_subtasks=False)"
            )
        record = self.read()
        if not record.state.terminal:
            record = self._wait(None if timeout is None else to_seconds(timeout, field="timeout", allow_zero=True))
        outcome = _result_of(record)
        if record.state is not State.SUCCESS and propagate:
            raise outcome
        return outcome

    def _channels(self) -> list[str]:
        """Where a waiter is told: of a step that never runs only its workflow tells anything."""
        found, keys = parse_id(self.id), self._records.storage.keys
        return [keys.channel(self.id), *(() if found is None else (keys.channel(found[0]),))]

    async def aget(
        self, timeout: Duration | None = None, *, propagate: bool = True, disable_sync_subtasks: bool = True
    ) -> Any:
        """``get`` for a coroutine: the event loop goes on meanwhile. A thread of the loop's own waits."""
        return await asyncio.to_thread(
            self.get, timeout, propagate=propagate, disable_sync_subtasks=disable_sync_subtasks
        )

    def _wait(self, timeout: float | None) -> Record:
        storage = self._records.storage
        if not storage.can_wait:
            raise ResultTimeout(
                f"message {self.id} is {self.status}, and nobody works while you wait here: call drain()"
            )
        deadline = None if timeout is None else clock.monotonic() + timeout
        pubsub = storage.subscribe(*self._channels())
        try:
            while True:
                record = self.read()  # after subscribing, so that no change is missed
                if record.state.terminal:
                    return record
                left = LOOK_AGAIN if deadline is None else min(LOOK_AGAIN, deadline - clock.monotonic())
                if left <= 0:
                    raise ResultTimeout(f"message {self.id} is still {record.state} after {timeout:g} seconds")
                with storage.exchange("wait"):
                    pubsub.get_message(timeout=left)
        finally:
            pubsub.close()


def _result_of(record: Record) -> Any:
    if record.state is State.SUCCESS:
        return record.value("result")
    if record.state is State.PROGRESS:
        return record.value("info")
    data = record.fields.get("exception")
    if data and record.state in (State.FAILURE, State.RETRY, State.REVOKED):
        return exceptions.decode_exception(data)
    if record.state is State.STARTED:
        return record.place
    return None
