"""What the workers of ``failpoints.py`` do."""

from __future__ import annotations

import time

from tests.chaos.journal import effect
from understudy import Idempotency, RateLimit, Unique, actor, chord
from understudy.canvas import Canvas
from understudy.execution import current

#: Seconds after which the start of a body is on the server, with a wide margin.
MARKED = 0.2


@actor(queue_name="chaos")
def leaf(name: str) -> str:
    """One effect, under the message's own id: two messages for one name are told apart."""
    execution = current()
    assert execution is not None
    effect(f"{name} {execution.message_id}")
    return name


@actor(queue_name="chaos")
def target(name: str, leaves: int) -> str:
    """Sends ``leaves`` messages that exist if this is committed."""
    effect(f"{name} begins")
    for number in range(leaves):
        leaf.send_with_options(args=(f"leaf-{number}",), when="committed")
    time.sleep(MARKED)
    effect(f"{name} ends")
    return name


@actor(queue_name="chaos")
def step(value: int) -> int:
    """A step of a workflow, or a member of a group: counts the steps."""
    _ran()
    return value + 1


@actor(queue_name="chaos")
def gather(values: list[int]) -> int:
    """The body of a chord."""
    _ran()
    return sum(values)


@actor(queue_name="chaos")
def tell(id: str, result: int) -> None:
    """Is told of the end of a message."""
    effect(f"told {id} {result}")


@actor(queue_name="chaos", unique=Unique(key="{members}"), on_success=tell)
def goes_on(members: int) -> Canvas:
    """Goes on as a chord."""
    _ran()
    return chord([step.message(number) for number in range(members)], gather.message())


@actor(queue_name="chaos", rate_limit=RateLimit(1_000), idempotency=Idempotency(on_doubt="skip"))
def guarded(name: str) -> str:
    """Behind a limit, and not repeated when it is in doubt."""
    effect(f"{name} runs")
    return name


def _ran() -> None:
    execution = current()
    assert execution is not None
    effect(f"ran {execution.message_id}")
