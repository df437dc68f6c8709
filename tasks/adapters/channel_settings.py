"""The channels of notifications, from ``NOTIFY_*`` in the environment."""

from __future__ import annotations

import logging
import re
from collections import Counter
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from understudy.errors import SettingsError
from understudy.settings import Env, EnvSettings

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def instantiate(url: str) -> Any:
    """What apprise makes of a URL; None when it can make nothing of it.

    Raises:
      SettingsError: the notifications extra is not installed.
    """
    # Imported here: it takes half a second, and who only sends messages neither needs nor has it.
    try:
        import apprise
    except ModuleNotFoundError:
        raise SettingsError(
            ["NOTIFY_CHANNELS needs the notifications extra: pip install 'understudy[notifications]'"]
        ) from None
    # It logs texts, and answers of servers that repeat them.
    logging.getLogger("apprise").disabled = True
    return apprise.Apprise.instantiate(url)


@lru_cache(maxsize=10_000)
def _is_known(url: str) -> bool:
    """Whether apprise can make something of a URL. The settings are read for each message, and with hundreds of
    channels this would take longer than the notice."""
    return instantiate(url) is not None


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = []
    for part in value.split():
        name, equals, url = part.partition("=")
        if not equals or "://" not in url:
            raise ValueError("holds a part that is not name=url")
        found.append((name, SecretStr(url)))
    return tuple(found)


def _check(pairs: tuple[tuple[str, SecretStr], ...]) -> tuple[tuple[str, SecretStr], ...]:
    names = Counter(name for name, _ in pairs)
    for name, url in pairs:
        if not _NAME.fullmatch(name):
            raise ValueError(f"names a channel {name!r}; begin with a letter and go on with letters, digits, _ . -")
        if names[name] > 1:
            raise ValueError(f"names the channel {name!r} twice")
        if not _is_known(url.get_secret_value()):
            raise ValueError(f"holds a URL for {name!r} that apprise does not know or that lacks something")
    return pairs


class ChannelSettings(EnvSettings):
    """Messages name a channel; where it leads, and the login, stand here alone."""

    model_config = SettingsConfigDict(env_prefix="NOTIFY_")
    owned_prefix = "NOTIFY_"

    channels: Annotated[
        Annotated[tuple[tuple[str, SecretStr], ...], BeforeValidator(_pairs), AfterValidator(_check)],
        Env(expects="name=url, separated by blanks, with apprise's URLs: ops=slack://... oncall=twilio://..."),
        Field(description="The channels that notifications may go to: push, SMS, chat."),
    ] = ()

    @property
    def urls(self) -> dict[str, str]:
        """The URLs in the clear, by channel."""
        return {name: url.get_secret_value() for name, url in self.channels}
