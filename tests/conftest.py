"""Shared by all tests: the broker of the unit tests, with the real middleware, is installed before any of them."""

from __future__ import annotations

import signal

import tasks
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url", "tasks"]

# Under `nohup`, or in the background of a script, these are ignored, and whatever a test starts inherits that. Tests of
# signals mean a terminal's.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
