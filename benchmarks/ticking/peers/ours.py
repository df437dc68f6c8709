"""Understudy: no tick is lost with the leader (``catch_up="all"``), as the others would have it."""

from __future__ import annotations

from middleware.stack import stack
from understudy import actor, periodic
from understudy.runtime import install
from understudy.settings import Settings, load

settings = load(Settings)
install(settings, middleware=stack(settings))


@periodic(every=1, catch_up="all")
@actor
def tick() -> None:
    """Nobody runs it: it is counted where it is sent."""
