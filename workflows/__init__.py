"""What joins work: multi-step flows. Importing it imports the actors that they are made of."""

from __future__ import annotations

import tasks
from workflows import data_pipeline, user_onboarding

__all__ = ["data_pipeline", "tasks", "user_onboarding"]
