"""Only what was put somewhere to be thrown away is thrown away."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tasks.adapters import sweeping
from tasks.adapters.exports import Export
from tasks.adapters.file_parts import Parts
from tasks.adapters.file_places import find
from tasks.adapters.file_settings import FileSettings
from understudy.settings import load

OLD, LIMIT, NEW = 1_000.0, 2_000.0, 3_000.0
TOKEN = "0123456789abcdef"


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    root = tmp_path / "root"
    root.mkdir()
    return load(FileSettings, environ={"FILES_ROOT": str(root)})


def make(path: Path, when: float = OLD, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


def test_old_quarantine_files_are_found_wherever_they_are_below(settings: FileSettings) -> None:
    root = settings.root
    old = {make(root / "quarantine/a.csv"), make(root / "quarantine/deep/b.csv")}
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


def test_links_are_never_followed_and_nothing_outside_is_touched(settings: FileSettings, tmp_path: Path) -> None:
    outside = make(tmp_path / "outside/quarantine/a.csv")
    make(tmp_path / f"outside/.a.csv.{TOKEN}.part")
    (settings.root / "quarantine").symlink_to(tmp_path / "outside/quarantine")
    (settings.root / "link").symlink_to(tmp_path / "outside")
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
