"""Gives a step of a workflow its input, and lets an actor go on as a workflow (C01, C15).

A message of a workflow says where its input is, and does not carry it: what 100,000 members of a group came to is read
here in pages. It is not part of the message afterwards either: a retry reads it again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dramatiq
from dramatiq import Broker, Middleware

from understudy.brokers.followers import error_of
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.canvas.compose import Canvas as Composed
from understudy.canvas.continuing import continue_as
from understudy.errors import GuardUnavailable, ServerUnavailable, WorkflowError
from understudy.plans.place import TAKES, WORKFLOW, workflow_of
from understudy.plans.reading import Flow
from understudy.states import State

from .executions import of


class Canvas(Middleware):
    """Above ``Idempotency``, whose key may be made of the input."""

    @property
    def actor_options(self) -> set[str]:
        return {WORKFLOW, TAKES, "immutable", "into"}

    def concerns(self, actor: dramatiq.Actor[..., Any]) -> Collection[str]:
        return (TAKES,)

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        takes = held.options.get(TAKES)
        if takes is None:
            return
        try:
            value = _input(settling, held, int(takes["from"]), failed=bool(takes.get("failed")))
        except ServerUnavailable as error:
            raise GuardUnavailable(f"the input of the step could not be read, so it did not run: {error}") from error
        into, at = takes.get("into"), takes.get("at")
        given = held._message.args
        if at is not None:  # it stands open there
            held.args = (*given[:at], value, *given[at + 1 :])
        elif into is None:
            held.args = (value, *given)
        else:
            held.kwargs = {**held._message.kwargs, into: value}
        if held.execution is not None:
            held.execution.args, held.execution.kwargs = held.args, held.kwargs


def continued(broker: SettlingBroker, held: HeldMessage, result: Composed) -> None:
    """A canvas that the body returns is no result, but runs in its place (C15)."""
    if not isinstance(broker, RedisBroker):
        raise TypeError("a canvas is continued by Understudy's own broker only")
    held.outcome.fields["instead"] = continue_as(broker, held, result.elements())


def _input(broker: SettlingBroker, held: HeldMessage, node: int, *, failed: bool) -> Any:
    """What ``node`` has come to; for a callback that is told that it has ``failed``, why."""
    workflow = workflow_of(held.message_id)
    flow = Flow(broker.storage, workflow)
    ending = flow.ending(node)
    if failed and ending.state is State.FAILURE:
        return error_of(ending.fields.get("exception"))
    if failed:
        return {"type": "understudy.errors.WorkflowError", "text": "it failed, and was resumed before this was told"}
    if not ending.state.terminal:
        raise WorkflowError(
            f"the result of {workflow}.{node} is not there (any more), and step {held.message_id} needs it; resume the "
            "workflow from that step"
        )
    return ending.outcome()
