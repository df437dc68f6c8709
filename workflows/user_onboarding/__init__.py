"""A new user: a welcome, settings and a workspace, and a follow-up some days later unless the user leaves."""

from __future__ import annotations

from .follow_up import send_follow_up
from .orchestrator import leave, onboard, onboarding
from .send_welcome import send_welcome
from .setup_defaults import create_workspace, setup_defaults, undo_defaults

__all__ = ["STEPS", "leave", "onboard", "onboarding"]

#: The actors of the flow.
STEPS = (send_welcome, setup_defaults, create_workspace, undo_defaults, send_follow_up)
