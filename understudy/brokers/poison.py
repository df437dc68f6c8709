"""Poison: a message whose body was running when its process died, too many times, the last time all alone.

After the second such death a message is a suspect and runs alone in its process (``gate.py``), so that no neighbour
dies with it and none is blamed for it.

A body that goes over items with ``each`` may come on at every delivery, and yet be killed by every deploy of a long
day. So deaths are counted since its last item was over: the item at which it stopped is what is suspected, and its
third death makes poison of it. All of its deaths are bounded as well, by a number that no deploys come to.
"""

from __future__ import annotations

import logging

from dramatiq import Message
from dramatiq.errors import DecodeError

from understudy.errors import PoisonMessage
from understudy.holds import Hold, counts

from . import outcomes
from .committer import COMMITTED, Settlement
from .names import QueueKeys
from .tally import UNKNOWN, counted
from .transport import Transport

logger = logging.getLogger(__name__)


def bury(
    broker: Transport, queue: QueueKeys, stream: str, worker: str, entry: str, payload: bytes, deaths: str
) -> None:
    """Make a dead letter of an entry that a dead worker holds; whoever waits for it is told why. ``deaths`` as
    ``Hold.counted``."""
    here, in_all = counts(deaths)
    hold = Hold(stream, entry, f"{queue.queue}/dead/{entry}", here, worker, in_all)
    error = PoisonMessage(
        f"its body was running at {in_all} deaths of a worker process, the last time alone; the last one was {worker}"
    )
    try:
        message: Message[object] | None = Message.decode(payload)
    except DecodeError:
        message = None
    logger.error(
        "message %s of queue %s is poison and a dead letter now: %s",
        "?" if message is None else message.message_id,
        queue.queue,
        error,
    )
    broker.committer.submit(
        Settlement(
            stream=stream,
            entry=entry,
            size=len(payload),
            write=lambda operations: outcomes.write_dead(broker, operations, queue, hold, payload, message, error),
            done=lambda verdict: _tell(broker, verdict, message, error),
            counted=counted(_known(broker, message), queue.queue, "failure", None),
        )
    )


def _known(broker: Transport, message: Message[object] | None) -> str:
    name = UNKNOWN if message is None else message.actor_name
    return name if name in broker.actors else UNKNOWN


def _tell(broker: Transport, verdict: str, message: Message[object] | None, error: PoisonMessage) -> None:
    if verdict == COMMITTED and message is not None:
        broker.emit_after("bury", message, error)
