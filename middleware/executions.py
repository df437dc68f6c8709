"""Opens an ``Execution`` for every delivery and closes it when its outcome has been collected."""

from __future__ import annotations

from typing import Any

from dramatiq import Broker, Middleware

from understudy.actors import registered_actor
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.execution import HANDED_BACK, Execution, current, set_current
from understudy.plans.place import WORKFLOW, workflow_of


class Executions(Middleware):
    """First in the stack: everything below it finds ``message.execution``, and its hooks after it still do."""

    @property
    def actor_options(self) -> set[str]:
        return {"idempotency_key", "unique", "unique_key", "when", "priority", "headers"}

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        held.execution = Execution(
            message_id=held.message_id,
            actor=registered_actor(broker, held.actor_name),  # type: ignore[arg-type]
            records=settling.records,
            outcome=held.outcome,
            stopping=settling.stopping,
            hold=held.hold,
            retries=held.retries,
            args=held.args,
            kwargs=held.kwargs,
            headers=held.options.get("headers") or {},
            parent_id=held.options.get("parent_id"),
            root_id=held.options.get("root_id") or held.message_id,
            items_scope=held.message_id,
            handed_back=HANDED_BACK in held.options,
            workflow=workflow_of(held.message_id) if WORKFLOW in held.options else None,
            began_at=held.began_at or 0.0,
            outer=current(),
        )
        set_current(held.execution)

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, _ = of(broker, message)
        if held.execution is not None:
            set_current(held.execution.outer)
            held.execution.close()

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        self.after_process_message(broker, message)


def of(broker: Broker, message: Any) -> tuple[HeldMessage, SettlingBroker]:
    """The message and the broker as what they are under Understudy's brokers."""
    if type(message) is HeldMessage:
        return message, broker  # type: ignore[return-value]  # no other broker makes one
    if not isinstance(broker, SettlingBroker) or not isinstance(message, HeldMessage):
        raise TypeError(
            f"Understudy's middleware needs one of Understudy's brokers, not {type(broker).__name__}: "
            "use understudy.install()"
        )
    return message, broker


def opened(message: HeldMessage) -> Execution:
    """The execution of a message that ``Executions`` has opened."""
    if message.execution is None:
        raise RuntimeError("the Executions middleware must stand before this one (see middleware/stack.py)")
    return message.execution
