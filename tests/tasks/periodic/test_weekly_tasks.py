"""Every week: the report."""

from __future__ import annotations

from collections.abc import Callable

from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.mail import MemoryMailer
from tests.tasks.conftest import Store
from understudy.brokers.redis import RedisBroker

from .conftest import Tick
from .test_hourly_tasks import fail

Drain = Callable[..., int]


def test_the_report_is_a_file_and_a_mail(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    smtp: MemoryMailer,
    store: Store,
    tick: Tick,
) -> None:
    fail(broker, drain, 2)
    freezer.tick(86_400)
    found = tick("report_week")
    drain()
    file = store.root / "reports" / "week-2026-W09.csv"
    assert found.get() == {"url": str(file), "rows": 1, "mailed": 2}
    assert file.read_text().splitlines() == ["queue,actor,dead", "default,broken,2"]
    assert smtp.messages[0]["subject"] == "[understudy] Week 2026-W09"
    assert str(file) in smtp.messages[0].get_content()
