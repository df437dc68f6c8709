"""Import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import import_tasks
from tasks.adapters import tables
from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.database_errors import DatabaseUnavailable
from tasks.import_tasks import import_file
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


@matrix_entry("import_file")
class ImportFile(Entry):
    def retry(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chunks = _Chunks(monkeypatch, store)
        chunks.fail_at = 2
        message = chunks.send()
        drain()
        assert handle(message).status == "RETRY"
        chunks.fail_at = 0
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get()["loaded"] == 25
        assert chunks.sizes == [10, 10, 5]  # none twice

        chunks.fail_at = len(chunks.sizes) + 1
        hopeless = chunks.send()
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).status == "FAILURE"
        assert handle(hopeless).retries == TRIES - 1
        with pytest.raises(DatabaseUnavailable, match="away"):
            handle(hopeless).get()

    def timeout(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chunks = _Chunks(monkeypatch, store)
        chunks.on_chunk = lambda: freezer.tick(3_601)
        message = chunks.send()
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 3600 s"):
            handle(message).get()
        assert handle(message).retries == 0

    def partial_failure(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        chunks = _Chunks(monkeypatch, store, "x,bad,1")
        message = chunks.send()
        drain()
        result = handle(message).get()
        assert (result["loaded"], result["bad"]) == (25, 1)
        assert '26,"id: input should be a valid integer' in Path(result["quarantine"]).read_text()

    def chain_stop(self, drain: Drain, store: Store, channels: MemoryChannels) -> None:
        failing = import_file.message("absent.csv", "goods", {"id": "integer"}, ["id"])
        assert_chain_stops(failing, FileNotFoundError, drain, channels)

    def progress(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        chunks, seen = _Chunks(monkeypatch, store), list[Any]()
        message = chunks.send()
        chunks.on_chunk = lambda: seen.append((handle(message).status, handle(message).info))
        drain()
        assert seen[1:] == [("PROGRESS", {"current": 1, "total": 3}), ("PROGRESS", {"current": 2, "total": 3})]
        assert handle(message).progress == {"current": 3, "total": 3}

    def idempotency(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        chunks = _Chunks(monkeypatch, store)
        first = chunks.send(idempotency_key="march")
        drain()
        chunks.send(message_id=first.message_id)
        same_key = chunks.send(idempotency_key="march")
        drain()
        assert chunks.sizes == [10, 10, 5]
        assert handle(first).get() == handle(same_key).get()


class _Chunks:
    """A file of 25 rows and what a test adds, loaded ten rows at a time; the ``fail_at``-th chunk fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, *more: str) -> None:
        self.sizes: list[int] = []
        self.fail_at = 0
        self.on_chunk: Callable[[], object] = lambda: None
        real = tables.upsert

        def upsert(transaction: Any, table: Any, rows: list[Any]) -> int:
            self.on_chunk()
            if self.fail_at and len(self.sizes) + 1 >= self.fail_at:
                raise DatabaseUnavailable("away")
            count = real(transaction, table, rows)
            self.sizes.append(count)
            return count

        monkeypatch.setattr(import_tasks, "CHUNK", 10)
        monkeypatch.setattr(tables, "upsert", upsert)
        lines = ["id,name,price", *(f"{n},name {n},{n}" for n in range(1, 26)), *more]
        (store.root / "goods.csv").write_text("\n".join(lines))

    def send(self, **options: Any) -> Any:
        columns = {"id": "integer", "name": "text", "price": "number"}
        return import_file.send_with_options(args=("goods.csv", "goods", columns, ["id"]), **options)
