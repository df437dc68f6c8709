"""File locks: who holds them, and when they are free."""

from __future__ import annotations

import os
from pathlib import Path

from understudy.embedded import locks


def take(path: Path, *, shared: bool = False) -> int:
    descriptor = locks.try_lock(path, shared=shared)
    assert descriptor is not None
    return descriptor


def test_one_exclusive_holder_or_many_shared_ones(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, two = take(path, shared=True), take(path, shared=True)
    assert locks.try_lock(path) is None
    assert locks.count_shared(path) == 2
    os.close(one)
    os.close(two)
    held = take(path)
    assert locks.try_lock(path, shared=True) is None
    assert locks.is_locked(path)
    os.close(held)
    assert not locks.is_locked(path)


def test_a_forked_child_keeps_the_lock_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = take(path)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    os.close(held)
    assert locks.is_locked(path)
    assert locks.holders(path.stat()) == [child]
    os.close(writer)
    os.waitpid(child, 0)
    assert not locks.is_locked(path)


def test_asking_does_not_make_the_file(tmp_path: Path) -> None:
    assert not locks.is_locked(tmp_path / "lock")
    assert locks.count_shared(tmp_path / "lock") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_replaced_is_not_the_one_that_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = take(path)
    assert locks.is_named(held, path)
    path.unlink()
    assert not locks.is_named(held, path)
    new = take(path)
    assert not locks.is_named(held, path)
    os.close(held)
    os.close(new)


def test_a_fork_waits_for_the_guard_and_the_child_gets_a_free_one() -> None:
    with locks.guard:
        child = os.fork()
        if child == 0:
            os._exit(0 if locks.guard.acquire(blocking=False) else 1)
    _, code = os.waitpid(child, 0)
    assert code == 0
