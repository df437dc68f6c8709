"""A file into a table: extract, validate, transform, load."""

from __future__ import annotations

from . import load, transform, validate
from .rows import row_model
from .transform import transformation

__all__ = ["load", "row_model", "transform", "transformation", "validate"]
