"""What a worker and its child tell each other.

To the child: ``Boot`` first, then ``Job`` after ``Job``, and an ``Answer`` to every question. To the worker: ``Ready``
or ``CannotServe`` first, then any number of ``Question`` and one ``Done`` for every job.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field
from typing import Any

from understudy.holds import Hold
from understudy.limits import Limits
from understudy.settings import Settings

from .parcels import Parcel

#: Lets a child write where it is, whatever it does; None where there is no signal that nobody else uses.
WHERE: int | None = signal.SIGRTMIN + 5 if sys.platform == "linux" else None


@dataclass
class Boot:
    """How to become what the worker is: its settings, the modules that it loaded, and where they are looked for."""

    settings: Settings
    modules: list[str]
    path: list[str]


@dataclass
class Ready:
    """The child takes jobs. ``main`` is the identity of the thread that runs them."""

    main: int


@dataclass
class CannotServe:
    """The child ends, because of what ``reason`` says."""

    reason: str


@dataclass
class Job:
    """One execution. ``module`` is where the actor's function is defined."""

    message_id: str
    actor_name: str
    module: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    hold: Hold
    retries: int
    headers: dict[str, Any]
    parent_id: str | None
    root_id: str
    items_scope: str
    claim_key: str | None
    limits: Limits
    workflow: str | None = None
    handed_back: bool = False


@dataclass
class Question:
    """``what`` is asked of the worker, which has the connection, the hold and the outcome."""

    what: str
    args: tuple[Any, ...]


@dataclass
class Answer:
    """The value, or the error that the question met, and what else the worker knows by now."""

    value: Any
    error: Parcel | None
    stopping: bool
    lost: bool
    terminated: str = ""


@dataclass
class Done:
    """The body has ended: with a result (a pickle, or encoded as in a record if it cannot be one), or an error.
    ``marks`` belong to the outcome, ``again`` is a retry that was asked for without raising it, ``told_wait`` are the
    seconds that the error says to wait."""

    result: bytes = b""
    encoded: bytes = b""
    error: Parcel | None = None
    marks: dict[str, str] = field(default_factory=dict)
    again: Parcel | None = None
    told_wait: float | None = None
