"""Celery beat; with REDBEAT set, redbeat: its defaults, or with a lock of so many seconds."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import after_task_publish

from benchmarks.ticking.peers.notes import note

URL = os.environ["REDIS_URL"]
REDBEAT = os.environ.get("REDBEAT", "")

app: Any = Celery("ticking", broker=URL, backend="disabled://")
app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 1.0}}
app.conf.timezone = "UTC"
if REDBEAT:
    app.conf.beat_scheduler = "redbeat.RedBeatScheduler"
    app.conf.redbeat_redis_url = URL
if REDBEAT.isdecimal():
    app.conf.redbeat_lock_timeout = int(REDBEAT)
    app.conf.beat_max_loop_interval = 1


@app.task(name="tick")  # type: ignore[untyped-decorator]  # Celery has no types
def tick() -> None:
    """Nobody runs it: it is counted where it is sent."""


after_task_publish.connect(note, weak=False)

if __name__ == "__main__":
    app.start(["beat", "--loglevel", "INFO", "--schedule", f"schedule-{os.getpid()}", *sys.argv[1:]])
