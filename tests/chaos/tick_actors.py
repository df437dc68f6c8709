"""A job that is due every second, for chaos tests: each run is a line in the journal that says what it stands for."""

from __future__ import annotations

from middleware.stack import stack
from tests.chaos.journal import effect
from understudy import actor, fire_time, periodic
from understudy.runtime import install
from understudy.settings import Settings, load

settings = load(Settings)
install(settings, middleware=stack(settings))


@periodic(every=1, catch_up="all")
@actor(queue_name="chaos")
def tick() -> None:
    """One effect."""
    effect(str(fire_time()))
