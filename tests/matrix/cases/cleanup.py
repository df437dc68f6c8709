"""Clean-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import cleanup_tasks
from tasks.adapters import sweeping
from tasks.adapters.channel_memory import MemoryChannels
from tasks.cleanup_tasks import clean_up
from tasks.utils.retry_policies import STORE_RETRY
from tests.matrix.entries import Entry, matrix_entry
from tests.matrix.stops import assert_chain_stops
from tests.tasks.conftest import Store
from understudy import handle
from understudy.errors import TimeLimitExceeded

Drain = Callable[..., int]

#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 301
TRIES = 1 + (STORE_RETRY.max_retries or 0)
KINDS = ["quarantine", "unfinished", "notes"]


@matrix_entry("clean_up")
class CleanUp(Entry):
    def retry(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweeps = _Sweeps(monkeypatch)
        sweeps.fail_at = 2
        message = clean_up.send(KINDS)
        drain()
        assert handle(message).status == "RETRY"
        sweeps.fail_at = 0
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get()["failed"] == []
        assert sorted(sweeps.done) == sorted(KINDS)  # none twice

        sweeps.fail_at = len(sweeps.done) + 1
        hopeless = clean_up.send(["notes"])
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).retries == TRIES - 1
        assert handle(hopeless).get()["failed"] == [{"kind": "notes", "error": "away"}]

    def timeout(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _Sweeps(monkeypatch).before = lambda: freezer.tick(1_801)
        message = clean_up.send(KINDS)
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 1800 s"):
            handle(message).get()
        assert handle(message).retries == 0

    def partial_failure(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*args: Any, **options: Any) -> Any:
            raise OSError("away")

        monkeypatch.setattr(sweeping, "unfinished", away)
        message = clean_up.send(KINDS)
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(message).get()["failed"] == [{"kind": "unfinished", "error": "away"}]
        assert handle(message).progress == {"current": 3, "total": 3}

    def chain_stop(self, drain: Drain, store: Store, channels: MemoryChannels) -> None:
        assert_chain_stops(clean_up.message(["nothing of the kind"]), ValueError, drain, channels)

    def progress(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        sweeps, seen = _Sweeps(monkeypatch), list[Any]()
        message = clean_up.send(KINDS)
        sweeps.before = lambda: seen.append((handle(message).status, handle(message).info))
        drain()
        assert seen[1:] == [("PROGRESS", {"current": 1, "total": 3}), ("PROGRESS", {"current": 2, "total": 3})]
        assert handle(message).progress == {"current": 3, "total": 3}

    def idempotency(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        sweeps = _Sweeps(monkeypatch)
        first = clean_up.send_with_options(args=(KINDS,), idempotency_key="march")
        drain()
        clean_up.send_with_options(args=(KINDS,), message_id=first.message_id)
        same_key = clean_up.send_with_options(args=(KINDS,), idempotency_key="march")
        drain()
        assert sweeps.done == KINDS
        assert handle(first).get() == handle(same_key).get()


class _Sweeps:
    """Watches the kinds that are cleaned up; the ``fail_at``-th fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.fail_at = 0
        self.before: Callable[[], object] = lambda: None
        real = cleanup_tasks.sweep

        def sweep(kind: str, **options: Any) -> int:
            self.before()
            if self.fail_at and len(self.done) + 1 >= self.fail_at:
                raise OSError("away")
            count = real(kind, **options)
            self.done.append(kind)
            return count

        monkeypatch.setattr(cleanup_tasks, "sweep", sweep)
