"""Actors whose bodies run in a process of their own. A child imports this module as a worker would."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import dramatiq

import tasks
import understudy
from understudy import Idempotency, RateLimit, Retry, each, progress
from understudy.actors import Actor
from understudy.errors import HandBack, SoftTimeLimitExceeded
from understudy.execution import current
from understudy.pacing import turn

assert tasks, "its import installs the broker"

NO_WAIT: dict[str, Any] = {"backoff": 0, "jitter": "none"}


P = ParamSpec("P")
R = TypeVar("R")


def actor(**options: Any) -> Callable[[Callable[P, R]], Actor[P, R]]:
    """Under a name of its own: these stand on the broker of every test of a session."""

    def declare(function: Callable[P, R]) -> Actor[P, R]:
        return understudy.actor(actor_name=f"isolation.{function.__name__}", **options)(function)

    return declare


class Awkward(Exception):
    """Its constructor takes other arguments than it passes on (S07), and it keeps something that cannot travel."""

    def __init__(self, code: int, *, lock: bool = True) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.lock = threading.Lock() if lock else None


@dataclass
class Point:
    x: int
    y: int


def _seen() -> dict[str, Any]:
    execution = current()
    assert execution is not None
    return {
        "message_id": execution.message_id,
        "retries": execution.retries,
        "last": execution.last_attempt,
        "limits": [execution.time_limit, execution.soft_time_limit],
        "token": execution.token,
    }


@actor(time_limit=20, soft_time_limit=10)
def where() -> dict[str, Any]:
    collector = {"collects": gc.isenabled(), "kept": gc.get_freeze_count()}
    return {"pid": os.getpid(), "group": os.getpgid(0), "parent": os.getppid(), **collector, **_seen()}


@actor(isolation="thread", time_limit=20)
def in_a_thread() -> int:
    return os.getpid()


@actor(isolation="process")
def without_limits() -> list[Any]:
    return [os.getpid(), _seen()["limits"]]


@actor(time_limit=20)
def takes_turns(count: int) -> list[float]:
    return [turn(RateLimit(1, per=1_000, burst=2, key="turns:{what}"), what="x") for _ in range(count)]


@actor()
def plain() -> int:
    return os.getpid()


@actor(time_limit=20)
def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [args, kwargs]


@actor(time_limit=20)
def point(x: int, y: int) -> Point:
    return Point(x, y)


@actor(time_limit=20)
def raises(what: str) -> NoReturn:
    try:
        raise KeyError("the cause")
    except KeyError as error:
        match what:
            case "awkward":
                raise Awkward(7) from error
            case "group":
                raise ExceptionGroup("two", [ValueError("one"), Awkward(2)]) from None
            case "local":

                class LocalError(Exception):
                    pass

                raise LocalError("not importable") from None
            case "exit":
                sys.exit(3)
            case "asked":
                raise dramatiq.Retry("once more", delay=60_000) from error  # not due again within the test
            case _:
                raise LookupError(what) from None


@actor(time_limit=20, retry=Retry(2, on=Awkward, **NO_WAIT))
def retried() -> int:
    execution = current()
    assert execution is not None
    if execution.retries < 2:
        raise Awkward(execution.retries)
    return execution.retries


@actor(time_limit=20)
def unsendable(what: str) -> Any:
    if what == "lock":
        return {"deep": [threading.Lock()]}
    return "x" * 50_000_000


@actor(time_limit=20)
def count(n: int) -> dict[str, Any]:
    items = each(list(range(n)), key=str)
    done = list(items)
    return {"done": done, "successful": items.successful}


@actor(time_limit=20, retry=Retry(1, **NO_WAIT))
def fails_at(n: int, bad: int) -> list[int]:
    done = []
    execution = current()
    assert execution is not None
    for item in each(list(range(n)), key=str):
        if item == bad and execution.retries == 0:
            raise ConnectionError("no")
        done.append(item)
    return done


@actor(time_limit=20)
def asks(until: str) -> int:
    """Hands itself back at the next item when it is told so, and creates a file to be told."""
    execution = current()
    assert execution is not None
    done = 0
    for _ in each(range(3), key=str):
        done += 1
        Path(until).touch()
        execution.stopping.wait(20)
    return done


@actor(time_limit=20)
def reports(n: int) -> None:
    for number in range(n):
        progress.update(number + 1, n, note="so far")


@actor(time_limit=0.7)
def reports_and_hangs() -> None:
    progress.update(1, 3)
    progress.update(2, 3)
    time.sleep(60)


@actor(time_limit=60)
def hangs(began: str) -> None:
    Path(began).touch()
    time.sleep(60)


@actor(time_limit=60)
def loops(began: str) -> None:
    for _ in each(range(10_000), key=str):
        Path(began).touch()
        time.sleep(0.02)


@actor(time_limit=20)
def line() -> list[Any]:
    execution = current()
    assert execution is not None
    return [execution.headers, execution.parent_id, execution.root_id, list(execution.args)]


@actor(time_limit=20)
def sends(fail: bool, too_much: bool = False) -> str:
    now = plain.send()
    echo.send_with_options(args=("later",), when="committed")
    if too_much:
        echo.send(threading.Lock())
    if fail:
        raise ValueError(now.message_id)
    return now.message_id


# -- bodies that do not end ----------------------------------------------------------------------------------


@actor(time_limit=0.5, retry=Retry(3, **NO_WAIT))
def sleeps() -> None:
    time.sleep(60)


@actor(time_limit=0.5)
def loops_in_c() -> int:
    return sum(range(10**11))


@actor(time_limit=0.5)
def backtracks() -> bool:
    return re.match(r"(a+)+$", "a" * 40 + "b") is not None


@actor(time_limit=0.5)
def swallows() -> NoReturn:
    while True:
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@actor(time_limit=0.5)
def deaf() -> None:
    """Takes away what would have ended it from inside."""
    import faulthandler

    faulthandler.cancel_dump_traceback_later()
    time.sleep(60)


@actor(time_limit=1)
def starts_a_program(pid_file: str) -> None:
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pid_file).write_text(str(program.pid))
    program.wait()


# -- soft limits ---------------------------------------------------------------------------------------------


@actor(time_limit=20, soft_time_limit=0.3)
def slow(catch: bool) -> str:
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        if not catch:
            raise
    return "caught"


@actor(time_limit=2, soft_time_limit=0.2)
def swallows_softly() -> list[str]:
    caught = []
    for _ in range(2):
        try:
            time.sleep(0.5)
        except Exception as error:  # noqa: BLE001 - as a careless body does
            caught.append(type(error).__name__)
    return caught


@actor(time_limit=20, soft_time_limit=0.2, retry=Retry(1, on=SoftTimeLimitExceeded, **NO_WAIT))
def slow_once() -> str:
    execution = current()
    assert execution is not None
    if execution.retries == 0:
        time.sleep(60)
    return "the second time"


@actor(time_limit=20, soft_time_limit=0.2)
def slow_loop() -> int:
    """Is interrupted in the middle of questions."""
    done = 0
    while True:
        for _ in each(range(1_000_000), key=str, name=str(done)):
            done += 1


# -- deaths --------------------------------------------------------------------------------------------------


def _die(how: str) -> None:
    if how == "segfault":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGKILL)


@actor(time_limit=20)
def dies(how: str) -> None:
    _die(how)


@actor(time_limit=20)
def dies_at(item: int, marker: str) -> list[int]:
    done = []
    for number in each(range(4), key=str, on_doubt="skip"):
        if number == item and not Path(marker).exists():
            Path(marker).touch()
            _die("kill")
        done.append(number)
    return done


@actor(time_limit=20, idempotency=Idempotency(on_doubt="skip"))
def never_twice(marker: str) -> None:
    Path(marker).touch()
    _die("kill")


@actor(time_limit=20, retry=Retry(1, **NO_WAIT))
def raises_what_only_it_knows(log: str) -> None:
    class Local(Exception):
        """Cannot be found by any other process."""

    with open(log, "a", encoding="utf-8") as file:
        file.write("run\n")
    raise Local("once more")


@actor(time_limit=20)
def waits_for(message_id: str, timeout: float) -> Any:
    return understudy.handle(message_id).get(timeout=timeout, disable_sync_subtasks=False)


@actor(time_limit=20)
def waits_unasked(message_id: str) -> Any:
    return understudy.handle(message_id).get(timeout=1)


@actor(time_limit=20)
def gives_back(log: str) -> list[bool]:
    execution = current()
    assert execution is not None
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{execution.redelivered}\n")
    seen = Path(log).read_text(encoding="utf-8").split()
    if len(seen) == 1:
        raise HandBack("not yet")
    return [word == "True" for word in seen]


@actor(memory_limit="300MiB", retry=Retry(3, **NO_WAIT))
def grows(log: str, most: int) -> int:
    """Takes memory until it has ``most`` MiB."""
    with open(log, "a", encoding="utf-8") as file:
        file.write("run\n")
    taken: list[bytes] = []
    while len(taken) < most:
        taken.append(os.urandom(1) * 2**20)
    return os.getpid()


_kept: list[bytes] = []


@actor(memory_limit="400MiB")
def leaks() -> int:
    """Leaves more behind in its process than a body with a limit should find there."""
    _kept.append(os.urandom(1) * 100 * 2**20)
    return os.getpid()


@actor(memory_limit="400MiB")
def sees_its_memory_limit() -> list[int | None]:
    execution = current()
    assert execution is not None
    return [os.getpid(), execution.memory_limit]


class SlowDown(Exception):
    """Keeps a response that cannot travel to the worker."""

    def __init__(self) -> None:
        super().__init__("slow down")
        self.response = _Response()


class _Response:
    def __init__(self) -> None:
        self.headers = {"Retry-After": "33"}
        self.lock = threading.Lock()


@actor(time_limit=20, retry=Retry(3))
def asks_again(n: int) -> None:
    raise understudy.retry(exc=ValueError("again"), delay=60, args=(n + 1,))


@actor(time_limit=20, retry=Retry(3))
def asks_and_goes_on() -> str:
    understudy.retry(delay=60, throw=False)
    return "first"


@actor(time_limit=20, retry=Retry(3))
def is_told_to_wait() -> None:
    raise SlowDown


@actor(time_limit=60)
def stumbles(log: str, always: bool) -> int:
    """Kills its process at every other item, the first time that it comes there; or always, at the third one."""
    items = each(range(8), key=str, on_doubt="repeat")
    for item in items:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{item}\n")
        tries = Path(log).read_text(encoding="utf-8").split().count(str(item))
        if (always and item == 2) or (not always and item % 2 and tries == 1):
            os.kill(os.getpid(), signal.SIGKILL)
    return items.successful
