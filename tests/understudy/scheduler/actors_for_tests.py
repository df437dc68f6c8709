"""Periodic jobs at the top of a module, where a process of its own finds them."""

from __future__ import annotations

import os
from datetime import datetime

import tasks
from understudy import actor, fire_time, periodic

assert tasks  # it has installed the broker


@periodic(cron="0 21 * * *", timezone="Asia/Tokyo")
@actor(time_limit=30)
def told() -> tuple[int, datetime | None]:
    """In which process it runs, and for when."""
    return os.getpid(), fire_time()
