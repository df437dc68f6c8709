"""Every month: the archive."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from freezegun.api import FrozenDateTimeFactory

from tasks.adapters import exports
from tests.tasks.conftest import Store

from .conftest import Tick

Drain = Callable[..., int]


def test_the_exports_of_the_last_month_are_written_down(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store, tick: Tick
) -> None:
    for name, made in (("a", (2026, 1, 31)), ("b", (2026, 2, 1)), ("c", (2026, 2, 28)), ("d", (2026, 3, 1))):
        moment = datetime(*made, tzinfo=UTC).timestamp()
        exports.register(store.database, exports.Export(name, name, 1, 4, "ab" * 32, moment, None))
    exports.strike_out(
        store.database, exports.Export("c", "c", 1, 4, "ab" * 32, datetime(2026, 2, 28, tzinfo=UTC).timestamp(), None)
    )
    exports.register(store.database, exports.Export("e", "b", 1, 4, "ab" * 32, moment, None))
    found = tick("archive_exports")
    drain()
    file = store.root / "reports" / "exports-2026-02.jsonl"
    assert found.get() == {"url": str(file), "rows": 2}
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["b", "c"]
