"""Who is compared, and how a scheduler of each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process import CELERY_PYTHON


@dataclass(frozen=True)
class Contender:
    """A scheduler: ``module`` is run by ``python``, told the server by ``url_name``.

    Args:
      says_what_for: its ticks name the second that they are for, so that doubled and missing ones are known exactly.
    """

    label: str
    module: str
    python: Path = CELERY_PYTHON
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    says_what_for: bool = False

    @property
    def command(self) -> list[str]:
        """How it is started."""
        return [str(self.python), "-m", self.module, *self.arguments]


PEERS = "benchmarks.ticking.peers"
CONTENDERS = (
    Contender(
        "Understudy",
        "understudy.cli",
        Path(sys.executable),
        ("scheduler", f"{PEERS}.ours"),
        says_what_for=True,
    ),
    Contender("APScheduler, one Redis store", f"{PEERS}.apscheduler_store"),
    Contender("Celery beat", f"{PEERS}.beat"),
    Contender("redbeat, defaults", f"{PEERS}.beat", environ={"REDBEAT": "default"}),
    Contender("redbeat, lock of 5 s", f"{PEERS}.beat", environ={"REDBEAT": "5"}),
)
