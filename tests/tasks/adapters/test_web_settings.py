import pytest

from tasks.adapters.web_settings import WebhookSettings
from understudy.errors import SettingsError
from understudy.settings import load


def problem(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(WebhookSettings, environ=environ)
    return "\n".join(caught.value.problems)


def test_without_any_setting_nothing_is_signed_and_only_the_internet_may_be_reached() -> None:
    settings = load(WebhookSettings, environ={})
    assert settings.key is None
    assert settings.networks == ()


def test_every_setting_comes_from_the_environment(certificate: str) -> None:
    settings = load(
        WebhookSettings,
        environ={
            "WEBHOOK_SECRET": "x" * 24,
            "WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/8, ::1/128",
            "WEBHOOK_TIMEOUT": "2s",
            "WEBHOOK_MAX_SIZE": "1KiB",
            "WEBHOOK_CA_FILE": certificate,
        },
    )
    assert settings.key == b"x" * 24
    assert [str(network) for network in settings.networks] == ["10.0.0.0/8", "::1/128"]
    assert (settings.timeout, settings.max_size) == (2.0, 1_024)
    assert str(settings.ca_file) == certificate


def test_what_is_wrong_is_named_without_the_secret() -> None:
    assert "WEBHOOK_SECRET" in problem(WEBHOOK_SECRET="short-secret")
    assert "short-secret" not in problem(WEBHOOK_SECRET="short-secret")
    assert "10.0.0.0/8" in problem(WEBHOOK_ALLOWED_NETWORKS="everything")
    assert "WEBHOOK_CA_FILE" in problem(WEBHOOK_CA_FILE=__file__)
    assert "WEBHOOK_SECRET" in problem(WEBHOOK_SECRT="x" * 24)


def test_the_secret_is_not_shown() -> None:
    assert "xxxx" not in repr(load(WebhookSettings, environ={"WEBHOOK_SECRET": "x" * 24}))
