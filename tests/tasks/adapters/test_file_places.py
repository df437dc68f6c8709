"""What may be touched, and how much of it."""

from __future__ import annotations

import gzip
import os
from collections import deque
from pathlib import Path

import pytest

from tasks.adapters.file_errors import BadFile, FileRefused, FileTooLarge
from tasks.adapters.file_places import find, local_copy, open_binary
from tasks.adapters.file_settings import FileSettings
from understudy.settings import load


def of(root: Path, **limits: str) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(root), **limits})


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    (tmp_path / "root").mkdir()
    return of(tmp_path / "root")


def test_a_path_is_below_the_root_however_it_is_written(settings: FileSettings) -> None:
    expected = str(settings.root / "in/a.csv")
    for written in ("in/a.csv", "./in/../in/a.csv", expected, f"file://{expected}", f"local://{expected}"):
        assert find(written, settings).path == expected


@pytest.mark.parametrize(
    "path", ["../secret", "in/../../secret", "/etc/passwd", "file:///etc/passwd", "~/x", "", " ", "a\0b", ".", "/"]
)
def test_a_path_that_leads_out_of_the_root_is_refused(path: str, settings: FileSettings) -> None:
    with pytest.raises(FileRefused):
        find(path, settings)


def test_a_link_that_leads_out_of_the_root_is_refused(settings: FileSettings) -> None:
    (settings.root / "way-out").symlink_to(settings.root.parent)
    with pytest.raises(FileRefused, match="FILES_ROOT"):
        find("way-out/secret.csv", settings)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://169.254.169.254/latest", "not among FILES_PROTOCOLS .*; have it put into one of them"),
        ("sftp://host/file", "not among FILES_PROTOCOLS"),
        ("simplecache::file:///etc/passwd", "chain of file systems"),
        ("memory://a::file:///etc/passwd", "chain of file systems"),
        ("s3://key:word@bucket/a.csv", "a login does not belong into a URL"),
        ("s3://bucket/../other/a.csv", "is not followed"),
    ],
)
def test_a_url_that_could_lead_anywhere_is_refused(url: str, why: str, settings: FileSettings) -> None:
    with pytest.raises(FileRefused, match=why) as caught:
        find(url, settings)
    assert "word" not in str(caught.value)


def test_a_protocol_whose_package_is_missing_is_told(settings: FileSettings) -> None:
    with pytest.raises(FileRefused, match=r"s3:// cannot be read here: .*s3fs"):
        find("s3://bucket/a.csv", settings).system()


def test_a_file_above_the_limit_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x" * 101)
    place = find("a.csv", of(tmp_path, FILES_MAX_SIZE="100"))
    with pytest.raises(FileTooLarge, match=r"101 bytes; FILES_MAX_SIZE allows 100"):
        open_binary(place)
    with pytest.raises(FileTooLarge), local_copy(place):
        raise AssertionError("opened all the same")


def test_what_is_no_ordinary_file_is_not_opened(settings: FileSettings) -> None:
    os.mkfifo(settings.root / "pipe.csv")  # opening it would wait for ever
    (settings.root / "dir.csv").mkdir()
    for name in ("pipe.csv", "dir.csv"):
        with pytest.raises(BadFile, match="no ordinary file"):
            open_binary(find(name, settings))
    with pytest.raises(FileNotFoundError):
        open_binary(find("missing.csv", settings))


def test_a_gzip_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"0" * 50_000_000))
    with open_binary(find("bomb.csv.gz", of(tmp_path, FILES_MAX_UNPACKED="1MiB"))) as stream:
        with pytest.raises(FileTooLarge, match="FILES_MAX_UNPACKED"):
            deque(iter(lambda: stream.read(100_000), b""), maxlen=0)
        assert stream.tell() < 4 * 1024**2


# By name: what is packed has the time in it, and the tests of several processes must be called the same.
def broken() -> bytes:
    """Packed, with bytes in the middle that are none of it."""
    data = bytearray(gzip.compress(bytes(n * n % 251 for n in range(50_000)), mtime=0))
    data[200:300] = b"\xff" * 100
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [b"not packed at all", gzip.compress(b"a,b\n" * 1000)[:-20], broken()],
    ids=["not packed", "cut off", "broken"],
)
def test_a_damaged_gzip_file_is_told_as_such(data: bytes, settings: FileSettings) -> None:
    (settings.root / "bad.csv.gz").write_bytes(data)
    with open_binary(find("bad.csv.gz", settings)) as stream, pytest.raises(BadFile, match="gzip"):
        stream.read()
    with open_binary(find("bad.csv.gz", settings)) as stream, pytest.raises(BadFile, match="gzip"):
        stream.seek(49_000) and stream.read()


def test_a_file_elsewhere_is_copied_for_as_long_as_it_is_read(settings: FileSettings) -> None:
    place = find("memory://elsewhere/a.parquet", settings)
    with place.system().open(place.path, "wb") as file:
        file.write(b"data")
    with local_copy(place) as path:
        assert path.read_bytes() == b"data"
        assert path.suffix == ".parquet"
    assert not path.exists()
    place.remove()
    assert not place.exists()
    place.remove()


@pytest.mark.parametrize("url", ["marked.csv", "memory://marks/marked.csv"])
def test_a_file_that_is_written_anew_has_another_mark(url: str, settings: FileSettings) -> None:
    place = find(url, settings)
    with pytest.raises(FileNotFoundError):
        place.mark()

    def write(data: bytes) -> str:
        if place.local:
            Path(place.path).write_bytes(data)
        else:
            place.system().pipe_file(place.path, data)
        return place.mark()

    first = write(b"1")
    assert place.mark() == first
    assert write(b"12") != first
    assert write(b"2") != first, "of the same size, but later"
    place.remove()
