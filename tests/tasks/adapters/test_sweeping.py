"""Only what was put somewhere to be thrown away is thrown away."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tasks.adapters import sweeping
from tasks.adapters.exports import Export
from tasks.adapters.file_parts import Parts
from tasks.adapters.file_places import find, local_copy
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.file_writers import CsvWriter, ParquetWriter
from understudy.settings import load

OLD, LIMIT, NEW = 1_000.0, 2_000.0, 3_000.0
TOKEN = "0123456789abcdef"


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    root = tmp_path / "root"
    root.mkdir()
    return load(FileSettings, environ={"FILES_ROOT": str(root)})


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files."""
    found = tmp_path / "temporary"
    found.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(found))
    return found


def make(path: Path, when: float = OLD, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


def test_old_quarantine_files_are_found_wherever_they_are_below(settings: FileSettings) -> None:
    root = settings.root
    old = {
        make(root / "quarantine/a.csv"),
        make(root / "quarantine/deep/b.csv"),
        make(root / "pipeline/quarantine/c.csv"),
    }
    make(root / "pipeline/quarantine/new.csv", NEW)
    make(root / "quarantine/new.csv", NEW)
    make(root / "exports/quarantine/c.csv")
    make(root / "a.csv")
    assert set(sweeping.old_quarantine(settings, before=LIMIT)) == old


def test_what_is_unfinished_is_known_by_its_name_and_age(settings: FileSettings) -> None:
    root = settings.root
    part = make(root / f"out/.goods.csv.{TOKEN}.part")
    make(root / f"out/.goods.csv.{TOKEN[::-1]}.part", NEW)
    for name in (".hidden.part", "goods.csv.part", f"goods.csv.{TOKEN}.part", f".{TOKEN}.part", ".goods.csv.parts"):
        make(root / "out" / name)
    parts = Parts(find("out/goods.csv", settings), "csv", ["a"], maker="gone")
    parts.write(1, [{"a": 1}])
    os.utime(parts.directory.path, (OLD, OLD))
    running = Parts(find("out/goods.csv", settings), "csv", ["a"], maker="running")
    running.write(1, [{"a": 1}])
    assert set(sweeping.unfinished(settings, before=LIMIT)) == {part, Path(parts.directory.path)}


def test_the_files_of_a_run_that_was_given_up_are_found(settings: FileSettings) -> None:
    work = settings.root / "pipeline/work"
    make(work / TOKEN / "valid-000000.parquet")
    make(work / TOKEN[::-1] / "valid-000000.parquet")
    make(work / "somebody's" / "valid-000000.parquet")
    make(settings.root / "other" / TOKEN / "valid-000000.parquet")
    for directory, when in ((TOKEN, OLD), (TOKEN[::-1], NEW), ("somebody's", OLD)):
        os.utime(work / directory, (when, when))
    os.utime(settings.root / "other" / TOKEN, (OLD, OLD))
    assert set(sweeping.unfinished(settings, before=LIMIT)) == {work / TOKEN}
    sweeping.remove(work / TOKEN)
    assert not (work / TOKEN).exists()


def test_a_parquet_writer_that_was_killed_leaves_what_is_found(settings: FileSettings) -> None:
    writer = ParquetWriter(find("out/goods.parquet", settings), ["a"])
    with writer:
        (left,) = (settings.root / "out").iterdir()
        os.utime(left, (OLD, OLD))
        assert set(sweeping.unfinished(settings, before=LIMIT)) == {left}
    assert [path.name for path in (settings.root / "out").iterdir()] == ["goods.parquet"]


def test_what_was_left_in_the_directory_for_temporary_files_is_found(settings: FileSettings, temporary: Path) -> None:
    left = {make(temporary / f"understudy-{TOKEN}.part"), temporary / "understudy-copy-ab_d3f6h"}
    make(temporary / "understudy-copy-ab_d3f6h/copy.csv")
    make(temporary / f"understudy-{TOKEN[::-1]}.part", NEW)
    for name in ("understudy-demo-ab_d3f6h", "understudy-ab.part", f"x-understudy-{TOKEN}.part", f"{TOKEN}.part"):
        make(temporary / name)
    link = temporary / f"understudy-{TOKEN[:-1]}0.part"
    link.symlink_to(make(settings.root / "somebody's.csv"))
    os.utime(link, (OLD, OLD), follow_symlinks=False)
    for directory in temporary.iterdir():
        if directory.is_dir():
            os.utime(directory, (OLD, OLD))
    assert set(sweeping.unfinished(settings, before=LIMIT)) == left


@pytest.mark.parametrize("kind", [CsvWriter, ParquetWriter])
def test_a_writer_to_a_store_that_was_killed_leaves_what_is_found(
    kind: type[CsvWriter], settings: FileSettings, temporary: Path
) -> None:
    with kind(find("memory://out/goods", settings), ["a"]):
        (left,) = temporary.iterdir()
        os.utime(left, (OLD, OLD))
        assert set(sweeping.unfinished(settings, before=LIMIT)) == {left}
    fsspec.filesystem("memory").store.clear()


def test_a_copy_of_a_file_in_a_store_is_found_when_its_reader_was_killed(
    settings: FileSettings, temporary: Path
) -> None:
    fsspec.filesystem("memory").pipe_file("/in/goods.csv", b"x")
    with local_copy(find("memory://in/goods.csv", settings)):
        (left,) = temporary.iterdir()
        os.utime(left, (OLD, OLD))
        assert set(sweeping.unfinished(settings, before=LIMIT)) == {left}
    fsspec.filesystem("memory").store.clear()


def test_what_somebody_removes_meanwhile_is_not_found(settings: FileSettings, temporary: Path) -> None:
    for directory in (settings.root, temporary):
        for n in range(3):
            make(directory / f".goods.csv.{TOKEN[:-1]}{n}.part")
            make(directory / f"understudy-{TOKEN[:-1]}{n}.part")
    for directory in (settings.root, temporary):
        found = sweeping.unfinished(settings, before=LIMIT)
        while next(found).parent != directory:
            """Up to the first one there."""
        for path in directory.iterdir():
            path.unlink()
        assert not {path.parent for path in found} & {directory}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_what_belongs_to_somebody_else_is_left_alone(settings: FileSettings, temporary: Path) -> None:
    os.chown(make(temporary / f"understudy-{TOKEN}.part"), 65_534, -1)
    assert list(sweeping.unfinished(settings, before=LIMIT)) == []


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FileSettings]:
    environ = {"FILES_ROOT": str(tmp_path), "FILES_SWEPT": "memory://swept/exports,memory://swept/work"}
    yield load(FileSettings, environ=environ)
    fsspec.filesystem("memory").store.clear()


