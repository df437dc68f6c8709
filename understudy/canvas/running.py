"""Accepts workflows: all of one, or nothing.

::

    compose, page by page --> put aside --launch--> the workflow, and its first messages
             |
             '--- never launched: no effect, swept after ``SWEPT`` seconds
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from dramatiq import Message

from understudy.brokers.operations import Operations
from understudy.brokers.redis import RedisBroker
from understudy.brokers.staging import SWEPT
from understudy.brokers.workflows import Kept, begin, fan
from understudy.durations import to_millis
from understudy.errors import ServerUnavailable, WorkflowError, WorkflowExists
from understudy.plans.place import spelled
from understudy.runtime import installed
from understudy.storage.client import Value

from .compiling import Compiler, Entrance, Plan
from .elements import Element
from .handles import WorkflowHandle

#: Fields in one round trip, and their size in bytes.
PAGE, PAGE_SIZE = 200, 1024 * 1024
#: Version of what is stored.
VERSION = 1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")


def run(
    strand: list[Element],
    *,
    args: tuple[Any, ...],
    delay: float,
    on_success: Iterable[Message[Any]],
    on_failure: Iterable[Message[Any]],
    workflow_id: str | None,
) -> WorkflowHandle:
    """Accept a workflow, and begin it. See ``Canvas.run``."""
    broker = installed()
    if not isinstance(broker, RedisBroker):
        raise TypeError(f"workflows need Understudy's own broker, not {type(broker).__name__}")
    id = uuid.uuid4().hex if workflow_id is None else _name(workflow_id)
    compiler = Compiler(broker, id)
    plan = compiler.plan(strand, entrance=Entrance(args=args, delay=delay), good=on_success, bad=on_failure)
    _accept(broker, plan)
    with suppress(ServerUnavailable):  # it is accepted: whichever worker comes first moves the members of its groups
        fan(broker, id)
    return WorkflowHandle(id, broker.records, node=plan.value)


def _accept(broker: RedisBroker, plan: Plan) -> None:
    storage, keys = broker.storage, broker.storage.keys
    fields: dict[str, Value] = {**head_of(plan), **plan.fields}
    *before, last = _paged(fields)
    aside = keys.composed(f"{plan.workflow}:{uuid.uuid4().hex[:8]}")
    for page in before:
        storage.run("compose", [aside], [to_millis(SWEPT), *page])
    operations = Operations(keys.clock, aside, keys.workflow(plan.workflow), keys.ended_nodes(plan.workflow))
    begin(operations, keys, plan.workflow, plan.first, plan.streams, kept=Kept.by(broker))
    head: list[Value] = [uuid.uuid4().hex, sum(len(page) for page in before) // 2, plan.size]
    reply = int(storage.run("launch", operations.keys, [*head, len(last) // 2, *last, *operations.args]))
    if reply == -1:
        raise WorkflowExists(f"there is a workflow {plan.workflow!r} already; nothing was accepted. Give another name")
    if reply == -2:
        raise WorkflowError("what was put aside of the workflow is gone; nothing was accepted. Run it again")


def head_of(plan: Plan) -> dict[str, Value]:
    """The fields that describe the workflow as a whole."""
    return {
        "v": VERSION,
        "to": spelled(plan.streams),
        "first": plan.first,
        "value": plan.value,
        "size": plan.size,
    }


def put_aside(broker: RedisBroker, key: str, fields: dict[str, Value], *, ttl: float) -> None:
    """Write fields where nothing leads to them yet. ``ttl`` seconds until they are swept; 0: ``key`` is a workflow."""
    for page in _paged(fields):
        broker.storage.run("compose", [key], [to_millis(ttl), *page])


def _paged(fields: dict[str, Value]) -> Iterator[list[Value]]:
    page: list[Value] = []
    size = 0
    for pair in fields.items():
        length = len(pair[1]) if isinstance(pair[1], bytes | str) else 8
        if page and (len(page) >= 2 * PAGE or size + length > PAGE_SIZE):
            yield page
            page, size = [], 0
        page += pair
        size += length
    yield page


def _name(given: str) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise TypeError(
            f"workflow_id is a text of letters, digits and _ . : - that does not begin with a sign, not {given!r}"
        )
    return given
