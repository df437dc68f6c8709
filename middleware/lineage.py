"""Who sent whom (S16, K03): what a body sends knows its parent and the root of all; the parent knows its children."""

from __future__ import annotations

from typing import Any

from dramatiq import Broker, Message, Middleware

from understudy import serialization
from understudy.execution import Execution, current
from understudy.outcome import Outcome

#: Children that a record names. Nobody walks more by hand, and a record is no place for a hundred thousand ids.
MOST = 1_000


class Lineage(Middleware):
    """Anywhere above ``States``, which collects what it contributes."""

    @property
    def actor_options(self) -> set[str]:
        return {"parent_id", "root_id"}

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        execution = current()
        if execution is None or execution.message_id == message.message_id:
            return
        message.options.setdefault("parent_id", execution.message_id)
        message.options.setdefault("root_id", execution.root_id)
        _Children.of(execution)

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        """It was accepted; what is refused is nobody's child. What joins the outcome is found there."""
        execution = current()
        if execution is not None and message.options.get("parent_id") == execution.message_id:
            _Children.of(execution).add(message.message_id)


class _Children:
    def __init__(self) -> None:
        self.ids: list[str] = []

    @classmethod
    def of(cls, execution: Execution) -> _Children:
        for part in execution.contributors:
            if isinstance(part, cls):
                return part
        found = cls()
        execution.contributors.append(found)
        return found

    def add(self, id: str) -> None:
        if len(self.ids) < MOST:
            self.ids.append(id)

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        for message, _ in outcome.follow_ups:
            self.add(message.message_id)
        if self.ids:
            outcome.fields["children"] = serialization.dumps(self.ids, root="children")
