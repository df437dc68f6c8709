"""Files that are of no use any more. Looks only where such files are put, and takes nothing else for one.

A symbolic link is never followed, and what is below neither ``FILES_ROOT`` nor one of ``FILES_SWEPT`` is never touched,
but for what our own writers and readers leave in this machine's directory for temporary files.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .exports import Export
from .file_errors import FileRefused
from .file_parts import parts_directory
from .file_places import Place, find
from .file_settings import FileSettings

#: Where rows go that did not fit, below FILES_ROOT: at an import, and in a pipeline.
QUARANTINE, PIPELINE_QUARANTINE = "quarantine", "pipeline/quarantine"
#: Where the files are that the steps of a pipeline leave one another, a directory for each run.
PIPELINE_WORK = "pipeline/work"
#: What a writer leaves behind that was killed.
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{16}\.part")
#: What one leaves in the directory for temporary files whose file was to go to a store; and who reads one from there.
_TEMPORARY = re.compile(r"understudy-[0-9a-f]{16}\.parts?|understudy-copy-\w{8}")
_RUN, _OF_RUN = re.compile(r"[0-9a-f]{16}"), re.compile(r"(valid|ready|bad)-\d{6}\.(parquet|jsonl)")
_BUFFER = 1 << 20
#: What stores call the time at which a file was written.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
_PARTS = parts_directory("")


def old_quarantine(settings: FileSettings, *, before: float) -> Iterator[Path]:
    """The quarantine files that were written before a moment (seconds since the epoch)."""
    for name in (QUARANTINE, PIPELINE_QUARANTINE):
        directory = settings.root.resolve() / name
        for entry in () if _leads_away(directory) else _below(str(directory)):
            if entry.is_file(follow_symlinks=False) and _age(entry) < before:
                yield Path(entry.path)


def unfinished(settings: FileSettings, *, before: float) -> Iterator[Path]:
    """What is left of files that were never finished, if nothing was done to it since a moment: directories of parts,
    what writers leave behind that were killed, and the files between the steps of a pipeline; and what is left in the
    directory for temporary files of those that went to a store or came from one."""
    root = settings.root.resolve()
    runs = str(root / PIPELINE_WORK)
    for entry in _below(str(root)):
        is_directory = entry.is_dir(follow_symlinks=False)
        is_run = is_directory and os.path.dirname(entry.path) == runs and _RUN.fullmatch(entry.name)
        is_parts = is_directory and _PARTS.fullmatch(entry.name)
        is_part = entry.is_file(follow_symlinks=False) and _UNFINISHED.fullmatch(entry.name)
        if (is_run or is_parts or is_part) and _age(entry) < before:
            yield Path(entry.path)
    for entry in os.scandir(tempfile.gettempdir()):
        if _TEMPORARY.fullmatch(entry.name) and _age(entry) < before and _is_ours(entry):
            yield Path(entry.path)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file or directory of who asks: anybody may put something there, by any name."""
    kept = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
    return kept and entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def unfinished_elsewhere(settings: FileSettings, *, before: float) -> Iterator[list[Place]]:
    """The same below ``FILES_SWEPT``, as the files of each. Where a store does not say when a file was written, nothing
    is taken for old.

    Raises:
      FileRefused: a URL of ``FILES_SWEPT`` may not be read.
      OSError: a store is away.
    """
    for url in settings.swept:
        place = find(url, settings)
        found: dict[str, list[tuple[str, float]]] = {}
        for path, info in place.system().find(place.path, detail=True).items():
            if (whole := _left_over(str(path))) is not None:
                found.setdefault(whole, []).append((str(path), _written(info)))
        for files in found.values():
            if max(when for _, when in files) < before:
                yield [find(f"{place.protocol}://{path.lstrip('/')}", settings) for path, _ in files]


def _left_over(path: str) -> str | None:
    """What a file is a part of, if it is one of what writers and pipelines leave behind."""
    directory, _, name = path.rpartition("/")
    parent = directory.rpartition("/")[2]
    if _PARTS.fullmatch(parent) or (_RUN.fullmatch(parent) and _OF_RUN.fullmatch(name)):
        return directory
    return path if _UNFINISHED.fullmatch(name) else None


def _written(info: Mapping[str, Any]) -> float:
    when = next((info[name] for name in _TIMES if info.get(name)), None)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
    return float(when) if isinstance(when, int | float) else math.inf


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


def _leads_away(directory: Path) -> bool:
    """Whether it, or a directory that it is in, is a link."""
    return directory.resolve() != directory


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
    """When something was done to it last: of a directory, when a part of it was written. Never, when it has gone."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return math.inf
