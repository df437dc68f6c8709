"""A file into a table: extract, validate, transform, load."""

from __future__ import annotations

from . import load, transform, validate
from .orchestrator import run_pipeline
from .rows import row_model
from .transform import transformation

__all__ = ["load", "row_model", "run_pipeline", "transform", "transformation", "validate"]
