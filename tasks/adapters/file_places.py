"""A path or URL as a place that may be touched: checked against ``FILES_*``, opened with its limits."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from understudy.settings import load

from .file_errors import BadFile, FileRefused, FileTooLarge
from .file_settings import FileSettings

_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LOCAL = {"file", "local"}
_BUFFER = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where a file is or will be. ``path`` is what its file system calls it; ``url`` is fit to be shown."""

    url: str
    path: str
    protocol: str
    settings: FileSettings

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine."""
        return self.protocol == "file"

    @property
    def suffix(self) -> str:
        """The end of its name that tells the format: ``.csv`` also for ``flights.csv.gz``."""
        return Path(self.path.removesuffix(".gz")).suffix.lower()

    @property
    def packed(self) -> bool:
        """Whether its name says that it is compressed."""
        return self.path.lower().endswith(".gz")

    def beside(self, name: str) -> Place:
        """A file of this name in the same directory."""
        return find(self.url.rpartition("/")[0] + "/" + name, self.settings)

    def exists(self) -> bool:
        """Whether there is a file."""
        return os.path.isfile(self.path) if self.local else bool(self.system().isfile(self.path))

    def size(self) -> int:
        """Bytes of the file as it is stored.

        Raises:
          FileNotFoundError: there is none.
        """
        return os.path.getsize(self.path) if self.local else int(self.system().size(self.path))

    def mark(self) -> str:
        """What becomes another when the file is written anew: its size and time, or all that its store says of it.

        Raises:
          FileNotFoundError: there is none.
        """
        if self.local:
            found = os.stat(self.path)
            return f"{found.st_size}.{found.st_mtime_ns}"
        system = self.system()
        system.invalidate_cache(self.path)  # what it said earlier would never be another
        return str(system.ukey(self.path))

    def system(self) -> Any:
        """The fsspec file system.

        Raises:
          FileRefused: the package for this protocol is not installed.
        """
        import fsspec  # here, because a service that only sends has no files and does not install it

        try:
            return fsspec.filesystem(self.protocol)
        except ImportError as error:
            raise FileRefused(f"{self.protocol}:// cannot be read here: {error}") from None

    def remove(self) -> None:
        """Remove the file, if there is one."""
        if self.local:
            Path(self.path).unlink(missing_ok=True)
        elif self.exists():
            self.system().rm_file(self.path)


def find(url: str, settings: FileSettings | None = None) -> Place:
    """The place that ``url`` names: a path (relative ones are below ``FILES_ROOT``) or a URL of fsspec.

    Raises:
      FileRefused: it lies outside of ``FILES_ROOT``, is of a protocol that is not allowed, or holds a password.
    """
    settings = load(FileSettings) if settings is None else settings
    if "\0" in url or not url.strip():
        raise FileRefused("a path must not be empty or hold a NUL")
    found = _PROTOCOL.match(url)
    protocol = found[1].lower() if found else "file"
    if "::" in url:
        # What stands behind it would be opened without having been looked at.
        raise FileRefused("a chain of file systems ('::') is not opened; name the file itself")
    if protocol in _LOCAL:
        return _below_root(url[found.end() :] if found else url, settings)
    if protocol not in settings.protocols:
        allowed = ", ".join(settings.protocols)
        hint = "have it put into one of them" if protocol in ("http", "https") else "add it there if it is meant"
        raise FileRefused(f"{protocol}:// is not among FILES_PROTOCOLS ({allowed}); {hint}")
    rest = url[len(protocol) + 3 :]
    if "@" in rest.partition("/")[0]:
        raise FileRefused(f"a login does not belong into a URL; give {protocol} its credentials in the environment")
    if ".." in rest.split("/"):
        raise FileRefused("'..' in a URL is not followed; name the file itself")
    return Place(f"{protocol}://{rest}", rest, protocol, settings)


def _below_root(path: str, settings: FileSettings) -> Place:
    root = settings.root.resolve()
    # Symbolic links are followed first: one that leads out of the root is outside.
    real = (root / Path(path).expanduser()).resolve()
    if not real.is_relative_to(root) or real == root:
        raise FileRefused(f"{path!r} is not below FILES_ROOT ({root}); move the file there, or set FILES_ROOT")
    return Place(str(real), str(real), "file", settings)


def open_binary(place: Place) -> BinaryIO:
    """Its bytes, unpacked when they are compressed; may be sought.

    Raises:
      FileNotFoundError, BadFile (no ordinary file), FileTooLarge
    """
    check_size(place)
    stream: Any = _open_local(place) if place.local else place.system().open(place.path, "rb")
    if place.packed:
        limit = place.settings.max_unpacked
        return cast("BinaryIO", io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=stream), stream, limit), _BUFFER))
    return cast("BinaryIO", stream)


def _open_local(place: Place) -> BinaryIO:
    return Path(place.path).open("rb", buffering=_BUFFER)


def check_size(place: Place) -> None:
    """Raises ``FileNotFoundError``, ``BadFile`` (a directory, a device), ``FileTooLarge``."""
    if place.local and not stat.S_ISREG(os.stat(place.path).st_mode):
        raise BadFile(f"{place.url} is no ordinary file")
    if place.size() > place.settings.max_size:
        raise FileTooLarge(f"{place.url} has {place.size():,} bytes; FILES_MAX_SIZE allows {place.settings.max_size:,}")


@contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """The file on this machine's disk: itself, or a copy that is gone after the block."""
    check_size(place)
    if place.local:
        yield Path(place.path)
        return
    with tempfile.TemporaryDirectory(prefix="understudy-copy-") as directory:  # called as ``sweeping`` knows it
        copy = Path(directory, "copy" + place.suffix)
        with place.system().open(place.path, "rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, _BUFFER)
        yield copy


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, up to a limit: a few kilobytes may unpack to terabytes."""

    def __init__(self, packed: gzip.GzipFile, stream: Any, limit: int) -> None:
        self._packed = packed
        self._stream = stream
        self._limit = limit

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        with self._telling():  # to get there it is unpacked up to there
            return self._packed.seek(offset, whence)

    def tell(self) -> int:
        return self._packed.tell()

    def readinto(self, buffer: Any) -> int:
        with self._telling():
            data = self._packed.read(len(buffer))
        if self._packed.tell() > self._limit:
            raise FileTooLarge(f"it unpacks to more than FILES_MAX_UNPACKED ({self._limit:,} bytes)")
        buffer[: len(data)] = data
        return len(data)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadFile(f"it is no gzip file, or damaged: {error}") from None

    def close(self) -> None:
        self._packed.close()
        self._stream.close()
        super().close()
