"""Subjects, entries and a capability planted to try the rules on. None is registered where production would find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, Retry, handle
from understudy.errors import TimeLimitExceeded
from understudy.options import ActorOptions

from .capabilities import AWAITED, Capability
from .entries import Due, Entry
from .excuses import NO_COLLECTION, PURE, SHORT_WORK
from .subjects import Kind, Subject

Drain = Callable[..., int]

AWAITED["tomorrow"] = Capability("a day that never comes", frozenset({"chain_stop"}), exists=lambda: False)

#: What it has done.
greeted: list[str] = []
#: What it will meet, one per run: an error, or something that happens to it.
troubles: list[Exception | Callable[[], object]] = []


def _local() -> Callable[[str], str]:
    # A local function: an actor made of a module's own one outlives the stage that it was declared on.
    def greet(name: str) -> str:
        trouble = troubles.pop(0) if troubles else None
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            trouble()
        greeted.append(name)
        return f"Hello, {name}."

    return greet


greet = _local()


OPTIONS: dict[str, Any] = {
    "retry": Retry(1, backoff=5, jitter="none"),
    "idempotency": Idempotency(),
    "expected_duration": 0.1,
    "time_limit": 5.0,
}


class Greet(Entry):
    """In order on every row."""

    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, greet: Any) -> None:
        troubles.append(OSError("not now"))
        message = greet.send("Ada")
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(5)
        drain()
        assert handle(message).get() == "Hello, Ada."
        assert handle(message).retries == 1

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, greet: Any) -> None:
        troubles.append(lambda: freezer.tick(6))
        message = greet.send("Ada")
        drain()
        assert type(handle(message).result) is TimeLimitExceeded

    partial_failure = NO_COLLECTION
    chain_stop = Due("tomorrow")
    progress = SHORT_WORK

    def idempotency(self, drain: Drain, greet: Any) -> None:
        first = greet.send_with_options(args=("Ada",), idempotency_key="Ada")
        second = greet.send_with_options(args=("Ada",), idempotency_key="Ada")
        drain()
        assert greeted == ["Ada"]
        assert handle(first).get() == handle(second).get() == "Hello, Ada."


class CannotFail(Entry):
    """Its cases look like tests and prove nothing."""

    def retry(self, drain: Drain) -> None:
        """Nothing at all."""

    def timeout(self, drain: Drain) -> None:
        assert True

    def partial_failure(self, greet: Any) -> None:
        message = greet.send("Ada")
        assert message.actor_name == "greet"

    def progress(self, drain: Drain) -> None:
        assert drain() == 0

    def idempotency(self, drain: Drain, greet: Any) -> None:
        message = greet.send("Ada")
        drain()
        assert handle(message).ready()


class WrongExcuses(Greet):
    """Excuses that do not exist."""

    retry = PURE  # type: ignore[assignment]
    timeout = Due("tomorrow")  # type: ignore[assignment]
    partial_failure = "not worth it"  # type: ignore[assignment]
    chain_stop = Due("a better world")
    idempotency = PURE  # type: ignore[assignment]


def planted(function: Callable[..., Any], *, kind: Kind = "actor", name: str = "", **options: Any) -> Subject:
    """A subject made of a plain function, without a broker."""
    return Subject(name or function.__name__, kind, function, ActorOptions(**options), ())
