"""Files that are of no use any more. Looks only where such files are put, and takes nothing else for one.

A symbolic link is never followed, and what is not below ``FILES_ROOT`` is never touched.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from .exports import Export
from .file_errors import FileRefused
from .file_parts import parts_directory
from .file_places import Place, find
from .file_settings import FileSettings

#: Where rows go that did not fit, below FILES_ROOT.
QUARANTINE = "quarantine"
#: What a writer leaves behind that was killed.
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{16}\.part")
_BUFFER = 1 << 20
_PARTS = parts_directory("")


def old_quarantine(settings: FileSettings, *, before: float) -> Iterator[Path]:
    """The quarantine files that were written before a moment (seconds since the epoch)."""
    directory = settings.root.resolve() / QUARANTINE
    for entry in () if directory.is_symlink() else _below(str(directory)):
        if entry.is_file(follow_symlinks=False) and _age(entry) < before:
            yield Path(entry.path)


def unfinished(settings: FileSettings, *, before: float) -> Iterator[Path]:
    """What is left of files that were never finished, if nothing was done to it since a moment: directories of parts,
    and what writers leave behind that were killed."""
    for entry in _below(str(settings.root.resolve())):
        is_parts = entry.is_dir(follow_symlinks=False) and _PARTS.fullmatch(entry.name)
        is_part = entry.is_file(follow_symlinks=False) and _UNFINISHED.fullmatch(entry.name)
        if (is_parts or is_part) and _age(entry) < before:
            yield Path(entry.path)


def remove(path: Path) -> None:
    """Remove a file, or a directory of parts. That somebody else was faster is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_export(export: Export, settings: FileSettings | None = None) -> bool:
    """Remove the file of an export, if it is still the one that was exported: where it was, byte for byte. Returns
    whether there was one.

    Raises:
      FileRefused: its store cannot be reached from here.
      OSError: its store is away, or it may not be removed.
    """
    try:
        place = find(export.url, settings)
    except FileRefused:
        return False  # FILES_ROOT was moved meanwhile: it is outside now
    if not place.exists() or place.size() != export.bytes or _sha256(place) != export.sha256:
        return False
    place.remove()
    return True


def _sha256(place: Place) -> str:
    with Path(place.path).open("rb") if place.local else place.system().open(place.path, "rb") as stored:
        digest = hashlib.sha256()
        while part := stored.read(_BUFFER):
            digest.update(part)
    return digest.hexdigest()


def _below(directory: str) -> Iterator[os.DirEntry[str]]:
    """Everything below a directory, but for what is in directories of parts, and behind links."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False) and not _PARTS.fullmatch(entry.name):
            yield from _below(entry.path)


def _age(entry: os.DirEntry[str]) -> float:
    """When something was done to it last: of a directory, when a part of it was written."""
    return entry.stat(follow_symlinks=False).st_mtime
