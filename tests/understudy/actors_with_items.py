"""Actors that work with ``each`` in a process of their own. A child imports this module as a worker would."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import tasks
from tests.understudy.loops import loop
from understudy import Retry, progress
from understudy.actors import actor
from understudy.execution import current

assert tasks, "its import installs the broker"


@actor(actor_name="items.dies_at_4", time_limit=30.0)
def dies_at_4(journal: str, mode: str) -> dict[str, Any]:
    """Writes down every item; the first time its process dies in the middle of 4."""
    items = loop(mode, range(10), batch=3, on_doubt="skip")
    for item in items:
        with Path(journal).open("a") as lines:
            lines.write(f"{item}\n")
        if item == 4:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"successful": items.successful, "in_doubt": items.in_doubt, "failures": sorted(items.failures)}


@actor(actor_name="items.waits_at_2", time_limit=60.0)
def waits_at_2(told: str, mode: str) -> list[int]:
    """In the middle of 2 it waits for the sign to stop, once."""
    execution = current()
    assert execution is not None
    items = loop(mode, range(7), batch=5, on_doubt="skip")
    for item in items:
        if item == 2 and not Path(told).exists():
            Path(told).touch()
            execution.stopping.wait(30)
    return [items.successful, items.in_doubt]


@actor(actor_name="items.advances", time_limit=30.0, retry=Retry(1, backoff=0, jitter="none"))
def advances() -> None:
    """Two steps, and a failure; then one step."""
    execution = current()
    assert execution is not None
    progress.advance()
    if not execution.retries:
        progress.advance()
        raise ValueError
