"""Where the files of an embedded server are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from understudy.embedded.layout import MAX_LOG, MAX_SOCKET_PATH, Layout
from understudy.errors import EmbeddedServerError


def test_the_socket_is_in_the_directory() -> None:
    assert Layout.at(Path("/srv/app")).socket == Path("/srv/app/server.sock")


@pytest.mark.parametrize("length", range(80, 120))
def test_the_socket_path_is_never_too_long(length: int) -> None:
    directory = Path("/" + "d" * (length - 1))
    assert len(os.fsencode(Layout.at(directory).socket)) <= MAX_SOCKET_PATH


def test_long_paths_get_sockets_of_their_own_whatever_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Path("/" + "d" * 200), Path("/" + "e" * 200)
    first = Layout.at(one).socket
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    assert Layout.at(one).socket == first != Layout.at(two).socket


def test_the_length_is_counted_in_bytes() -> None:
    assert Layout.at(Path("/" + "é" * 60)).socket.parent != Path("/" + "é" * 60)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(EmbeddedServerError, match="not a directory of this user"):
        Layout.at(tmp_path).prepare()


def test_the_log_tail_is_the_end_of_the_log(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    assert layout.log_tail() == "    (the log is empty)"
    layout.log.write_text("".join(f"line {number}\n" for number in range(5000)))
    assert layout.log_tail(2) == "    line 4998\n    line 4999"


def test_what_was_logged_since_a_mark_is_told(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    assert (layout.log_size(), layout.log_since(0)) == (0, b"")
    layout.log.write_bytes(b"before")
    mark = layout.log_size()
    with layout.log.open("ab") as log:
        log.write(b"after")
    assert layout.log_since(mark) == b"after"


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.log.write_bytes(b"x" * (MAX_LOG + 1))
    os.close(layout.open_log())
    assert layout.log.stat().st_size == 0
    assert (tmp_path / "server.log.1").stat().st_size == MAX_LOG + 1


def test_a_failure_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    assert layout.read_failure() is None
    layout.write_failure("token", "it did not start")
    assert layout.read_failure() == "token\nit did not start\n"
