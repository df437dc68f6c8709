"""A child process as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .spec import BenchmarkError, Spec

ROOT = Path(__file__).resolve().parents[1]
#: The environment that `make bench` makes for Celery alone.
CELERY_PYTHON = ROOT / ".venv-bench/bin/python"


def interpreter(side: str) -> Path:
    """The Python that runs processes of ``side``."""
    return CELERY_PYTHON if side == "celery" else Path(sys.executable)


class Process:
    """Starts a child; leaving the context kills it with everything that it started and did not detach."""

    def __init__(self, spec: Spec, log: Path, environ: Mapping[str, str]) -> None:
        self._log = log
        self._buffer = b""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
        with log.open("wb") as errors:
            self._child = subprocess.Popen(
                [interpreter(spec.side), "-P", "-m", "benchmarks.child", spec.dumps()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=log.parent,
                env={**inherited, **environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, order: str, *, timeout: float = 60.0, **arguments: Any) -> dict[str, Any]:
        """Give an order and wait for its answer, ``timeout`` seconds at the most.

        Raises:
          BenchmarkError: the child failed, died or stayed silent.
        """
        self.tell(order, **arguments)
        return self.answer(timeout)

    def tell(self, order: str, **arguments: Any) -> None:
        """Give an order; take its answer later."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({"order": order, "arguments": arguments}).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._trouble("has ended") from None

    def answer(self, timeout: float = 60.0) -> dict[str, Any]:
        """The answer to the oldest order that has none yet."""
        assert self._child.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._child.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise self._trouble(f"did not answer within {timeout:g} seconds")
            part = os.read(self._child.stdout.fileno(), 1 << 20)
            if not part:
                raise self._trouble("has ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise self._trouble(f"says {found['error']}")
        return found

    def kill(self) -> None:
        """As ``kill -9`` of this one process; what it had started stays."""
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child.returncode is None:  # not reaped, so the number is still its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _trouble(self, what: str) -> BenchmarkError:
        tail = "".join(f"\n    {line}" for line in self._log.read_text(errors="replace").splitlines()[-12:])
        return BenchmarkError(f"process {self._child.pid} {what}{tail}")
