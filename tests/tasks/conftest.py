"""For tests of actors that send mail: the memory mailer in place of the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.adapters.mail import MemoryMailer, use_mailer


@pytest.fixture
def smtp() -> Iterator[MemoryMailer]:
    """What ``open_mailer`` gives in this test."""
    mailer = MemoryMailer()
    with use_mailer(lambda: mailer):
        yield mailer
