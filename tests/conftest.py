"""Shared by all tests: the broker of the unit tests, with the real middleware, is installed before any of them."""

from __future__ import annotations

import tasks

__all__ = ["tasks"]
