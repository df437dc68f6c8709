"""What a reader must know of the machine to judge the figures."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from understudy import clock

from .contenders import CELERY, STOCK, UNDERSTUDY
from .lab import Fsync, fresh_server
from .process import interpreter

PINNED = "each worker process is bound to one core"
UNPINNED = "no process is bound to a core"


def describe(fsync: Fsync, *, pin: bool = False, tcp: bool = False) -> dict[str, str]:
    """Name -> value. Starts a server and a process of each side, to ask them."""
    versions: dict[str, str] = {}
    with fresh_server(fsync, tcp=tcp) as server:
        facts = server.facts()
        for contender in (UNDERSTUDY, STOCK, CELERY):
            if interpreter(contender.side).exists():
                with server.bench(contender, capacity=0) as bench:
                    found = bench.sender().ask("facts")["versions"]
                for name, version in found.items():
                    name = "redis-py" if name == "redis" else name
                    versions.setdefault(name, version)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "Date": clock.utc(clock.now()).strftime("%Y-%m-%d %H:%M UTC"),
        "Cores": f"{cores}, shared by the server, the workers and the sender; {PINNED if pin else UNPINNED}",
        "Processor": _processor(),
        "System": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "Server": facts,
        "Libraries": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Load before the run": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
