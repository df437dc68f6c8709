"""What joins work: multi-step flows. Importing it imports the actors that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tasks
from understudy.actors import Actor
from workflows import data_pipeline, user_onboarding

__all__ = ["FLOWS", "Flow", "data_pipeline", "tasks", "user_onboarding"]


@dataclass(frozen=True)
class Flow:
    """A flow: what begins it, and the actors that do its work. Each has its entry in the test matrix."""

    name: str
    begin: Callable[..., Any]
    actors: tuple[Actor[..., Any], ...]


FLOWS = (
    Flow("data_pipeline", data_pipeline.run_pipeline.fn, data_pipeline.STEPS),
    Flow("user_onboarding", user_onboarding.onboard, user_onboarding.STEPS),
)
