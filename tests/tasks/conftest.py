"""For tests of actors: what they reach the outside world with, replaced by doubles in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.channels import use_channels
from tasks.adapters.mail import MemoryMailer, use_mailer
from tasks.adapters.web import MemoryWeb, use_web


@pytest.fixture
def smtp() -> Iterator[MemoryMailer]:
    """What ``open_mailer`` gives in this test."""
    mailer = MemoryMailer()
    with use_mailer(lambda: mailer):
        yield mailer


@pytest.fixture
def web() -> Iterator[MemoryWeb]:
    """What ``open_web`` gives in this test."""
    found = MemoryWeb()
    with use_web(lambda: found):
        yield found


@pytest.fixture
def channels() -> Iterator[MemoryChannels]:
    """What ``open_channels`` gives in this test: the channels ``ops``, ``sms`` and ``chat``."""
    found = MemoryChannels("ops", "sms", "chat")
    with use_channels(lambda: found):
        yield found
