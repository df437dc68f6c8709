"""What stands where in the directory of an embedded server."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from understudy.errors import EmbeddedServerError

MAX_SOCKET_PATH = 100
"""Bytes. The kernel's limit is 108 on Linux and 104 on macOS, its closing zero included."""

MAX_LOG = 4 * 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """The files of one server. Nothing is touched until ``prepare``."""

    directory: Path

    @classmethod
    def at(cls, directory: Path) -> Layout:
        # Real path: two ways to one directory must lead to one socket.
        return cls(Path(os.path.realpath(directory)))

    @property
    def users_lock(self) -> Path:
        return self.directory / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        return self.directory / "supervisor.lock"

    @property
    def server_lock(self) -> Path:
        return self.directory / "server.lock"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def failure(self) -> Path:
        """Why the last supervisor gave up."""
        return self.directory / "server.failed"

    @property
    def socket(self) -> Path:
        """In the directory; when that path is too long for a socket, a stable one in ``/tmp``."""
        near = self.directory / "server.sock"
        if len(os.fsencode(near)) <= MAX_SOCKET_PATH:
            return near
        # /tmp and not $XDG_RUNTIME_DIR or $TMPDIR: processes with another environment must find it too.
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:24]
        return Path("/tmp") / f"understudy-{os.getuid()}" / f"{digest}.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    def prepare(self) -> None:
        """Make the directories, for this user only.

        Raises:
          EmbeddedServerError: when one of them belongs to somebody else.
          OSError: when they cannot be made.
        """
        for directory in {self.directory, self.socket.parent}:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = directory.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise EmbeddedServerError(
                    f"{directory} is not a directory of this user; remove it, or set UNDERSTUDY_DATA_DIR "
                    f"to a directory of your own"
                )
            if stat.S_IMODE(found.st_mode) != 0o700:
                directory.chmod(0o700)
        ignore = self.directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")

    def open_log(self) -> int:
        """A descriptor that appends to the log; a log that has grown large is put aside first."""
        if self.log.exists() and self.log.stat().st_size > MAX_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def log_size(self) -> int:
        """Bytes; a mark for ``log_since``."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, mark: int) -> bytes:
        """What was logged after the log had ``mark`` bytes."""
        if not self.log.exists():
            return b""
        with self.log.open("rb") as log:
            log.seek(mark)
            return log.read()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the log, indented."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16384))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            text = ""
        tail = [f"    {line.rstrip()}" for line in text.splitlines() if line.strip()][-lines:]
        return "\n".join(tail) or "    (the log is empty)"

    def read_failure(self) -> str | None:
        """What ``write_failure`` left, None when there is nothing."""
        try:
            return self.failure.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write_failure(self, token: str, reason: str) -> None:
        """Leave ``reason`` for those who wait. ``token`` tells one failure from the next."""
        draft = self.failure.with_suffix(".draft")
        draft.write_text(f"{token}\n{reason}\n", encoding="utf-8")
        draft.replace(self.failure)
