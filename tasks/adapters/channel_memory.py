"""The channels of unit tests: they keep what they are told, or fail as planned."""

from __future__ import annotations

from collections.abc import Callable

from .channels import Notice, unknown


class MemoryChannels:
    """``Channels`` with these ``names``, which deliver into a list.

    Attributes:
      delivered: channel and notice, in order.
      on_send: called with the channel before anything happens; a test moves the time there, or looks at progress.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._failures: dict[str, list[BaseException]] = {}
        self.delivered: list[tuple[str, Notice]] = []
        self.on_send: Callable[[str], None] | None = None

    def fail_next(self, channel: str, failure: BaseException, times: int = 1) -> None:
        """The next ``times`` notices to ``channel`` raise ``failure``."""
        self._failures.setdefault(channel, []).extend([failure] * times)

    def send(self, channel: str, notice: Notice) -> None:
        """Deliver, or fail as planned."""
        if self.on_send is not None:
            self.on_send(channel)
        if channel not in self._names:
            raise unknown(channel, self._names)
        if self._failures.get(channel):
            raise self._failures[channel].pop(0)
        self.delivered.append((channel, notice))
