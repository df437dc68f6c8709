"""The periodic job of the demo. A module of its own: the demo's schedulers import it after ``tasks``."""

from __future__ import annotations

from understudy import actor, periodic

from .ticking import INTERVAL


@periodic(every=INTERVAL, catch_up="all")
@actor(queue_name="demo", ignore_result=True)
def demo_tick() -> None:
    """Twice a second."""
