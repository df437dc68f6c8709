"""Real mail servers and databases for the tests of the adapters."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.mail import MailSettings, SmtpMailer
from tests.tasks.adapters.databases import database, database_url
from understudy.testing.smtp_server import SmtpPolicy, SmtpThread

__all__ = ["database", "database_url"]

Serve = Callable[..., SmtpThread]
OpenMailer = Callable[..., SmtpMailer]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SMTP_", "FILES_", "DATABASE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``serve(refuse_pattern="^bounce", ...)`` starts a server with that policy."""
    with ExitStack() as stack:

        def start(**policy: Any) -> SmtpThread:
            return stack.enter_context(
                SmtpThread(tmp_path / "smtp.jsonl", SmtpPolicy(**policy), messages=tmp_path / "messages")
            )

        yield start


@pytest.fixture
def mailer_to() -> Iterator[OpenMailer]:
    """``mailer_to(server, max_idle=..., settings={...})`` opens a mailer, closed at the end."""
    with ExitStack() as stack:

        def connect(server: Any, *, settings: dict[str, Any] | None = None, **options: Any) -> SmtpMailer:
            chosen = {"host": server.host, "port": server.port, **(settings or {})}
            return stack.enter_context(SmtpMailer(MailSettings(**chosen), **options))

        yield connect


@pytest.fixture(scope="session")
def certificate() -> str:
    """For ``localhost`` and 127.0.0.1, signed by itself, valid for a hundred years."""
    return str(Path(__file__).parent / "certificates" / "localhost.pem")


@pytest.fixture(scope="session")
def key() -> str:
    return str(Path(__file__).parent / "certificates" / "localhost.key")
