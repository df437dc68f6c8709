"""What the end of a message means to its workflow: the operations for it, and the moving of members to their queues.

::

    settle (step) --> the next message is on its stream
              |
              '-----> a group begins: named in a set --fan, page by page--> the queues

What starts many messages must be one small step of the settlement. So it only names the group; the pages lie in the
workflow since it was accepted, any worker moves them on, and each page is moved by exactly one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from understudy import clock
from understudy.durations import to_millis
from understudy.plans.pages import Letter, Page, read_page
from understudy.plans.place import Place, Stream, node_id, streams_in
from understudy.storage.client import Value
from understudy.storage.keys import Keys

from .held import HeldMessage
from .names import QueueKeys
from .operations import Operations
from .transport import Transport

logger = logging.getLogger(__name__)

#: Seconds until the record of a node may go, as it is written: the workflow's end says when it does. A century.
UNFINISHED = 3_155_760_000.0
#: Workflows that are swept in one go, and records in one step of it.
SWEEPS, SWEEP_PAGE = 10, 500
#: What a step says of a message that its body, or a hook, has skipped: nothing follows it.
SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Kept:
    """Seconds for which a workflow is kept that has succeeded, and one that has not: as long as its dead letters."""

    success: float
    failure: float

    @classmethod
    def by(cls, broker: Transport) -> Kept:
        return cls(broker.settings.result_ttl, max(broker.settings.result_ttl, broker.dead_ttl))


def step(
    operations: Operations,
    keys: Keys,
    place: Place,
    state: str,
    *,
    message_id: str,
    kept: Kept,
    instead: int | None = None,
) -> None:
    """Add the operation that tells its workflow that a message has ended in ``state``, or that the node ``instead``
    begins in its place."""
    operations.put("step", *_arguments(operations, keys, place, kept, message_id, state, instead))


def begin(
    operations: Operations, keys: Keys, workflow: str, node: int, streams: tuple[Stream, ...], *, kept: Kept
) -> None:
    """Add the operation that begins a node."""
    place = Place(workflow, node, "-", streams)
    operations.put("begin", *_arguments(operations, keys, place, kept, "", "", node))


def abort(operations: Operations, keys: Keys, place: Place, *, kept: Kept) -> None:
    """Add the operation that revokes a workflow; ``place`` names the node that callbacks are told."""
    operations.put("abort", *_arguments(operations, keys, place, kept, "", "", None))


def found(operations: Operations, keys: Keys, workflow: str, aside: str, size: int) -> None:
    """Add the operation by which a workflow that was put aside exists."""
    number = operations.number
    operations.put(
        *("found", number(keys.composed(aside)), number(keys.workflow(workflow))),
        *(number(keys.ended_nodes(workflow)), size),
    )


def unless_revoked(operations: Operations, keys: Keys, message_id: str) -> None:
    """Add the operation that refuses the outcome if somebody has revoked the message."""
    operations.put("unless", operations.number(keys.revoked), message_id)


def ended(broker: Transport, operations: Operations, message_id: str, options: Mapping[str, Any], state: str) -> int:
    """Add the operation for a message that ended without an outcome, if it belongs to a workflow; returns how many."""
    place = Place.of(message_id, options)
    if place is None:
        return 0
    step(operations, broker.storage.keys, place, state, message_id=message_id, kept=Kept.by(broker))
    return 1


def goes_on(broker: Transport, operations: Operations, held: HeldMessage, place: Place | None, state: str) -> int:
    """Add the operations for a message that comes back no more; returns how many."""
    keys, kept, continued = broker.storage.keys, Kept.by(broker), held.outcome.continued
    if continued is not None:
        unless_revoked(operations, keys, held.message_id)
    if place is not None:
        instead = None if continued is None else continued.first
        place = place if continued is None else replace(place, streams=streams_in(continued.to))
        step(operations, keys, place, state, message_id=held.message_id, kept=kept, instead=instead)
        return 1 + (continued is not None)
    if continued is None:
        return 0
    found(operations, keys, continued.workflow, continued.aside, continued.size)
    begin(operations, keys, continued.workflow, continued.first, streams_in(continued.to), kept=kept)
    return 3


def _arguments(
    operations: Operations, keys: Keys, place: Place, kept: Kept, message_id: str, state: str, instead: int | None
) -> tuple[Value, ...]:
    number = operations.number
    flow = keys.workflow(place.workflow)
    numbers = (number(QueueKeys(keys.namespace, stream.queue).streams[stream.level - 1]) for stream in place.streams)
    return (
        number(flow),
        number(keys.ended_nodes(place.workflow)),
        number(keys.fanouts),
        number(keys.ended_workflows),
        number(keys.state(message_id)) if message_id else number(flow),
        place.node,
        place.up,
        state,
        "-" if instead is None else instead,
        place.workflow,
        keys.channel(place.workflow),
        keys.wake,
        to_millis(kept.success),
        to_millis(kept.failure),
        ",".join(map(str, numbers)),
    )


def fan(broker: Transport, only: str | None = None) -> int:
    """Move the members of groups that have begun to their queues, all that there are, or those of workflow ``only``;
    returns how many.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    storage, moved, before = broker.storage, 0, -1
    while moved > before:  # a member may begin with a group of its own
        before = moved
        for raw in storage.call("SMEMBERS", storage.keys.fanouts):
            workflow, _, node = raw.decode().rpartition(" ")
            if only is None or workflow == only:
                moved += _fan_one(broker, workflow, node)
    return moved