def put(path: str, when: float) -> str:
    system = fsspec.filesystem("memory")
    system.pipe_file(path, b"x")
    system.store[path].created = datetime.fromtimestamp(when, UTC)
    return path


def test_what_was_given_up_elsewhere_is_found_where_clean_up_may_look(elsewhere: FileSettings) -> None:
    parts = [put(f"/swept/exports/.goods.csv.{TOKEN}.parts/00000{n}.10.csv", OLD) for n in (1, 2)]
    part = [put(f"/swept/exports/deep/.goods.csv.{TOKEN}.part", OLD)]
    run = [put(f"/swept/work/{TOKEN}/valid-000000.parquet", OLD)]
    put(f"/swept/exports/.running.csv.{TOKEN}.parts/000001.10.csv", OLD)
    put(f"/swept/exports/.running.csv.{TOKEN}.parts/000002.10.csv", NEW)
    put("/swept/exports/goods.csv", OLD)
    put(f"/swept/work/{TOKEN}/somebody's.parquet", OLD)
    put(f"/elsewhere/.goods.csv.{TOKEN}.part", OLD)
    found = [sorted(place.url for place in places) for places in sweeping.unfinished_elsewhere(elsewhere, before=LIMIT)]
    assert sorted(found) == sorted([[f"memory:/{path}" for path in paths] for paths in (parts, part, run)])


@pytest.mark.parametrize(
    ("info", "when"),
    [
        ({"mtime": 5.5}, 5.5),
        ({"LastModified": datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)}, 5.0),
        ({"last_modified": datetime(1970, 1, 1, 0, 0, 5)}, 5.0),
        ({"updated": "1970-01-01T00:00:05.000Z"}, 5.0),
        ({"size": 4}, float("inf")),
    ],
)
def test_when_a_file_was_written_is_as_its_store_says(info: dict[str, Any], when: float) -> None:
    assert sweeping._written(info) == when


def test_links_are_never_followed_and_nothing_outside_is_touched(settings: FileSettings, tmp_path: Path) -> None:
    outside = make(tmp_path / "outside/quarantine/a.csv")
    make(tmp_path / f"outside/.a.csv.{TOKEN}.part")
    (settings.root / "quarantine").symlink_to(tmp_path / "outside/quarantine")
    (settings.root / "link").symlink_to(tmp_path / "outside")
    (settings.root / "pipeline").symlink_to(tmp_path / "outside")
    (settings.root / f".a.csv.{TOKEN}.parts").symlink_to(tmp_path / "outside")
    assert list(sweeping.unfinished(settings, before=1e12)) == []
    # The directory itself is a link: its files are those that the link leads to, and they are outside.
    assert list(sweeping.old_quarantine(settings, before=1e12)) == []
    sweeping.remove(settings.root / f".a.csv.{TOKEN}.parts")
    assert outside.exists()


def test_what_is_gone_already_is_no_error(settings: FileSettings) -> None:
    sweeping.remove(settings.root / "nothing")
    assert list(sweeping.old_quarantine(settings, before=LIMIT)) == []


def export(path: Path, size: int) -> Export:
    return Export("m1", str(path), 1, size, hashlib.sha256(b"12345").hexdigest(), OLD, OLD)


def test_the_file_of_an_export_is_removed_if_it_is_still_that_file(settings: FileSettings, tmp_path: Path) -> None:
    path = make(settings.root / "goods.csv", text="12345")
    assert not sweeping.remove_export(export(path, 6), settings), "another one lies there now"
    path.write_text("54321")
    assert not sweeping.remove_export(export(path, 5), settings), "another one of the same size"
    path.write_text("12345")
    assert sweeping.remove_export(export(path, 5), settings)
    assert not path.exists()
    assert not sweeping.remove_export(export(path, 5), settings)
    outside = make(tmp_path / "goods.csv", text="12345")
    assert not sweeping.remove_export(export(outside, 5), settings)
    assert outside.exists()
