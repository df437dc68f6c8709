"""For tests of actors: what they reach the outside world with, replaced by doubles in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.channels import use_channels
from tasks.adapters.database import Database, close_databases, open_database
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


@dataclass
class Store:
    """Where files and tables are in a test: ``root`` is FILES_ROOT, ``database`` what DATABASE_URL means."""

    root: Path
    database: Database

    def fill(self, table: str, rows: int) -> None:
        """Make a table ``id``, ``name``, ``price`` with so many rows."""
        with self.database.transaction() as transaction:
            transaction.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT, price DOUBLE PRECISION)")
            values = [{"id": n, "name": f"name {n}", "price": n / 4} for n in range(1, rows + 1)]
            transaction.execute(f"INSERT INTO {table} VALUES (:id, :name, :price)", values)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Files below a directory of the test's own, and a SQLite database."""
    root = tmp_path / "files"
    root.mkdir()
    monkeypatch.setenv("FILES_ROOT", str(root))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tables.sqlite")
    # What others leave there is not to be cleaned up by a test.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield Store(root, open_database())
    close_databases()
