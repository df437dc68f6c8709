"""Large outcomes: staged in pages, published by the settlement, moved to the queues in pages.

::

    stage --page by page--> staged --settle (publish)--> published --pump, page by page--> the queues
              |                |
              '----------------'--- never published: no effect, swept after ``SWEPT`` seconds

One script must not hold up the server for long, and an outcome must be committed by one script. So what a fan-out of
100,000 messages sends is put aside first. Publishing it is one rename inside the settlement; from then on any worker
moves it on, and each page is moved by exactly one of them.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from dramatiq import Message

from understudy import clock
from understudy.errors import ServerUnavailable
from understudy.uniqueness import Lock, lock_of, refusals

from .held import HeldMessage
from .operations import Operations
from .transport import Transport

logger = logging.getLogger(__name__)

#: An outcome with more letters than this is staged; a page of one is as large.
PAGE = 500
#: Seconds after which what was staged and never published is swept.
SWEPT = 86_400.0
#: Seconds between two attempts to stage while the server is away.
PAUSE = 0.5


class Letter(msgspec.Struct, array_like=True):
    """One message of a staged outcome. ``due`` is in seconds since the epoch, None for at once."""

    queue: str
    actor: str
    message_id: str
    level: int
    due: float | None
    payload: bytes
    lock: Lock | None = None


_DECODE = msgspec.msgpack.Decoder(Letter)
_ENCODE = msgspec.msgpack.Encoder()


def stage(broker: Transport, held: HeldMessage) -> None:
    """Put aside what ``held`` sends, if that is much. Waits out an outage; what it puts aside has no effect yet."""
    own = [letter for letter in held.letters if letter[0].message_id == held.message_id]
    letters = [letter for letter in held.letters if letter[0].message_id != held.message_id]
    if len(letters) <= PAGE or held.staged:
        return
    now, name = clock.now(), held.hold.token
    key = broker.storage.keys.staged(name)
    encoded = [
        _ENCODE.encode(
            Letter(
                message.queue_name,
                message.actor_name,
                message.message_id,
                broker.level_of(message),
                None if delay is None else now + delay,
                payload,
                lock_of(message, broker.actors),
            )
        )
        for message, payload, delay, _ in letters
    ]
    for start in range(0, len(encoded), PAGE):
        page = encoded[start : start + PAGE]
        while True:
            try:
                broker.storage.run("stage", [key], [start, int(SWEPT * 1000), *page])
                break
            except ServerUnavailable as error:
                logger.warning("%s: a part of its outcome waits for the server: %s", held, error)
                broker.pause(PAUSE)
    held.letters, held.staged = own, name


def publish(broker: Transport, held: HeldMessage, operations: Operations) -> None:
    """Add the operation that publishes what was staged for ``held``."""
    keys = broker.storage.keys
    name = held.staged
    operations.publish(keys.staged(name), keys.published(name), keys.outbox, name, keys.wake)


def pump(broker: Transport) -> int:
    """Move published outcomes to their queues, all that there are; returns how many messages.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    storage, moved = broker.storage, 0
    for raw in storage.call("SMEMBERS", storage.keys.outbox):
        name = raw.decode()
        key = storage.keys.published(name)
        while True:
            length = int(storage.call("LLEN", key))
            page = [_DECODE.decode(data) for data in storage.call("LRANGE", key, 0, PAGE - 1)]
            operations = Operations(storage.keys.clock, key, storage.keys.outbox)
            now, refusable = clock.now(), dict[int, Letter]()
            for letter in page:
                queue = broker.keys_of(letter.queue)
                left = None if letter.due is None else letter.due - now
                if letter.lock is not None:
                    number = operations.unique(
                        storage.keys, letter.lock, letter.message_id, delay=max(0.0, left or 0.0)
                    )
                    refusable[number] = letter
                if left is not None and left > 0:
                    operations.later(
                        queue, storage.keys.wake, letter.message_id, letter.payload, delay=left, level=letter.level
                    )
                else:
                    operations.add(queue.streams[letter.level - 1], letter.payload)
            args = [name, length, len(page), len(page) + len(refusable), *operations.args]
            reply = storage.run("pump", operations.keys, args)
            count, _, refused = reply.partition(b" ") if isinstance(reply, bytes) else (reply, b"", b"")
            left_over, found = int(count), refusals(refused)
            for number, standing in found.items():
                left_out(refusable[number], standing)
            if left_over >= 0:
                moved += len(page) - len(found)
            if left_over == 0 or not page:
                break
    return moved


def left_out(message: Message[Any] | Letter, standing: str) -> None:
    """A message that joined an outcome was refused: nobody waits to be told."""
    actor_name = message.actor if isinstance(message, Letter) else message.actor_name
    logger.info(
        "%s[%s]: left out, because message %s stands under the same unique key",
        actor_name,
        message.message_id,
        standing,
    )
