"""The append-only file of a server that has been killed, cut back to what a crash of the machine might have left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """One command of the file, and the byte at which it begins."""

    at: int
    words: tuple[bytes, ...]

    @property
    def name(self) -> str:
        return self.words[0].decode().upper()

    def mentions(self, text: str) -> bool:
        """Whether one of its words contains ``text``."""
        return any(text.encode() in word for word in self.words)


class AppendOnlyFile:
    """The incremental file of the server whose data lie in ``directory``. The server must not run."""

    def __init__(self, directory: Path) -> None:
        files = sorted((directory / "appendonlydir").glob("*.incr.aof"))
        self.path = files[-1]
        self.data = self.path.read_bytes()
        self.commands = list(self._parse())

    def _parse(self) -> list[Command]:
        at, found = 0, []
        while at < len(self.data):
            begin = at
            count, at = self._number(at, b"*")
            words = []
            for _ in range(count):
                size, at = self._number(at, b"$")
                words.append(self.data[at : at + size])
                at += size + 2
            found.append(Command(begin, tuple(words)))
        return found

    def _number(self, at: int, sign: bytes) -> tuple[int, int]:
        end = self.data.index(b"\r\n", at)
        assert self.data[at : at + 1] == sign
        return int(self.data[at + 1 : end]), end + 2

    def cut_back(self, commands: int) -> None:
        """Lose the last ``commands`` commands, wherever that is: inside of a transaction, too."""
        self._cut(self.commands[-commands].at)

    def cut_before(self, wanted: Callable[[Command], bool]) -> None:
        """Lose the transaction with the first command that is ``wanted``, and all that came after it."""
        index = next(index for index, command in enumerate(self.commands) if wanted(command))
        begin = self._begin_of_transaction(index)
        self._cut(self.commands[index if begin is None else begin].at)

    def _begin_of_transaction(self, index: int) -> int | None:
        for back in range(index, -1, -1):
            if self.commands[back].name == "MULTI":
                return back
            if self.commands[back].name == "EXEC" and back != index:
                return None
        return None

    def _cut(self, at: int) -> None:
        assert at > 0, "something must be left"
        with self.path.open("r+b") as file:
            file.truncate(at)
