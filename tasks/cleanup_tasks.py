"""Clean-up: what is of no use any more goes, and nothing else. With ``dry_run`` it is only counted.

=================  ==================================================================================================
``exports``        exported files whose time is over
``quarantine``     rows that did not fit at an import or in a pipeline, put aside
``unfinished``     what is left of exports, imports and pipelines that were given up, also below ``FILES_SWEPT`` and in
                   the directory for temporary files of the machine that it runs on
``dead_letters``   messages that nobody has requeued
``notes``          which chunks were applied (an import that is repeated after that loads its rows again)
``events``         events that are rolled up
=================  ==================================================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypedDict

from tasks.adapters import events, exports, sweeping, tables
from tasks.adapters.database import open_database
from tasks.adapters.file_settings import FileSettings
from tasks.utils.error_handlers import STORE_ERRORS
from tasks.utils.retry_policies import STORE_RETRY, store_may_work_later
from understudy import Idempotency, actor, clock, each
from understudy.deadletters import DeadLetters, Which
from understudy.execution import current
from understudy.options import did_you_mean
from understudy.runtime import installed
from understudy.settings import load

logger = logging.getLogger(__name__)

#: For how long things are kept when nobody says it.
KEPT = timedelta(days=30)


class SweepIncomplete(OSError):
    """Some of a kind could not be removed; the others are gone."""


class FailedKind(TypedDict):
    """A kind that could not be cleaned up, and why."""

    kind: str
    error: str


class CleanUpResult(TypedDict):
    """How many things of each kind went, or would have gone: in the last execution, if there were several."""

    removed: dict[str, int]
    dry_run: bool
    failed: list[FailedKind]


@actor(
    queue_name="maintenance",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=30),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def clean_up(
    kinds: Sequence[str] | None = None, *, older_than: float = KEPT.total_seconds(), dry_run: bool = False
) -> CleanUpResult:
    """Remove what is older than so many seconds: these kinds of things, or all. Exports go by their own time. A kind
    that fails does not stop the others, nor does an export whose file cannot be removed.

    Raises:
      ValueError: there is no such kind, or the age is negative; nothing was removed; not retried.
      DatabaseUnavailable, OSError: retried; a kind that was cleaned up is not looked at again.
    """
    wanted = list(_SWEEPS) if kinds is None else list(dict.fromkeys(kinds))
    for kind in wanted:
        if kind not in _SWEEPS:
            hint = did_you_mean(kind, _SWEEPS)
            raise ValueError(f"there is no kind {kind!r} to clean up{hint}; there are {', '.join(_SWEEPS)}")
    if not older_than >= 0:
        raise ValueError(f"older_than is a number of seconds from 0, not {older_than!r}")
    execution, put_off = current(), None
    removed: dict[str, int] = {}
    items = each(wanted, key=str)
    for kind in items:
        try:
            removed[kind] = sweep(kind, older_than=older_than, dry_run=dry_run)
        except Exception as error:
            if not store_may_work_later(error):
                raise
            if execution is None or execution.last_attempt:
                items.fail(str(error))
            else:
                items.defer()
                put_off = error
    if put_off is not None:
        raise put_off
    failed = [FailedKind(kind=kind, error=error) for kind, error in items.failures.items()]
    return {"removed": removed, "dry_run": dry_run, "failed": failed}


def sweep(kind: str, *, older_than: float, dry_run: bool = False) -> int:
    """Clean up one kind of things; returns how many went, or would have gone.

    Raises:
      DatabaseUnavailable, OSError: what went before is gone, the rest is there.
      ServerUnavailable: the same of dead letters.
    """
    return _SWEEPS[kind](clock.now() - older_than, dry_run)


def _exports(before: float, dry_run: bool) -> int:
    database, now, count = open_database(), clock.now(), 0
    if dry_run:
        return exports.count_expired(database, now=now)
    last, failures = None, []
    while batch := exports.expired(database, now=now, after=last):
        last, gone = batch[-1], []
        for export in batch:
            try:
                # The file first: were it the other way round, a crash would leave one that nobody knows of.
                sweeping.remove_export(export)
            except Exception as error:  # noqa: BLE001 - whatever a store raises
                # One that cannot be reached is no reason to keep all the others.
                logger.warning("the file of export %s could not be removed (%s)", export.id, type(error).__name__)
                failures.append(error)
                continue
            gone.append(export)
        count += exports.strike_out(database, *gone)
    if failures:
        raise SweepIncomplete(
            f"{count:,} exports went, the files of {len(failures):,} could not be removed; of the first: {failures[0]}"
        )
    return count


def _quarantine(before: float, dry_run: bool) -> int:
    return _files(sweeping.old_quarantine(load(FileSettings), before=before), dry_run)


def _unfinished(before: float, dry_run: bool) -> int:
    settings = load(FileSettings)
    count = _files(sweeping.unfinished(settings, before=before), dry_run)
    for places in sweeping.unfinished_elsewhere(settings, before=before):
        count += 1
        for place in () if dry_run else places:
            place.remove()
    return count


def _files(paths: Iterable[Path], dry_run: bool) -> int:
    count = 0
    for path in paths:
        count += 1
        if not dry_run:
            sweeping.remove(path)
    return count


def _dead_letters(before: float, dry_run: bool) -> int:
    letters = DeadLetters(installed().storage)
    old = letters.walk(Which(older_than=clock.now() - before))
    return sum(1 for _ in old) if dry_run else letters.purge(old)


def _notes(before: float, dry_run: bool) -> int:
    return tables.forget_before(open_database(), clock.utc(before), dry_run=dry_run)


def _events(before: float, dry_run: bool) -> int:
    with events.prepare(open_database()).transaction() as transaction:
        return events.purge(transaction, before=before, dry_run=dry_run)


_SWEEPS: dict[str, Callable[[float, bool], int]] = {
    "exports": _exports,
    "quarantine": _quarantine,
    "unfinished": _unfinished,
    "dead_letters": _dead_letters,
    "notes": _notes,
    "events": _events,
}
