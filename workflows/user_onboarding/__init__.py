"""A new user: a welcome, settings and a workspace, and a follow-up some days later unless the user leaves."""

from __future__ import annotations

from .orchestrator import leave, onboard, onboarding

__all__ = ["leave", "onboard", "onboarding"]