def _fan_one(broker: Transport, workflow: str, node: str) -> int:
    storage, moved = broker.storage, 0
    flow = storage.keys.workflow(workflow)
    while True:
        cursor, told = storage.call("HMGET", flow, f"c{node}", "to")
        data = None if cursor is None else storage.call("HGET", flow, f"l{node}.{int(cursor)}")
        page = Page([], last=True) if data is None else read_page(data)
        operations = Operations(storage.keys.clock, flow, storage.keys.fanouts)
        streams = streams_in((told or b"").decode())
        for letter in page.letters:
            _put(broker, operations, workflow, letter, streams)
        head: list[Value] = [f"{workflow} {node}", node, -1 if cursor is None else int(cursor), int(page.last)]
        reply = int(storage.run("fan", operations.keys, [*head, len(page.letters), *operations.args]))
        if reply > 0:
            moved += len(page.letters)
        if reply == 0 or (reply > 0 and page.last):
            return moved


def _put(broker: Transport, operations: Operations, workflow: str, letter: Letter, streams: tuple[Stream, ...]) -> None:
    if not letter.payload:
        kept = Kept.by(broker)
        begin(operations, broker.storage.keys, workflow, letter.node, streams, kept=kept)
        return
    queue = QueueKeys(broker.storage.keys.namespace, letter.queue)
    if letter.delay > 0:
        id = node_id(workflow, letter.node)
        wake = broker.storage.keys.wake
        operations.later(queue, wake, id, letter.payload, delay=letter.delay, level=letter.level)
    else:
        operations.add(queue.streams[letter.level - 1], letter.payload)


def sweep(broker: Transport) -> int:
    """Remove what is left of workflows whose time is over; returns how many records.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    storage, keys, removed = broker.storage, broker.storage.keys, 0
    now = to_millis(clock.now())
    for raw in storage.call("ZRANGEBYSCORE", keys.ended_workflows, "-inf", now, "LIMIT", 0, SWEEPS):
        workflow = raw.decode()
        flow = keys.workflow(workflow)
        while True:
            size, page, other = storage.call("HMGET", flow, "size", "swept", "for")
            number, last = int(page or 0), int(size or 0)
            start = number * SWEEP_PAGE + 1
            records = [keys.state(node_id(workflow, node)) for node in range(start, min(start + SWEEP_PAGE, last + 1))]
            ends = start + SWEEP_PAGE > last
            if ends and other is not None:
                records.append(keys.state(other.decode()))
            names = [keys.clock, flow, keys.ended_nodes(workflow), keys.ended_workflows, *records]
            reply = int(storage.run("sweep", names, [workflow, number, int(ends)]))
            removed += len(records) if reply > 0 else 0
            if reply == 0 or (reply > 0 and ends):
                break
    return removed
