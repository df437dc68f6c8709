"""Export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import export_tasks
from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.file_parts import Parts
from tasks.export_tasks import export_rows
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


@matrix_entry("export_rows")
class ExportRows(Entry):
    def retry(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pages = _Pages(monkeypatch)
        store.fill("goods", 25)
        pages.fail_at = 2
        message = export_rows.send("goods", "out.csv")
        drain()
        assert handle(message).status == "RETRY"
        pages.fail_at = 0
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get()["rows"] == 25
        assert pages.written == [1, 2, 3]

        pages.fail_at = len(pages.written) + 1
        hopeless = export_rows.send("goods", "other.csv")
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).status == "FAILURE"
        assert handle(hopeless).retries == TRIES - 1
        with pytest.raises(DatabaseUnavailable, match="away"):
            handle(hopeless).get()
        assert not (store.root / "other.csv").exists()

    def timeout(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _Pages(monkeypatch).on_page = lambda: freezer.tick(3_601)
        store.fill("goods", 25)
        message = export_rows.send("goods", "out.csv")
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 3600 s"):
            handle(message).get()
        assert handle(message).retries == 0
        assert not (store.root / "out.csv").exists()

    def partial_failure(
        self, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A page that fails is never half in the file: all of it is there in the end, or the file is not.
        pages = _Pages(monkeypatch)
        store.fill("goods", 25)
        pages.fail_at = 3
        message = export_rows.send("goods", "out.csv")
        drain()
        assert not (store.root / "out.csv").exists()
        assert handle(message).progress == {"current": 2, "total": 3}
        pages.fail_at = 0
        freezer.tick(LONG_ENOUGH)
        drain()
        assert pages.written == [1, 2, 3]
        assert len((store.root / "out.csv").read_text().splitlines()) == 26

    def chain_stop(self, drain: Drain, store: Store, channels: MemoryChannels) -> None:
        assert_chain_stops(export_rows.message("absent", "out.csv", key=["id"]), DatabaseRefused, drain, channels)

    def progress(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        pages, seen = _Pages(monkeypatch), list[Any]()
        store.fill("goods", 25)
        message = export_rows.send("goods", "out.csv")
        pages.on_page = lambda: seen.append((handle(message).status, handle(message).info))
        drain()
        assert seen[1:] == [("PROGRESS", {"current": 1, "total": 3}), ("PROGRESS", {"current": 2, "total": 3})]
        assert handle(message).progress == {"current": 3, "total": 3}

    def idempotency(self, drain: Drain, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        pages = _Pages(monkeypatch)
        store.fill("goods", 25)
        first = export_rows.send_with_options(args=("goods", "out.csv"), idempotency_key="march")
        drain()
        export_rows.send_with_options(args=("goods", "out.csv"), message_id=first.message_id)
        same_key = export_rows.send_with_options(args=("goods", "out.csv"), idempotency_key="march")
        drain()
        assert pages.written == [1, 2, 3]
        assert handle(first).get() == handle(same_key).get()


class _Pages:
    """Watches the pages of exports, ten rows each; the ``fail_at``-th that would be written is not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[int] = []
        self.fail_at = 0
        self.on_page: Callable[[], object] = lambda: None
        real = Parts.write

        def write(parts: Parts, number: int, rows: Any) -> None:
            self.on_page()
            if self.fail_at and len(self.written) + 1 >= self.fail_at:
                raise DatabaseUnavailable("away")
            real(parts, number, rows)
            self.written.append(number)

        monkeypatch.setattr(export_tasks, "PAGE", 10)
        monkeypatch.setattr(Parts, "write", write)
