"""A store of files that fails when it is told to: a file system of fsspec like any other, chosen by configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import freezegun
import fsspec
import polars
import pytest
import sqlalchemy
from fsspec.implementations.memory import MemoryFileSystem

from tasks.adapters.database import close_databases

# Frozen time puts other classes in the place of date and datetime. What looks them up now, before it is frozen, and is
# left alone then, goes on knowing the real ones: those that pydantic makes and files hold.
polars.DataFrame([[date(2024, 1, 1), datetime(2024, 1, 1)]], orient="row")
freezegun.configure(extend_ignore_list=["polars", "sqlalchemy", "fastexcel", "xlsxwriter"])


class UnsteadyFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec comes without types
    """In memory, under ``unsteady://``. Each opening, and each removal, first asks ``on_open``."""

    protocol = "unsteady"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    on_open: ClassVar[Callable[[str], None]] = staticmethod(lambda path: None)

    def _open(self, path: str, *args: Any, **options: Any) -> Any:
        type(self).on_open(path)
        return super()._open(path, *args, **options)

    def rm_file(self, path: str) -> None:
        type(self).on_open(path)
        super().rm_file(path)


fsspec.register_implementation("unsteady", UnsteadyFileSystem, clobber=True)


class Unsteady:
    """What a test does with it.

    Attributes:
      opened: the files that were opened, in order.
      on_open: is called with each before it is.
      database: the file of SQLite that ``DATABASE_URL`` names.
      on_transaction: is called when one begins on a database, whichever.
    """

    url = "unsteady://files"

    def __init__(self, database: Path) -> None:
        self.database = database
        self.on_transaction: Callable[[], object] = lambda: None
        self.opened: list[str] = []
        self.on_open: Callable[[str], object] = lambda path: None
        self._failures: list[Exception] = []

    def fail_next(self, error: Exception, times: int = 1) -> None:
        """The next ``times`` files cannot be opened."""
        self._failures += [error] * times

    def put(self, name: str, data: bytes | str) -> str:
        """A file; its URL."""
        UnsteadyFileSystem().pipe_file(f"/files/{name}", data.encode() if isinstance(data, str) else data)
        return f"{self.url}/{name}"

    def read(self, url: str) -> str:
        """What is in a file."""
        return str(UnsteadyFileSystem().cat_file(url.removeprefix("unsteady:/")).decode())

    def names(self, directory: str = "") -> list[str]:
        """The files below a directory."""
        found = UnsteadyFileSystem().find(f"/files/{directory}")
        return [str(name).removeprefix("/files/") for name in found]

    def asked(self, path: str) -> None:
        self.opened.append(path)
        self.on_open(path)
        if self._failures:
            raise self._failures.pop(0)


@pytest.fixture
def unsteady(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Unsteady]:
    """An empty store. Local files and SQLite databases are below the test's own directory."""
    monkeypatch.setenv("FILES_ROOT", str(tmp_path))
    monkeypatch.setenv("FILES_PROTOCOLS", "unsteady,memory")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tables.sqlite")
    found = Unsteady(tmp_path / "tables.sqlite")

    def begun(connection: sqlalchemy.Connection) -> None:
        found.on_transaction()

    UnsteadyFileSystem.store.clear()
    monkeypatch.setattr(UnsteadyFileSystem, "on_open", staticmethod(found.asked))
    sqlalchemy.event.listen(sqlalchemy.Engine, "begin", begun)
    yield found
    sqlalchemy.event.remove(sqlalchemy.Engine, "begin", begun)
    close_databases()
