"""Revoking messages: by id, wherever they are, for good (V01-V08).

What is revoked is remembered on the server for ``KEPT``, so it holds for a message that is sent later, too (V05), and
through restarts of every worker (V07). Workers keep a copy in memory and are told of changes; see
``middleware/revocation.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from .brokers.delays import read
from .brokers.names import QueueKeys
from .brokers.operations import Operations
from .brokers.workflows import UNFINISHED, Kept, abort, step
from .durations import to_millis
from .errors import Revoked
from .exceptions import encode_exception
from .holds import GROUP
from .plans.place import Place, node_id, parse_id
from .plans.reading import Flow
from .states import State
from .storage.client import Storage, Value
from .turns import IN_LINE, member

#: Seconds for which it is remembered that a message is revoked.
KEPT = 7 * 86_400.0
#: Ids in one reply.
PAGE = 10_000


class Revocations:
    """What is revoked, on the server."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def revoke(self, message_id: str, *, terminate: bool, result_ttl: float) -> State:
        """Let nobody run a message, or a whole workflow, any more; its state afterwards (see ``Handle.revoke``).

        Args:
          terminate: stop its body if it runs.
          result_ttl: seconds for which REVOKED can be read.

        Raises:
          ServerUnavailable: it may or may not have been revoked; doing it again does no harm.
        """
        storage, keys = self.storage, self.storage.keys
        flow = Flow(storage, message_id)
        if flow.exists():
            return self._revoke_workflow(flow, terminate=terminate, result_ttl=result_ttl)
        place = _place(storage, message_id)
        queues = [QueueKeys(keys.namespace, raw.decode()) for raw in storage.call("SMEMBERS", keys.queues)]
        exception, seen_to = encode_exception(Revoked("revoked")), ""
        copy, line = b"", None
        while True:
            by, claim = ((raw or b"").decode() for raw in storage.call("HMGET", keys.state(message_id), "by", "claim"))
            held_in = QueueKeys(keys.namespace, by.rsplit("/", 2)[0])
            operations = Operations(
                *(keys.clock, keys.revoked, keys.stopped, keys.state(message_id), keys.items(message_id)),
                *(keys.claim(claim), keys.claimed_items(claim)),
                *(key for queue in queues for key in (queue.delayed, queue.payloads, queue.ids)),
                *held_in.streams,
            )
            ttl = result_ttl
            if place is not None:
                ttl, kept = UNFINISHED, Kept(result_ttl, max(result_ttl, KEPT))
                step(operations, keys, place, State.REVOKED, message_id=message_id, kept=kept)
            if line is not None:
                lines = {queue.queue: (*queue.streams, queue.delayed, queue.ids) for queue in queues}
                operations.quit(keys, line[1], member(line[0], message_id), lines)
            verdict, state, *waits = storage.run(
                "revoke",
                operations.keys,
                [
                    *(message_id, "stop" if terminate else "stay", to_millis(KEPT), to_millis(ttl), exception),
                    *(keys.channel(message_id), keys.revocations, GROUP, len(queues), by, claim),
                    *(seen_to, copy, (place is not None) + (line is not None), *operations.args),
                ],
            )
            if verdict == b"revoked":
                return State.REVOKED
            if verdict == b"line":
                copy, line = state, _line_of(waits[0])
            elif verdict == b"instead":
                seen_to = state.decode()
                after = self._revoke_instead(seen_to, within=place, terminate=terminate, result_ttl=result_ttl)
                if place is None or after is not State.FAILURE:
                    return after
                # A group fails when its members are revoked. The message in whose place it was is REVOKED.
            elif verdict != b"again":
                return State(state.decode() or "PENDING")

    def _revoke_instead(self, value: str, *, within: Place | None, terminate: bool, result_ttl: float) -> State:
        """Revoke what goes on in the place of a message, as far as it has not ended: the workflow of its own, or the
        nodes ``within`` that of the message. ``value`` is the id of the last of them; its state afterwards."""
        found = parse_id(value)
        if found is None:
            return State.PENDING
        flow, node = Flow(self.storage, found[0]), found[1]
        before = flow.ending(node).state
        # One that is known to be revoked may be so because the workflow is: that stops nothing of what waits by itself.
        if before in (State.SUCCESS, State.FAILURE) or not flow.exists():
            return before
        if within is None:
            return self._revoke_workflow(flow, terminate=terminate, result_ttl=result_ttl)
        for one in flow.messages_of(node):  # the last first: whatever ends meanwhile, it is not followed by more
            self.revoke(node_id(flow.id, one), terminate=terminate, result_ttl=result_ttl)
        after = flow.ending(node).state
        return State.STARTED if after is State.PENDING else after

    def _revoke_workflow(self, flow: Flow, *, terminate: bool, result_ttl: float) -> State:
        keys = self.storage.keys
        operations = Operations(keys.clock, keys.revoked, keys.stopped)
        place = Place(flow.id, flow.root[1], "-", flow.streams())
        abort(operations, keys, place, kept=Kept(result_ttl, max(result_ttl, KEPT)))
        order = "stop" if terminate else "stay"
        head: list[Value] = [flow.id, order, to_millis(KEPT), keys.revocations]
        if self.storage.run("abort", operations.keys, [*head, *operations.args]):
            return State.REVOKED
        return State((flow.ask("state")[0] or b"PENDING").decode())

    def holds(self, message_id: str) -> bool:
        """Whether a message is revoked: asks the server.

        Raises:
          ServerUnavailable: it cannot be asked, so nobody knows.
        """
        keys = self.storage.keys
        reply = self.storage.run("revoked", [keys.clock, keys.revoked, keys.stopped], [message_id, 0, 0])
        return bool(reply[0])

    def all(self) -> Iterator[tuple[str, bool]]:
        """Every revoked message, and whether its body is stopped if it runs."""
        keys, start = self.storage.keys, 0
        while True:
            page = self.storage.run("revoked", [keys.clock, keys.revoked, keys.stopped], ["", start, PAGE])
            for id, order in zip(page[::2], page[1::2], strict=True):
                yield id.decode(), order == b"stop"
            if len(page) < 2 * PAGE:
                return
            start += PAGE


def _line_of(body: bytes) -> tuple[str, str] | None:
    """The queue of a copy that waits, and the limit in whose line it does."""
    message = read(0.0, body).message
    name = None if message is None else message.options.get(IN_LINE)
    return None if message is None or name is None else (message.queue_name, name)


def _place(storage: Storage, message_id: str) -> Place | None:
    """The place of a message in its workflow, if it has one."""
    found = parse_id(message_id)
    if found is None:
        return None
    flow = Flow(storage, found[0])
    if not flow.exists():
        return None
    entry = flow.entry(found[1])
    return None if entry.is_group else Place(*found, entry.up, flow.streams())
