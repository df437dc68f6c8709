"""Shared by all tests: the broker of the unit tests, with the real middleware, is installed before any of them."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import ModuleType

import freezegun.api
import pytest

import tasks
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url", "tasks"]

# Under `nohup`, or in the background of a script, these are ignored, and whatever a test starts inherits that. Tests of
# signals mean a terminal's.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _as_it_was_seen(module: ModuleType) -> str:
    return f"{id(module)}-{len(getattr(module, '__dict__', ()))}"


# Whether a module has changed since time was frozen before: by how many names it has. freezegun sorts all of them, of a
# thousand modules, whenever it begins: a twelfth of the time of tests in one thread.
assert callable(freezegun.api._get_module_attributes_hash)
freezegun.api._get_module_attributes_hash = _as_it_was_seen

# Tracebacks that are logged underline the whole call, and not the part of it that Python finds by parsing the line: in
# tests of bodies that fail that takes as long as to settle them.
if hasattr(traceback, "_extract_caret_anchors_from_line_segment"):
    traceback._extract_caret_anchors_from_line_segment = lambda segment: None


@pytest.fixture(autouse=True)
def hooks_of_pytest() -> Iterator[None]:
    """Put back what a test of logging has set: else no later test would fail when a thread ends with an exception."""
    hooks = threading.excepthook, sys.excepthook, sys.unraisablehook
    yield
    threading.excepthook, sys.excepthook, sys.unraisablehook = hooks
