"""How much memory a child takes, and when that is too much for a body with a ``memory_limit``.

What counts is the resident memory of the child's process, with the interpreter and the modules in it; not that of
programs that a body starts. The worker's thread waits for its child anyway, and looks now and then.
"""

from __future__ import annotations

import os
import subprocess

from understudy.errors import MemoryLimitExceeded
from understudy.sizes import written

HAS_PROC = os.path.exists("/proc/self/statm")
#: Seconds between two looks. On systems without /proc a look takes a process.
INTERVAL = 0.02 if HAS_PROC else 0.5
#: The share of what a body may take that an earlier one may have left behind in the child.
LEFT_BEHIND = 0.1


def resident(pid: int) -> int:
    """Bytes of memory that a process has in use; 0 when it is gone."""
    if HAS_PROC:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(shown.stdout.strip() or 0) * 1024


class Watch:
    """Watches one child through one body.

    Args:
      pid: the child.
      limit: how many bytes it may take.
    """

    def __init__(self, pid: int, limit: int) -> None:
        self._pid = pid
        self._limit = limit
        self._taken = 0

    def is_over(self) -> bool:
        """Look; whether it takes more than it may."""
        self._taken = resident(self._pid)
        return self._taken > self._limit

    def error(self, where: str = "") -> MemoryLimitExceeded:
        """What the message fails with; ``where`` goes on after a sentence."""
        return MemoryLimitExceeded(
            f"the body was stopped at its memory limit of {written(self._limit)}: its process took "
            f"{written(self._taken)}{where}"
        )

    def no_room(self) -> MemoryLimitExceeded:
        """What it fails with when there is no room for any body."""
        return MemoryLimitExceeded(
            f"the memory limit of {written(self._limit)} is below what a process takes before any body begins, "
            f"{written(self._taken)}: raise memory_limit"
        )


def is_used_up(bare: int, taken: int, limit: int) -> bool:
    """Whether a child keeps so much of earlier bodies that the next one, with this limit, gets a fresh one.

    Args:
      bare: what it took before its first body.
    """
    return taken - bare > LEFT_BEHIND * max(0, limit - bare)
