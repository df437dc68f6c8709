"""What the scenarios run that needs a process of its own, or a class that a reader can import."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import tasks
from understudy import Retry, actor, each
from understudy.actors import Actor
from understudy.errors import SoftTimeLimitExceeded
from understudy.execution import current

assert tasks, "its import installs the broker"

P = ParamSpec("P")
R = TypeVar("R")


def scene(**options: Any) -> Callable[[Callable[P, R]], Actor[P, R]]:
    """An actor of these scenarios: the names of all others are those that their own tests gave."""

    def declare(function: Callable[P, R]) -> Actor[P, R]:
        return actor(actor_name=f"conformance_{function.__name__}", **options)(function)

    return declare


#: Long enough for every limit of these tests, and an end for what is never ended.
LONG = 30.0


class Boom(Exception):
    """What a body raises."""


class TwoArgs(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("only-one")


def note(journal: str, word: object) -> None:
    """Append a line, in one write."""
    handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with contextlib.closing(open(handle, "a", encoding="utf-8")) as file:
        file.write(f"{word}\n")


def noted(journal: Path) -> list[str]:
    """The lines so far."""
    return journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []


def _redelivered() -> bool:
    execution = current()
    assert execution is not None
    return execution.redelivered


# -- limits (T) ----------------------------------------------------------------------------------------------


@scene(soft_time_limit=0.3, time_limit=LONG)
def sleeps(journal: str) -> None:
    note(journal, os.getpid())
    time.sleep(LONG)


@scene(time_limit=LONG)
def where(journal: str) -> int:
    return os.getpid()


@scene(soft_time_limit=0.3, time_limit=LONG)
def cleans_up() -> str:
    try:
        time.sleep(LONG)
    except SoftTimeLimitExceeded:
        return "cleaned"
    return "never told"


@scene(time_limit=0.5, retry=Retry(3, backoff=0))
def too_long(journal: str) -> None:
    note(journal, os.getpid())
    time.sleep(LONG)


@scene(soft_time_limit=0.3, time_limit=LONG, retry=Retry(1, on=SoftTimeLimitExceeded, backoff=0))
def retried(journal: str) -> None:
    note(journal, "run")
    time.sleep(LONG)


@scene(soft_time_limit=0.3, time_limit=1.0)
def swallows(journal: str) -> None:
    note(journal, None)
    try:
        time.sleep(LONG)
    except Exception as error:  # noqa: BLE001 - that is the scenario
        note(journal, type(error).__name__)
    time.sleep(LONG)


@scene(soft_time_limit=LONG / 2, time_limit=LONG)
def limits() -> list[float | None]:
    execution = current()
    assert execution is not None
    return [execution.time_limit, execution.soft_time_limit]


@scene(time_limit=LONG)
def terminated(journal: str) -> None:
    note(journal, os.getpid())
    time.sleep(LONG)


@scene(time_limit=LONG)
def numbers(journal: str) -> None:
    """Notes an item when it begins, and again when it is done."""
    for number in each(range(1_000), key=str):
        note(journal, number)
        time.sleep(0.02)
        note(journal, number)


# -- the end of a process (W) --------------------------------------------------------------------------------


@scene(queue_name="conformance", track_started=False, retry=Retry(3))
def dies(journal: str, times: int) -> str:
    """Kills its process so many times."""
    note(journal, _redelivered())
    if len(noted(Path(journal))) <= times:
        # The mark of a body that has begun is written a moment later; a death before it does not count.
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@scene(queue_name="conformance")
def pid() -> int:
    return os.getpid()


@scene(queue_name="conformance")
def leaves(journal: str) -> None:
    note(journal, os.getpid())
    sys.exit(3)


@scene(queue_name="conformance")
def waits(journal: str, gate: str) -> str:
    """Notes its process, and waits until the file ``gate`` is there."""
    note(journal, os.getpid())
    while not Path(gate).exists():
        time.sleep(0.01)
    return "done"


@scene(queue_name="conformance", track_started=False)
def untracked(journal: str, gate: str) -> str:
    note(journal, "start")
    while not Path(gate).exists():
        time.sleep(0.01)
    note(journal, "end")
    return "done"


@scene(queue_name="conformance")
def tracked(journal: str, gate: str) -> Any:
    return untracked.fn(journal, gate)
