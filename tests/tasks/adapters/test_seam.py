from __future__ import annotations

import pytest

from tasks.adapters.seam import Seam
from tasks.adapters.web_settings import WebhookSettings
from understudy.errors import SettingsError


def told(settings: WebhookSettings) -> str:
    return f"real, {settings.timeout:g} s"


def test_what_is_opened_is_the_real_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_TIMEOUT", "3s")
    seam = Seam(told, WebhookSettings)
    assert seam.open() == "real, 3 s"
    assert seam.open(WebhookSettings(timeout=4)) == "real, 4 s"
    monkeypatch.setenv("WEBHOOK_TIMEOUT", "soon")
    with pytest.raises(SettingsError, match="WEBHOOK_TIMEOUT"):
        seam.open()


def test_a_test_puts_something_in_its_place_and_it_is_gone_behind_the_block() -> None:
    seam, other = Seam(told, WebhookSettings), Seam(told, WebhookSettings)
    with seam.use(lambda: "outer"):
        with pytest.raises(KeyError, match="'inner', 'real, 1 s'"), seam.use(lambda: "inner"):
            raise KeyError(seam.open(), other.open(WebhookSettings(timeout=1)))
        assert seam.open(WebhookSettings()) == "outer"
    assert seam.open().startswith("real")
