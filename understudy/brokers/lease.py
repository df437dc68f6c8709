"""The worker's side of its lease: starts and stops the helper that renews it (``pulse.py``)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from understudy.storage import scripts
from understudy.storage.client import Storage

logger = logging.getLogger(__name__)

_PULSE = Path(__file__).with_name("pulse.py")


class Lease:
    """Keeps the lease of ``worker`` alive as long as this process lives and is not stopped.

    Args:
      key: the hash of leases.
      interval: seconds between two beats.
    """

    def __init__(self, storage: Storage, *, key: str, worker: str, interval: float) -> None:
        self._storage = storage
        self._what = {"key": key, "worker": worker, "interval": interval, "script": scripts.source("beat")}
        self._helper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the helper, in place of one that has ended."""
        self.stop()
        what: dict[str, Any] = {**self._what, **self._storage.address(), "pid": os.getpid()}
        self._helper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PULSE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is for the worker, which has messages to finish
        )
        assert self._helper.stdin is not None
        # By standard input: a password does not belong on a command line.
        self._helper.stdin.write(json.dumps(what).encode() + b"\n")
        self._helper.stdin.flush()

    def alive(self) -> bool:
        """Whether the helper runs."""
        return self._helper is not None and self._helper.poll() is None

    def stop(self) -> None:
        """End the helper; the lease runs out."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        if helper.stdin is not None:
            helper.stdin.close()
        helper.terminate()
        helper.wait()
