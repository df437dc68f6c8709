"""Who reads the reports."""

from __future__ import annotations

import pytest

from tasks.adapters.report_settings import ReportSettings
from understudy.errors import SettingsError
from understudy.settings import load


def test_nobody_gets_reports_by_default() -> None:
    settings = load(ReportSettings, environ={})
    assert (settings.to, settings.directory, settings.dead_letters) == ((), "reports", 1)


def test_what_is_set_is_checked_when_a_worker_starts() -> None:
    found = load(ReportSettings, environ={"REPORTS_TO": "ada@Lovelace.Example, grace@hopper.example"})
    assert found.to == ("ada@lovelace.example", "grace@hopper.example")
    with pytest.raises(SettingsError, match="REPORTS_TO"):
        load(ReportSettings, environ={"REPORTS_TO": "nobody at all"})
    with pytest.raises(SettingsError, match="REPORTS_DEAD_LETTERS"):
        load(ReportSettings, environ={"REPORTS_DEAD_LETTERS": "0"})
