"""How far a run is whose steps are found on the way: a step, what goes on in its place, and so on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from understudy.canvas import WorkflowHandle, workflow
from understudy.records import Records


@dataclass(frozen=True)
class Stage:
    """So much of so much is over; ``failed`` of it has failed. ``total`` is None while nobody knows."""

    done: int
    total: int | None
    failed: int = 0


def stages(records: Records, workflow_id: str) -> Iterator[Stage]:
    """The stages that have begun: first that of the first step, by its own progress; then each group that goes on in
    the place of the one before, by its members."""
    node: WorkflowHandle | None = workflow(f"{workflow_id}.1")
    assert node is not None
    shown = node.progress or {}
    yield Stage(int(shown.get("current") or 0), shown.get("total"))
    while (node := _instead_of(records, node)) is not None:
        group = node.parent
        if group is None or not group.is_group:
            return
        done, failed = group.flow.counts(group.node) or (0, 0)
        yield Stage(done + failed, len(group.flow.members(group.node)), failed)


def _instead_of(records: Records, node: WorkflowHandle) -> WorkflowHandle | None:
    told = records.read(node.id).fields.get("instead")
    return None if told is None else workflow(told.decode() if isinstance(told, bytes) else str(told))
