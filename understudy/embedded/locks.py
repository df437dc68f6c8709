"""File locks (flock) with the two properties everything here stands on: the kernel drops them when the last
process that holds the descriptor dies, and a child that inherits the descriptor holds the lock too.

A lock is given up by closing its descriptor, never by LOCK_UN: that would unlock it for the children as well.
Lock files are never removed: someone might hold the one that has just lost its name.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

guard = threading.RLock()
"""Held around every descriptor that a forked child must not inherit: forks of other threads wait for it.
A child that inherited a supervisor's lock by accident would keep it for as long as it lives."""


def _renew_guard() -> None:
    global guard
    guard = threading.RLock()


def _take_guard() -> None:
    guard.acquire()


def _free_guard() -> None:
    guard.release()


os.register_at_fork(before=_take_guard, after_in_parent=_free_guard, after_in_child=_renew_guard)


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """The locked descriptor, or None when someone else holds the lock. Call it under ``guard``, or when
    forked children are meant to hold the lock too.

    Raises:
      OSError: when the file cannot be opened.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if is_named(descriptor, path):
            return descriptor
        os.close(descriptor)  # the directory was replaced in between


def is_named(descriptor: int, path: Path) -> bool:
    """Whether ``path`` still is the file behind ``descriptor``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Whether someone holds ``path`` exclusively."""
    if not path.exists():
        return False
    with guard:
        descriptor = try_lock(path, shared=True)
        if descriptor is not None:
            os.close(descriptor)
    return descriptor is None


def holders(wanted: os.stat_result) -> list[int]:
    """The other processes of this user that have the file open, whether or not it still has a name. Empty
    where there is no ``/proc``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(os.path.samestat(wanted, link.stat()) for link in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:  # ended in between, or not ours
            continue
    return sorted(found)


def count_shared(path: Path) -> int | None:
    """How many times ``path`` is locked in shared mode; None where the kernel does not tell."""
    try:
        inode = os.stat(path).st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = [line.split() for line in lines if " FLOCK " in line and "->" not in line]
    return sum(1 for field in fields if field[3] == "READ" and field[5].rsplit(":", 1)[-1] == str(inode))
