"""Shared by all tests: the broker of the unit tests, with the real middleware, is installed before any of them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

import tasks
from tests.postgres import postgres_server, postgres_url
from tests.quick import hurry

__all__ = ["postgres_server", "postgres_url", "tasks"]

# Under `nohup`, or in the background of a script, these are ignored, and whatever a test starts inherits that. Tests of
# signals mean a terminal's.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hurry()


@pytest.fixture(autouse=True)
def hooks_of_pytest() -> Iterator[None]:
    """Put back what a test of logging has set: else no later test would fail when a thread ends with an exception."""
    hooks = threading.excepthook, sys.excepthook, sys.unraisablehook
    yield
    threading.excepthook, sys.excepthook, sys.unraisablehook = hooks
