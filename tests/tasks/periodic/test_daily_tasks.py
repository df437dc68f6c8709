"""Every day: the digest, and what is purged."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from freezegun.api import FrozenDateTimeFactory

from tasks.adapters import exports, tables
from tasks.adapters.mail import MemoryMailer
from tests.tasks.conftest import Store
from understudy import clock, handle
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.loop import Scheduler

from .conftest import Tick

Drain = Callable[..., int]


def test_the_digest_goes_to_everybody_who_reads_reports(
    drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, tick: Tick
) -> None:
    found = tick("mail_digest")
    drain()
    assert found.get() == {"dead": 0, "mailed": 2}
    assert [message["subject"] for message in smtp.messages] == ["[understudy] 2026-03-01: the day"] * 2
    assert smtp.messages[0].get_content().splitlines()[2:] == ["Dead letters:", "none"]


def test_what_is_of_no_use_any_more_is_cleaned_up_at_night(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, store: Store
) -> None:
    (store.root / "old.csv").write_text("rows")
    url = str(store.root / "old.csv")
    exports.register(
        store.database, exports.Export("old", url, 1, 4, sha256(b"rows").hexdigest(), 0.0, clock.now() + 60)
    )
    tables.apply_once(store.database, scope="old", number=1, work=lambda _: 1)
    Scheduler(broker).run_once()
    freezer.move_to("2026-04-05 03:30:00")
    Scheduler(broker).run_once()
    drain()
    found = handle("clean_up@2026-04-05T03:30:00Z").get()
    assert found == {"removed": {"exports": 1, "unfinished": 0, "notes": 1}, "dry_run": False, "failed": []}
    assert not (store.root / "old.csv").exists()
