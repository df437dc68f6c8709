"""The handle of a workflow, by its id alone, in any process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from understudy import clock
from understudy.durations import Duration, to_seconds
from understudy.errors import ResultTimeout, WorkflowError
from understudy.execution import current
from understudy.handle import LOOK_AGAIN, Handle
from understudy.plans.place import node_id, parse_id
from understudy.plans.reading import Ending, Entry, Flow, flow_of
from understudy.records import Record, Records
from understudy.revocations import Revocations
from understudy.runtime import installed
from understudy.states import State

from .resuming import forget, resume


def workflow(id: str) -> WorkflowHandle:
    """The handle of a workflow, by the name that it was run under, by the id of any of its steps or groups, or by that
    of a message in whose place it goes on (C15)."""
    if not isinstance(id, str) or not id:
        raise TypeError("the id of a workflow is a text that is not empty")
    records = installed().records
    found = flow_of(records.storage, id)
    if found is None:
        return WorkflowHandle(id, records)
    flow, node = found
    return WorkflowHandle(flow.id, records, node=node)


class WorkflowHandle(Handle):
    """What is known of a workflow, or of a part of it: a step, or a group.

    The handle that ``run()`` returns is that of the last step, or of the group at the end: its result is that of all.
    """

    def __init__(self, workflow_id: str, records: Records, *, node: int | None = None) -> None:
        self.workflow_id = workflow_id
        self.flow = Flow(records.storage, workflow_id)
        self._node = node
        self._records = records
        self._ignored = False
        self._terminal: Record | None = None

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.workflow_id if self._node is None else self.id}>"

    def read(self) -> Record:
        """The record as it is now. What has ended may be resumed by anybody, so nothing is kept of it here."""
        return self._records.read(self.id)

    @property
    def node(self) -> int:
        """The number of the step or group.

        Raises:
          WorkflowError: nobody knows the workflow.
        """
        if self._node is None:
            if not self.flow.exists():
                raise WorkflowError(f"no workflow {self.workflow_id!r} is known; it was never run, or its time is over")
            self._node = self.flow.root[1]
        return self._node

    @property
    def id(self) -> str:  # type: ignore[override]  # read from the server when only the workflow was named
        """The id of the step or group."""
        return node_id(self.workflow_id, self.node)

    @cached_property
    def _entry(self) -> Entry:
        return self.flow.entry(self.node)

    @property
    def is_group(self) -> bool:
        """Whether it is a group: its result is a list."""
        return self._entry.is_group

    @property
    def parent(self) -> WorkflowHandle | None:
        """What comes before it: a step or a group; None for the first (C13)."""
        before = self._entry.previous
        return None if before == "-" else self._of(int(before))

    @property
    def children(self) -> list[Handle]:
        """The members of a group, in declared order, each by the step whose result is its own; of a step the messages
        that its body sent."""
        if not self.is_group:
            return super().children
        return [self._of(node) for node in self.flow.members(self.node)]

    @property
    def results(self) -> list[Handle]:
        """The members of a group; a step alone stands for itself."""
        return self.children if self.is_group else [self]

    @property
    def completed_count(self) -> int:
        """How many members of the group have succeeded (G02); 1 for a step that has."""
        if not self.is_group:
            return int(self.successful())
        counts = self.flow.counts(self.node)
        return 0 if counts is None else counts[0]

    def exists(self) -> bool:
        """Whether the workflow is known."""
        return self.flow.exists()

    def waiting(self) -> bool:
        """Whether something has not ended yet."""
        return not self.ready()

    def failed(self) -> bool:
        """Whether it has failed; a group as soon as one member has (G02)."""
        if self.is_group and (counts := self.flow.counts(self.node)) is not None:
            return counts[1] > 0
        return super().failed()

    def successful(self) -> bool:
        """Whether it ended in SUCCESS; a group when all of its members did (G02)."""
        if self.is_group:
            return self.ready() and not self.failed()
        return super().successful()

    def get(
        self, timeout: Duration | None = None, *, propagate: bool = True, disable_sync_subtasks: bool = True
    ) -> Any:
        """Wait for the end and return the result; of a group the list of its members' results, in declared order.

        With ``propagate`` the exception of the step that failed first is raised as soon as it is known that the
        workflow cannot succeed, while others may still run (C18, H02, G09). Without, a group gives its list with the
        exceptions in their places (G02), and a step its own exception: ``ChordError`` when a group before it failed.

        Raises:
          ResultTimeout, RuntimeError, ServerUnavailable: as ``Handle.get``.
        """
        if disable_sync_subtasks and current() is not None:
            raise RuntimeError(
                "get() inside an actor blocks its worker and may block it for ever; return the workflow instead, and "
                "it is continued by it"
            )
        seconds = None if timeout is None else to_seconds(timeout, field="timeout", allow_zero=True)
        ended, value = self._look(propagate)
        if not ended:
            value = self._wait_for_it(seconds, propagate)
        if isinstance(value, _Raised):
            raise value.error
        return value

    def revoke(self, *, terminate: bool = False) -> State:
        """Revoke the workflow, by the handle of its end: it is REVOKED at once, and so is all of it that waits. Bodies
        that run go on to their end, and nothing follows them; with ``terminate`` they are ended. By the handle of
        another step: that step, and with it what comes after it (C10).

        Raises:
          WorkflowError: a group cannot be revoked by itself; revoke its members, or the workflow.
          ServerUnavailable: it may or may not have been revoked; doing it again does no harm.
        """
        whole = self._node is None or self.node == self.flow.root[1]
        if not whole and self.is_group:
            raise WorkflowError(f"{self.id} is a group; revoke its members, or the workflow {self.workflow_id}")
        known = Revocations(self._records.storage)
        ttl = installed().settings.result_ttl
        return known.revoke(self.workflow_id if whole else self.id, terminate=terminate, result_ttl=ttl)

    def resume(
        self,
        *,
        from_step: Handle | str | int | None = None,
        with_args: Sequence[Any] | None = None,
    ) -> None:
        """Run again what failed, and what depends on it, with the stored results of the rest.

        Args:
          from_step: a step of the outermost chain (its handle, id or number) from which on everything runs anew,
            although it had succeeded.
          with_args: the arguments of that step from now on, in place of its own and of the result before it.

        Raises:
          NotResumable: it has not failed, or was revoked; the message says what can be done.
          ServerUnavailable: it may or may not go on; resuming again does no harm.
        """
        if with_args is not None and not isinstance(with_args, list | tuple):
            raise TypeError(f"with_args is a list or tuple of arguments, not {type(with_args).__name__}")
        step = from_step.id if isinstance(from_step, Handle) else from_step
        resume(self.flow, step=None if step is None else _number(self.workflow_id, step), args=with_args)

    def forget(self) -> None:
        """Remove what is known of the workflow, once it has ended; its ids read PENDING again.

        Raises:
          WorkflowError: it has not ended; revoke it first.
        """
        forget(self.flow)

    # -- waiting -----------------------------------------------------------------------------------------

    def _look(self, propagate: bool) -> tuple[bool, Any]:
        """Whether it is known what it comes to, and what."""
        ending = self.flow.ending(self.node)
        if propagate and ending.state is not State.SUCCESS and self.node == self.flow.root[1]:
            cause = next((node for node in self.flow.ask("cause", "doomed") if node is not None), None)
            if cause is not None:
                return True, _Raised(self.flow.ending(int(cause)).outcome() or ending.outcome())
        if not ending.state.terminal:
            return False, None
        if ending.state is State.SUCCESS:
            return True, ending.outcome()
        if propagate:
            return True, _Raised(ending.outcome())
        return True, self._mixed(ending)

    def _mixed(self, ending: Ending) -> Any:
        if self.is_group and self.flow.counts(self.node) is not None:
            return list(self.flow.outcomes(self.flow.members(self.node)))
        return ending.outcome()

    def _wait_for_it(self, timeout: float | None, propagate: bool) -> Any:
        storage = self._records.storage
        if not storage.can_wait:
            raise ResultTimeout(
                f"workflow {self.workflow_id} is {self.status}, and nobody works while you wait here: call drain()"
            )
        deadline = None if timeout is None else clock.monotonic() + timeout
        pubsub = storage.subscribe(*self._channels())
        try:
            while True:
                ended, value = self._look(propagate)  # after subscribing, so that no change is missed
                if ended:
                    return value
                left = LOOK_AGAIN if deadline is None else min(LOOK_AGAIN, deadline - clock.monotonic())
                if left <= 0:
                    raise ResultTimeout(f"{self.id} is still {self.status} after {timeout:g} seconds")
                with storage.exchange("wait"):
                    pubsub.get_message(timeout=left)
        finally:
            pubsub.close()

    def _of(self, node: int) -> WorkflowHandle:
        return WorkflowHandle(self.workflow_id, self._records, node=node)


def _number(workflow_id: str, step: str | int) -> int:
    if isinstance(step, int) and not isinstance(step, bool):
        return step
    found = parse_id(step) if isinstance(step, str) else None
    if found is None or found[0] != workflow_id:
        raise TypeError(
            f"from_step is a step of workflow {workflow_id}: its handle, its id or its number, not {step!r}"
        )
    return found[1]


class _Raised:
    def __init__(self, error: Any) -> None:
        self.error = error
