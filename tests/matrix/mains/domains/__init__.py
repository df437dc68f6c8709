"""Every main actor, by the kind of its effects. Importing it fills ``MAINS``."""

from __future__ import annotations

from . import files, messages, rows

__all__ = ["files", "messages", "rows"]
