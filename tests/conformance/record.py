"""``python -m tests.conformance.record PYTHON``: runs scenarios on a real Celery and compares with what was recorded.

``PYTHON`` is an interpreter that has Celery (``make conformance-celery`` passes that of the benchmarks). Behaviours
that take a killed worker, or minutes, are not run: their outcomes stay as they were recorded. Exit code 1 when Celery
does something else by now: then ``celery.json`` is due for a change, and so may be a verdict.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.understudy.brokers.servers import real_server

from .behaviours import BEHAVIOURS

SCENARIOS = Path(__file__).with_name("celery_scenarios.py")


def changes(seen: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each outcome that is not what was recorded."""
    return [
        f"{id} {name}: {value!r}, recorded {BEHAVIOURS[id].celery[name]!r}"
        for id, outcome in seen.items()
        for name, value in outcome.items()
        if not _as_recorded(BEHAVIOURS[id].celery[name], value)
    ]


def _as_recorded(recorded: Any, seen: Any) -> bool:
    if isinstance(recorded, dict) and "raised" in recorded and isinstance(seen, dict):
        # The arguments count where they were recorded.
        return bool(
            {**seen, "args": None} == {**recorded, "args": None}
            and recorded.get("args", seen.get("args")) == seen.get("args")
        )
    return bool(recorded == seen)


def main(python: str) -> int:
    with tempfile.TemporaryDirectory() as directory, real_server(Path(directory)) as server:
        ran = subprocess.run([python, str(SCENARIOS), server.url], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.stdout.write(ran.stderr)
        return 1
    seen = json.loads(ran.stdout)
    found = changes(seen)
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.stdout.write(f"{len(seen)} behaviours were run on Celery, {len(found)} outcomes are not as recorded\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
