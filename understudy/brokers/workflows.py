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
from typing import Any

from understudy.durations import to_millis
from understudy.plans.pages import Letter, Page, read_page
from understudy.plans.place import Place, Stream, node_id, streams_in
from understudy.storage.client import Value

from .names import QueueKeys
from .operations import Operations
from .transport import Transport

logger = logging.getLogger(__name__)

#: Seconds until the record of a node may go, as it is written: the workflow's end says when it does. A century.
UNFINISHED = 3_155_760_000.0
#: What a step says of a message that its body, or a hook, has skipped: nothing follows it.
SKIPPED = "SKIPPED"


def step(
    broker: Transport, operations: Operations, place: Place, state: str, *, message_id: str, instead: int | None = None
) -> None:
    """Add the operation that tells its workflow that a message has ended in ``state``, or that the node ``instead``
    begins in its place."""
    operations.args += ("step", *_arguments(broker, operations, place, message_id, state, instead))


def begin(broker: Transport, operations: Operations, workflow: str, node: int, streams: tuple[Stream, ...]) -> None:
    """Add the operation that begins a node."""
    place = Place(workflow, node, "-", streams)
    operations.args += ("begin", *_arguments(broker, operations, place, "", "", node))


def ended(broker: Transport, operations: Operations, message_id: str, options: Mapping[str, Any], state: str) -> int:
    """Add the operation for a message that ended without an outcome, if it belongs to a workflow; returns how many."""
    place = Place.of(message_id, options)
    if place is None:
        return 0
    step(broker, operations, place, state, message_id=message_id)
    return 1


def failure_ttl(broker: Transport) -> float:
    """Seconds for which a workflow is kept that has failed: as long as the dead letter can be brought back."""
    return max(broker.settings.result_ttl, broker.dead_ttl)


def _arguments(
    broker: Transport, operations: Operations, place: Place, message_id: str, state: str, instead: int | None
) -> tuple[Value, ...]:
    keys, number = broker.storage.keys, operations.number
    flow = keys.workflow(place.workflow)
    numbers = (number(broker.keys_of(stream.queue).streams[stream.level - 1]) for stream in place.streams)
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
        to_millis(broker.settings.result_ttl),
        to_millis(failure_ttl(broker)),
        ",".join(map(str, numbers)),
    )


def fan(broker: Transport, only: str | None = None) -> int:
    """Move the members of groups that have begun to their queues, all that there are, or those of workflow ``only``;
    returns how many.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    storage, moved = broker.storage, 0
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
        begin(broker, operations, workflow, letter.node, streams)
        return
    queue = QueueKeys(broker.storage.keys.namespace, letter.queue)
    if letter.delay > 0:
        id = node_id(workflow, letter.node)
        wake = broker.storage.keys.wake
        operations.later(queue, wake, id, letter.payload, delay=letter.delay, level=letter.level)
    else:
        operations.add(queue.streams[letter.level - 1], letter.payload)
