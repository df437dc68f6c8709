"""What the jobs that report share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.report_settings import ReportSettings
from tasks.periodic.reporting import due_at, mail
from understudy.brokers.redis import RedisBroker
from understudy.settings import load
from understudy.testing.enqueued import Enqueued


@pytest.mark.brokers("stub")
def test_called_by_hand_a_report_is_about_now_and_is_mailed_at_once(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    assert due_at() == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert mail(load(ReportSettings), "Hello", "text") == 2
    enqueued.assert_sent("send_email", "ada@lovelace.example", "[understudy] Hello", "text")
