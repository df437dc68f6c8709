"""Channels, as an actor sees them: push, SMS and chat, by the names that the settings give them. ::

open_channels().send("ops", Notice("Disk full", "db1 has 2 % left", "warning"))
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from understudy.options import did_you_mean

from .channel_settings import ChannelSettings, instantiate
from .seam import Seam

Severity = Literal["info", "success", "warning", "failure"]


@dataclass(frozen=True)
class Notice:
    """What is said. ``severity`` chooses a colour or a sign where a channel has them."""

    title: str
    body: str
    severity: Severity = "info"


class ChannelUnknown(ValueError):
    """No channel of this name is set up."""


class ChannelFailed(OSError):
    """The service behind a channel did not take the notice over, or did not answer: it may have arrived."""


class Channels(Protocol):
    """Sends notices."""

    def send(self, channel: str, notice: Notice) -> None:
        """Returns when the service has taken ``notice`` over; raises ``ChannelUnknown`` or ``ChannelFailed``."""


class AppriseChannels:
    """``Channels`` over apprise."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._urls = settings.urls
        self._services: dict[str, Any] = {}

    def send(self, channel: str, notice: Notice) -> None:
        """Send ``notice``.

        Raises:
          ChannelUnknown: NOTIFY_CHANNELS does not name it.
          ChannelFailed: the service did not take it over. apprise does not tell why.
        """
        url = self._urls.get(channel)
        if url is None:
            raise unknown(channel, self._urls)
        service = self._services.get(channel)
        if service is None:
            service = self._services[channel] = instantiate(url)
        try:
            taken = service.notify(body=notice.body, title=notice.title, notify_type=notice.severity)
        except Exception as error:  # noqa: BLE001 - a hundred plugins by as many hands, and texts that quote URLs
            raise ChannelFailed(f"channel {channel}: {type(error).__name__}") from None
        if not taken:
            raise ChannelFailed(f"channel {channel}: the service did not take it over")


def unknown(channel: str, known: Any) -> ChannelUnknown:
    """The error for a channel that is not among ``known``."""
    hint = did_you_mean(channel, known)
    return ChannelUnknown(f"no channel is called {channel!r}{hint}; name it in NOTIFY_CHANNELS")


_seam: Seam[Channels, ChannelSettings] = Seam(AppriseChannels, ChannelSettings)


def open_channels(settings: ChannelSettings | None = None) -> Channels:
    """The channels of these settings (default: the environment's).

    Raises:
      understudy.errors.SettingsError: the environment's ``NOTIFY_*`` are wrong.
    """
    return _seam.open(settings)


def use_channels(factory: Callable[[], Channels]) -> AbstractContextManager[None]:
    """Inside the block ``open_channels`` returns ``factory()``, in every thread: the seam for tests."""
    return _seam.use(factory)
