"""Workflows: what joins messages (``compose``), how it is numbered and stored (``compiling``), accepted (``running``),
and found again by its id (``handles``)."""

from __future__ import annotations

from .compose import Canvas, chain, chord, group, step
from .handles import WorkflowHandle, workflow

__all__ = ["Canvas", "WorkflowHandle", "chain", "chord", "group", "step", "workflow"]
