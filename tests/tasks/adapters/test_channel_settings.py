from typing import Any

import pytest

from tasks.adapters import channel_settings
from tasks.adapters.channel_settings import ChannelSettings
from understudy.errors import SettingsError
from understudy.settings import load


def problem(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(ChannelSettings, environ={"NOTIFY_CHANNELS": text})
    return "\n".join(caught.value.problems)


def test_without_any_setting_there_is_no_channel() -> None:
    assert load(ChannelSettings, environ={}).urls == {}


def test_channels_are_named_and_their_urls_are_not_shown() -> None:
    settings = load(ChannelSettings, environ={"NOTIFY_CHANNELS": "ops=json://me:secret@h/a,b  sms=json://h2"})
    assert settings.urls == {"ops": "json://me:secret@h/a,b", "sms": "json://h2"}
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("json://me:secret@host", "not name=url"),
        ("ops=secret", "not name=url"),
        ("1ops=json://me:secret@host", "begin with a letter"),
        ("a=json://secret a=json://other", "names the channel 'a' twice"),
        ("ops=nonsense://secret", "apprise does not know"),
        ("ops=slack://secret", "lacks something"),
    ],
)
def test_what_is_wrong_is_told_without_the_url(text: str, why: str) -> None:
    told = problem(text)
    assert "NOTIFY_CHANNELS" in told
    assert why in told
    assert "secret" not in told


def test_what_apprise_makes_of_a_url_is_asked_once_and_not_for_each_message(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = list[str](), channel_settings.instantiate

    def instantiate(url: str) -> Any:
        asked.append(url)
        return real(url)

    monkeypatch.setattr(channel_settings, "instantiate", instantiate)
    text = " ".join(f"asked{n}=json://once/{n}" for n in range(20))
    for _ in range(3):
        load(ChannelSettings, environ={"NOTIFY_CHANNELS": text})
    assert asked == [f"json://once/{n}" for n in range(20)]
