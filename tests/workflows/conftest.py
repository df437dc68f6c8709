"""For tests of flows: the doubles of the outside world."""

from __future__ import annotations

from tests.tasks.conftest import smtp
from tests.tasks.stores import unsteady

__all__ = ["smtp", "unsteady"]
