"""How messages look in a terminal. The rows are those of ``understudy.inspection.describe``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from understudy import clock

from .console import to_json

STYLES = {
    "PENDING": "dim",
    "STARTED": "cyan",
    "PROGRESS": "cyan",
    "RETRY": "yellow",
    "SUCCESS": "green",
    "FAILURE": "bold red",
    "REVOKED": "magenta",
}
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
#: A result in the terminal is cut to this many characters; ``--json`` gives all of it.
LONGEST = 500


def block(row: dict[str, Any], *, traceback: bool = False) -> RenderableType:
    """All that is known of one message, a line each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")

    def line(name: str, value: RenderableType | None) -> None:
        if value is not None:
            grid.add_row(name, Text(value) if isinstance(value, str) else value)

    line("message", row["id"])
    line("state", state(row))
    if not row["known"]:
        line("", Text("waiting in its queue, delayed, or never sent: unknown and waiting look the same", style="dim"))
    if row["actor"]:
        line("actor", f"{row['actor']} (queue {row['queue']})")
        line("attempts", str(row["attempts"]))
    line("held by", _holder(row))
    line("deaths", f"{row['deaths']}: so often a process died at its body" if row["deaths"] else None)
    line("progress", _progress(row))
    line("started", when(row["started_at"]))
    line("next run", when(row["next_run"]) if row["state"] == "RETRY" else None)
    line("done", when(row["done_at"]))
    line("kept until", when(row["expires_at"]))
    if row["state"] == "SUCCESS":
        line("result", shorten(to_json(row["result"])))
    line("error", _error(row))
    if row["traceback"]:
        line("traceback", row["traceback"].rstrip() if traceback else Text("add --traceback to see it", style="dim"))
    return grid


def table(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """Several messages, a line each, to be drawn again and again."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    grid.add_column(no_wrap=True, width=8)
    grid.add_column(no_wrap=True, ratio=2)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=4)
    for row in rows:
        name = Text(row["actor"] or "unknown yet")
        name.append(f"  {row['id']}", style="dim")
        grid.add_row(name, state(row), bar(row), Text(note(row)))
    return grid


def board(rows: Iterable[dict[str, Any]], height: int) -> RenderableType:
    """As many messages as there are lines, a line each: those that go on first, then those that did not succeed."""
    ranks = {"SUCCESS": 2, "FAILURE": 1, "REVOKED": 1}
    rows = list(rows)
    if len(rows) < 2:
        return table(rows)
    ended = sum(row["state"] in ranks for row in rows)
    words = f"{ended} of {len(rows)} have ended"
    most = max(1, height - 2)
    if len(rows) > most:
        rows = sorted(rows, key=lambda row: ranks.get(row["state"], 0))[:most]
        words += f"; {most} are shown"
    return Group(table(rows), Text(words, style="dim"))


def state(row: dict[str, Any]) -> Text:
    """The state in its colour."""
    return Text(row["state"], style=STYLES[row["state"]])


def bar(row: dict[str, Any]) -> RenderableType:
    """A progress bar: moving while there is no total, full after SUCCESS."""
    current, total = _numbers(row)
    if row["state"] == "SUCCESS":
        return ProgressBar(total=1, completed=1)
    if total:
        return ProgressBar(total=total, completed=min(max(current, 0), total))
    if row["state"] in ("STARTED", "PROGRESS"):
        return ProgressBar(total=None, animation_time=clock.monotonic())
    return ProgressBar(total=1, completed=0)


def note(row: dict[str, Any]) -> str:
    """What there is to say of a message in few words."""
    if row["state"] in ("FAILURE", "REVOKED", "RETRY") and row["exception"]:
        said = f"{row['exception']['type'].rpartition('.')[2]}: {row['exception']['message']}"
        if row["state"] == "RETRY" and row["next_run"]:
            return f"again {when(row['next_run'])}: {said}"
        return said
    if row["state"] == "SUCCESS":
        return shorten(to_json(row["result"]), 200)
    return _words(row)


def when(iso: str | None) -> str | None:
    """``2026-03-01 12:00:05 UTC (5 s ago)``."""
    if iso is None:
        return None
    moment = datetime.fromisoformat(iso)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({ago(clock.now() - moment.timestamp())})"


def ago(seconds: float) -> str:
    """``5 s ago``, ``in 3 min``: in the largest unit that fits."""
    if abs(seconds) < 1:
        return "now"
    return f"{_length(seconds)} ago" if seconds > 0 else f"in {_length(-seconds)}"


def shorten(text: str, longest: int = LONGEST) -> str:
    """``text``, cut to ``longest`` characters with a word on how much is missing."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text) - longest:,} characters more: --json)"


def _holder(row: dict[str, Any]) -> str | None:
    found = row["holder"]
    if found is None or row["state"] not in ("STARTED", "PROGRESS"):
        return None
    if found["worker"] is None:
        return "nobody: it waits to run again"
    if found["alive"]:
        return f"{found['worker']}, which lives"
    silent = "silent" if found["silent"] is None else f"silent for up to {_length(found['silent'])}"
    return f"{found['worker']}, {silent}: it will run elsewhere when the lease is over"


def _progress(row: dict[str, Any]) -> RenderableType | None:
    if not row["progress"]:
        return None
    _, total = _numbers(row)
    if not total:
        return _words(row)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(ProgressBar(total=total, completed=_numbers(row)[0], width=30), Text(_words(row)))
    return grid


def _words(row: dict[str, Any]) -> str:
    info = row["progress"] if isinstance(row["progress"], dict) else {}
    current, total = _numbers(row)
    parts = [f"{_number(current)}/{_number(total)}" if total else _number(current)] if "current" in info else []
    if row["rate"] is not None:
        parts.append(f"{row['rate']:.3g}/s" if row["rate"] < 100 else f"{row['rate']:,.0f}/s")
    if row["eta"] is not None:
        parts.append(f"{_length(row['eta'])} left")
    parts += [
        f"{name}={value if isinstance(value, str) else to_json(value)}"
        for name, value in info.items()
        if name not in ("current", "total")
    ]
    return shorten("  ".join(parts))


def _length(seconds: float) -> str:
    """In the largest unit that fits."""
    unit, length = next((unit for unit in UNITS if seconds >= unit[1]), UNITS[-1])
    return f"{seconds // length:.0f} {unit}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value.is_integer() else f"{value:g}"


def _numbers(row: dict[str, Any]) -> tuple[float, float]:
    info = row["progress"] if isinstance(row["progress"], dict) else {}
    values = [info.get(name) for name in ("current", "total")]
    current, total = (float(value) if isinstance(value, int | float) else 0.0 for value in values)
    return current, total


def _error(row: dict[str, Any]) -> str | None:
    found = row["exception"]
    return None if not found else shorten(f"{found['type']}: {found['message']}", 2_000)
