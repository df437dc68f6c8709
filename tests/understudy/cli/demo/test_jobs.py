"""The periodic job of the demo, in a process of its own: here it would stand among the actors of the application."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.house.project import ROOT

PROGRAM = """
import tasks, understudy.cli.demo.jobs
from understudy.scheduler.jobs import jobs_of
job = jobs_of(tasks.broker)["demo_tick"]
print(job.ticks, job.catch_up)
"""


def test_it_is_due_twice_a_second_and_none_is_lost_with_the_leader() -> None:
    env = {**os.environ, "BROKER_URL": "stub://"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "every 0.5 s all"
