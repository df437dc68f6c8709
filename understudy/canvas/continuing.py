"""What an actor returns is continued by it: a canvas that runs in its place (C15).

In a workflow it becomes a part of that, under numbers of its own; else a workflow that stands for the message. It is
put aside, or where nothing leads to it, before the message is settled; the settlement lets it begin. The callbacks of
the message, ``on_success`` and ``on_failure``, become callbacks of what goes on in its place.
"""

from __future__ import annotations

import uuid

from understudy.brokers import followers
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.brokers.staging import SWEPT
from understudy.errors import WorkflowError
from understudy.outcome import Continued
from understudy.plans.place import Place, node_id, spelled, streams_in
from understudy.plans.reading import Entry, Flow
from understudy.storage.client import Value

from .compiling import Compiler, Entrance, Exit, streams_of
from .elements import Callback, Element, Parallel, attach
from .running import head_of, put_aside


def continue_as(broker: RedisBroker, held: HeldMessage, strand: list[Element]) -> str:
    """Prepare that ``strand`` goes on in the place of ``held``; the id of the node whose value is that of both.

    Raises:
      ServerUnavailable: the server could not be asked.
      WorkflowError: the workflow of ``held`` is gone.
    """
    place = Place.of(held.message_id, held.options)
    good, bad = followers.of_both_ends(broker, held._message)
    attach(
        strand,
        good=[Callback(message, of=strand[-1]) for message in good],
        bad=[Callback(message, of=strand[-1]) for message in bad],
    )
    return _on_its_own(broker, held, strand) if place is None else _within(broker, held, place, strand)


def _within(broker: RedisBroker, held: HeldMessage, place: Place, strand: list[Element]) -> str:
    storage, flow = broker.storage, Flow(broker.storage, place.workflow)
    entry = flow.entry(place.node)
    compiler_streams = spelled(streams_of(broker, strand))
    key = storage.keys.workflow(place.workflow)
    base, to = storage.run("extend", [key], [_count(strand), compiler_streams])
    if not base:
        raise WorkflowError(f"workflow {place.workflow} is gone, so nothing can go on in the place of {held}")
    compiler = Compiler(broker, place.workflow, base=int(base), streams=streams_in(to.decode()), extends=True)
    plan = compiler.plan(strand, entrance=Entrance(), exit=_exit(entry))
    put_aside(broker, key, plan.fields, ttl=0)
    held.outcome.continued = Continued(place.workflow, plan.first, spelled(plan.streams))
    return node_id(place.workflow, plan.value)


def _on_its_own(broker: RedisBroker, held: HeldMessage, strand: list[Element]) -> str:
    id = uuid.uuid4().hex
    plan = Compiler(broker, id).plan(strand, entrance=Entrance())
    fields: dict[str, Value] = {**head_of(plan), **plan.fields, "for": held.message_id}
    put_aside(broker, broker.storage.keys.composed(id), fields, ttl=SWEPT)
    held.outcome.continued = Continued(id, plan.first, spelled(plan.streams), aside=id, size=plan.size)
    return node_id(id, plan.value)


def _exit(entry: Entry) -> Exit:
    return Exit(up=entry.up, next=entry.next, strand=int(entry.strand), good=entry.good, bad=entry.bad)


def _count(strand: list[Element]) -> int:
    """So many numbers are enough for a strand."""
    count = 0
    for element in strand:
        count += 1 + len(element.good) + len(element.bad)
        if isinstance(element, Parallel):
            count += sum(_count(member) for member in element.members)
    return count
