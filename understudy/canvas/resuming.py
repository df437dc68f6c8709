"""Takes a workflow up again that has failed: only what failed, and what depends on it, runs.

::

    FAILURE --reopen, page by page--> FAILURE, its failures not counted any more --relaunch--> goes on
                                         |
                                         '--- whoever dies here leaves a workflow that can be resumed

What runs first is put into pages, like the members of a group, and moved to the queues by whoever comes first. So
nothing is run twice by two that resume at once: one of them wins ``relaunch``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dramatiq import Message

from understudy.durations import to_millis
from understudy.errors import NotResumable, WorkflowError
from understudy.plans.pages import Letter, pages
from understudy.plans.place import TAKES, node_id, streams_in
from understudy.plans.reading import Entry, Flow
from understudy.states import State
from understudy.storage.client import Value

#: Nodes in one step.
PAGE = 500


def resume(flow: Flow, *, step: int | None = None, args: Sequence[Any] | None = None) -> None:
    """Run again what failed, or everything from ``step`` on. See ``WorkflowHandle.resume``."""
    state, resumed, first = flow.ask("state", "resumed", "first")
    if not flow.exists():
        raise NotResumable(f"no workflow {flow.id!r} is known; it was never run, or its time is over. Run it anew")
    if state is None:
        raise NotResumable(f"workflow {flow.id} has not ended; wait until it has, or revoke it and run it anew")
    if state == b"REVOKED":
        raise NotResumable(f"workflow {flow.id} was revoked, which is for good; run it anew")
    if args is not None and step is None:
        raise TypeError("with_args are the arguments of from_step, which is missing")
    before = (resumed or b"0").decode()
    if step is None:
        if state == b"SUCCESS":
            raise NotResumable(f"workflow {flow.id} has succeeded; name the step from_step on which it shall run anew")
        failed, groups = _failed(flow, _cause(flow, int(first or 0)))
        _reopen(flow, before, "back", [*failed, *groups])
        letters = _letters(flow, {entry.node for entry in failed})
    else:
        letters = _from(flow, before, step, args)
    _relaunch(flow, before, letters)


def retry_node(flow: Flow, node: int) -> bool:
    """Run one failed step again, and what depends on it; False when it is not a failed step (any more).

    Raises:
      NotResumable: its workflow has gone on without it, or cannot go on.
    """
    entry = flow.entry(node)
    state, resumed = flow.ask("state", "resumed")
    if flow.ending(node).state not in (State.FAILURE, State.REVOKED) or not flow.has_ended(node):
        return False
    if state == b"REVOKED":
        raise NotResumable(f"workflow {flow.id} was revoked, which is for good; run it anew")
    line = [entry]
    while line[-1].up != "-":
        above = flow.entry(int(line[-1].up))
        done, failed = flow.counts(above.node) or (0, 0)
        if done + failed < above.size:
            break
        if done >= above.need:
            raise NotResumable(f"workflow {flow.id} has gone on without step {node_id(flow.id, node)}")
        line.append(above)
    before = (resumed or b"0").decode()
    _reopen(flow, before, "back", line)
    _relaunch(flow, before, _letters(flow, {node}))
    return True


def forget(flow: Flow) -> None:
    """Remove what is known of a workflow that has ended."""
    if not flow.exists():
        return
    keys = flow.storage.keys
    if flow.ask("state")[0] is None:
        raise WorkflowError(f"workflow {flow.id} has not ended; revoke it first")
    flow.storage.call("HSET", keys.workflow(flow.id), "expires_at", 0)
    flow.storage.call("ZADD", keys.ended_workflows, 0, flow.id)


# -- what failed -----------------------------------------------------------------------------------------------


def _cause(flow: Flow, strand: int) -> Entry:
    """What has stopped a strand. An attempt to resume that was cut off may have taken that back already: then it is the
    first that did not succeed, of the strand or of what goes on in the place of that."""
    at = flow.ask(f"x{strand}")[0]
    if at is not None:
        return flow.entry(int(at))
    line = list(_line(flow, strand))
    while True:
        cause = next((entry for entry in line if flow.ending(entry.node).state is not State.SUCCESS), line[-1])
        line = flow.in_the_place_of(flow.record(cause.node))
        if not line:
            return cause


def _failed(flow: Flow, cause: Entry) -> tuple[list[Entry], list[Entry]]:
    """The messages that must run again so that ``cause`` may succeed, and the groups between, ``cause`` among them."""
    if not cause.is_group:
        return [cause], []
    failed: list[Entry] = []
    groups: list[Entry] = []
    for value in flow.unsuccessful(flow.members(cause.node)):
        more = _failed(flow, _cause(flow, int(flow.entry(value).strand)))
        failed += more[0]
        groups += more[1]
    return failed, [*groups, cause]


def _from(flow: Flow, before: str, step: int, args: Sequence[Any] | None) -> list[Letter]:
    first = int(flow.ask("first")[0] or 0)
    line = list(_line(flow, first))
    chosen = next((place for place, entry in enumerate(line) if entry.node == step), None)
    if chosen is None or line[chosen].is_group:
        raise NotResumable(f"{node_id(flow.id, step)} is not a step of the outermost chain of workflow {flow.id}")
    _needs_no_input(flow, line, chosen, args)
    later = [entry for entry in line[chosen:] for entry in (entry, *_within(flow, entry))]
    letters = _letters(flow, {step})
    if args is not None:
        letters = [_with_args(letter, args) for letter in letters]
        fields = {f"m{step}": letters[0].payload}
        if line[chosen].kind != "t":
            (fields[f"l{step}.0"],) = pages(letters)
        flow.storage.call(
            "HSET", flow.storage.keys.workflow(flow.id), *(part for pair in fields.items() for part in pair)
        )
    _reopen(flow, before, "wipe", later)
    return letters


def _needs_no_input(flow: Flow, line: Sequence[Entry], chosen: int, args: Sequence[Any] | None) -> None:
    """Refuse to run a step whose input is not there."""
    if args is not None or chosen == 0:
        return
    step, before = (node_id(flow.id, line[place].node) for place in (chosen, chosen - 1))
    (letter,) = _letters(flow, {line[chosen].node})
    takes = TAKES in Message.decode(letter.payload).options
    if takes and flow.ending(line[chosen - 1].node).state is not State.SUCCESS:
        raise NotResumable(
            f"{step} takes the result of {before}, which has not succeeded; resume without from_step, from an earlier "
            "step, or give with_args"
        )


def _line(flow: Flow, first: int) -> Iterator[Entry]:
    """The elements of a strand from ``first`` on."""
    entry = flow.entry(first)
    yield entry
    while entry.next != "-":
        entry = flow.entry(int(entry.next))
        yield entry


def _within(flow: Flow, entry: Entry) -> Iterator[Entry]:
    """Everything in a group."""
    if not entry.is_group:
        return
    for letter in flow.letters(entry.node):
        for one in _line(flow, letter.node):
            yield one
            yield from _within(flow, one)


def _with_args(letter: Letter, args: Sequence[Any]) -> Letter:
    message: Message[Any] = Message.decode(letter.payload)
    options = {name: value for name, value in message.options.items() if name != TAKES}
    message = Message(
        *(message.queue_name, message.actor_name, tuple(args), message.kwargs, options),
        *(message.message_id, message.message_timestamp),
    )
    return Letter(letter.node, letter.queue, letter.level, message.encode())


# -- on the server ---------------------------------------------------------------------------------------------


def _letters(flow: Flow, nodes: set[int]) -> list[Letter]:
    """The messages of ``nodes``, as they were composed."""
    found: list[Letter] = []
    groups: set[int] = set()
    streams = streams_in((flow.ask("to")[0] or b"").decode())
    for node in sorted(nodes):
        entry = flow.entry(node)
        payload, page = flow.ask(f"m{node}", f"l{node}.0")
        if payload is not None:
            stream = streams[int(entry.stream) - 1]
            found.append(Letter(node, stream.queue, stream.level, payload))
        elif page is not None:
            found += flow.letters(node)
        elif entry.up != "-":
            groups.add(int(entry.up))
    for group in groups:
        found += [letter for letter in flow.letters(group) if letter.node in nodes]
    return found


def _reopen(flow: Flow, before: str, how: str, entries: Iterable[Entry]) -> None:
    storage, keys = flow.storage, flow.storage.keys
    everything = list(entries)
    for start in range(0, len(everything), PAGE):
        page = everything[start : start + PAGE]
        args: list[Value] = [before, how]
        for entry in page:
            # A member that is one message has no strand, but what went on in its place may have stopped one.
            alone = entry.kind == "m" and how == "back"
            args += (entry.node, entry.up, "-" if alone else entry.strand, "g" if entry.is_group else "t")
        records = [keys.state(node_id(flow.id, entry.node)) for entry in page]
        names = [keys.workflow(flow.id), keys.ended_nodes(flow.id), *records]
        if how == "wipe":  # what failed goes on with the item at which it stopped; what runs anew does all of them
            names += [keys.items(node_id(flow.id, entry.node)) for entry in page if not entry.is_group]
        if not storage.run("reopen", names, args):
            raise NotResumable(f"somebody else has resumed workflow {flow.id} meanwhile")


def _relaunch(flow: Flow, before: str, letters: Sequence[Letter]) -> None:
    storage, keys = flow.storage, flow.storage.keys
    if not letters:
        raise NotResumable(f"workflow {flow.id}: nothing is found that could run again")
    key = keys.workflow(flow.id)
    base, _ = storage.run("extend", [key], [1, ""])
    for place, page in enumerate(pages(letters)):
        storage.run("compose", [key], [to_millis(0), f"l{base}.{place}", page])
    count, _, _ = before.partition(":")
    args: list[Value] = [
        flow.id,
        before,
        f"{int(count) + 1}:{uuid.uuid4().hex[:8]}",
        base,
        keys.wake,
        keys.channel(flow.id),
    ]
    if not storage.run("relaunch", [keys.clock, key, keys.ended_workflows, keys.fanouts], args):
        raise NotResumable(f"somebody else has resumed workflow {flow.id} meanwhile")
