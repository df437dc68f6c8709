"""The files of the checkout, for the rules that hold for every one of them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Where code lives that is not a test: what runs in production, and what measures it. The order is that of the imports.
PACKAGES = ("understudy", "middleware", "tasks", "workflows", "benchmarks")


def project_files(root: Path, *suffixes: str) -> Iterator[Path]:
    """Every file below ``root`` that is tracked or could be, ending in one of ``suffixes`` (default: all).

    What ``.gitignore`` names is left out. Git itself is not asked: a checkout may come without it, and a file
    that somebody is about to add counts already.
    """
    ignored = [".git", *_ignored_names(root)]
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not _matches(name, ignored))
        for name in sorted(files):
            if not _matches(name, ignored) and (not suffixes or name.endswith(suffixes)):
                yield Path(directory, name)


def write(path: Path, text: str) -> Path:
    """Plant a file, with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _ignored_names(root: Path) -> list[str]:
    gitignore = root / ".gitignore"
    lines = gitignore.read_text().splitlines() if gitignore.exists() else []
    return [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
