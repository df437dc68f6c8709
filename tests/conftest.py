"""Shared by all tests: the broker of the unit tests, with the real middleware, is installed before any of them."""

from __future__ import annotations

import signal
import sys
import threading
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


@pytest.fixture(autouse=True)
def hooks_of_pytest() -> Iterator[None]:
    """Put back what a test of logging has set: else no later test would fail when a thread ends with an exception."""
    hooks = threading.excepthook, sys.excepthook, sys.unraisablehook
    yield
    threading.excepthook, sys.excepthook, sys.unraisablehook = hooks
