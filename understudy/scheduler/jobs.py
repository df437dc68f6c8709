"""``@periodic``: what makes an actor a periodic job. Everything is checked at import."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import dramatiq
from dramatiq import Broker, Message

from understudy.actors import Actor, declared
from understudy.declaring import HOW_TO_INSTALL
from understudy.durations import Duration, to_seconds
from understudy.errors import DeclarationError
from understudy.options import choose, did_you_mean
from understudy.uniqueness import OPTION

from .cron import Cron, Days, parse_cron, parse_zone
from .every import Every, parse_every
from .firing import header

CatchUp = Literal["latest", "all", "none"]
Overlap = Literal["allow", "skip"]
A = TypeVar("A", bound=Actor[Any, Any])

#: What users of Celery, APScheduler or cron may write, and what it is called here.
OTHER_NAMES = {
    "schedule": "cron=... or every=...",
    "crontab": "cron='...'",
    "minute": "cron='...', a text of five fields",
    "hour": "cron='...', a text of five fields",
    "day_of_week": "cron='...', a text of five fields",
    "seconds": "every=...",
    "minutes": "every=timedelta(minutes=...)",
    "hours": "every=timedelta(hours=...)",
    "interval": "every=...",
    "tz": "timezone=...",
    "coalesce": "catch_up='latest'",
    "misfire_grace_time": "window=...",
    "max_instances": "overlap='skip'",
    "replace_existing": "nothing: the code says which jobs there are",
    "id": "name=...",
}
#: What ``options`` of a job may not hold, because the scheduler or the job says it.
_OURS = {"message_id": "it names the job and its fire time", "delay": "the schedule says when", "eta": "as delay"}
#: The longest that a message keeps the next one away (``overlap="skip"``), if nobody knows what has become of it.
STANDS = timedelta(days=7)


@dataclass(frozen=True)
class Job:
    """A periodic job, checked. Durations in milliseconds.

    Attributes:
      ticks: when it fires.
      window: a tick that is later than this is not caught up; None: however late.
    """

    name: str
    actor: Actor[Any, Any] = field(repr=False, compare=False)
    ticks: Cron | Every
    timezone: str = "UTC"
    catch_up: CatchUp = "latest"
    window: int | None = None
    jitter: int = 0
    overlap: Overlap = "allow"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def put_off(self, fire: int) -> int:
        """By how many milliseconds the tick is put off: the same in every process, below ``jitter``."""
        if not self.jitter:
            return 0
        digest = hashlib.blake2b(f"{self.name} {fire}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.jitter

    def message(self, fire: int, *, message_id: str | None = None) -> Message[Any]:
        """The message of a tick. Its id says what it is for: ``name@2026-03-01T12:00:00Z``."""
        headers = {**(self.options.get("headers") or {}), **header(self.name, fire, self.timezone)}
        built = self.actor.message_with_options(
            args=self.args,
            kwargs=dict(self.kwargs),
            message_id=tick_id(self.name, fire) if message_id is None else message_id,
            **{**self.options, "headers": headers},
        )
        if self.overlap == "skip":
            # It travels, so that whoever ends the message frees the lock with its outcome.
            built.options[OPTION] = f"periodic:{self.name}"
        return built


def tick_id(name: str, fire: int) -> str:
    """The id of the message of a tick."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=fire)
    text = moment.isoformat(timespec="milliseconds" if fire % 1000 else "seconds")
    return f"{name}@{text.replace('+00:00', 'Z')}"


_jobs: WeakKeyDictionary[dramatiq.Actor[..., Any], list[Job]] = WeakKeyDictionary()


def jobs_of(broker: Broker) -> dict[str, Job]:
    """The periodic jobs of the actors of ``broker``, by name.

    Raises:
      DeclarationError: two have the same name.
    """
    found: dict[str, Job] = {}
    for actor in broker.actors.values():
        for job in _jobs.get(actor, ()):
            if job.name in found:
                raise DeclarationError(
                    f"periodic job {job.name!r}: {job.actor.actor_name} and {found[job.name].actor.actor_name} both "
                    "have a job of this name; give one of them name='...'"
                )
            found[job.name] = job
    return dict(sorted(found.items()))


def periodic(
    *,
    cron: str | None = None,
    every: Duration | None = None,
    timezone: str | None = None,
    days: Days | None = None,
    catch_up: CatchUp = "latest",
    window: Duration | None = None,
    jitter: Duration = 0,
    overlap: Overlap = "allow",
    name: str | None = None,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> Callable[[A], A]:
    """Make an actor a periodic job: each fire time becomes one message (P10), while a scheduler runs. ::

        @periodic(cron="0 3 * * *", timezone="Europe/Berlin")
        @actor(queue_name="maintenance")
        def purge() -> None: ...

    Durations are timedeltas or seconds.

    Args:
      cron: five fields: minute, hour, day of the month, month, weekday (B01). Names are known (``MON``, ``JAN``); 0 and
        7 are Sunday; ``L`` is the last day of a month, ``FRI#2`` its second Friday, ``5L`` its last one.
      every: in place of ``cron``: at equal distances from when a scheduler first saw the job; the first time after one
        of them (B03).
      timezone: the zone of ``cron``; UTC by default. A time of day that is skipped when the clocks are put forward
        comes as much later, and one that comes twice fires the first time (B04).
      days: needed when both a day of the month and a weekday are given: ``"both"`` must be met, as in Celery, or
        ``"either"``, as in cron.
      catch_up: what becomes of ticks that came due while no scheduler ran: ``"latest"`` makes up for the last of them
        (B02), ``"all"`` for each, in order (the last thousand), ``"none"`` for none.
      window: a tick that is later than this is not made up for (B09); however late by default, and with ``"none"`` ten
        seconds, within which a tick still counts as on time.
      jitter: each tick is put off by up to this, by the same time in every scheduler. The fire time stays what it is.
      overlap: ``"skip"`` leaves a tick out while the message of the one before has not ended; ``"allow"`` sends it
        (B07).
      name: of the job, if not the actor's.
      args, kwargs, options: of its messages: ``options`` as in ``send_with_options``, ``expires`` among them (B08).

    Raises:
      DeclarationError: names what is wrong.
    """

    def declare(target: A) -> A:
        if not isinstance(target, Actor):
            raise DeclarationError(f"@periodic stands above @actor, and decorates an actor, not {target!r}")
        job_named = target.actor_name if name is None else name
        where = f"periodic job {job_named}: "
        _refuse_unknown(unknown, where)
        if not isinstance(job_named, str) or not job_named or not job_named.isprintable():
            raise DeclarationError(f"{where}a name is a text that is not empty and can be printed")
        job = Job(
            name=job_named,
            actor=target,
            ticks=_ticks(cron, every, timezone, days, where),
            timezone=parse_zone(timezone, where=where),
            catch_up=_catch_up(catch_up, where),
            window=None if window is None else _millis(window, f"{where}window"),
            jitter=_millis(jitter, f"{where}jitter", allow_zero=True),
            overlap=overlap,
            args=tuple(args),
            kwargs=dict(kwargs or {}),
            options=dict(options or {}),
        )
        if "headers" not in target.broker.actor_options:
            raise DeclarationError(f"{where}no middleware of its broker tells the body its fire time; {HOW_TO_INSTALL}")
        _check_together(job, where)
        _check_message(job, where)
        _jobs.setdefault(target, []).append(job)
        return target

    return declare


def _refuse_unknown(unknown: Mapping[str, Any], where: str) -> None:
    known = ("cron", "every", "timezone", "days", "catch_up", "window", "jitter", "overlap", "name", "args", "kwargs")
    for option in unknown:
        other = OTHER_NAMES.get(option)
        hint = f"; did you mean {other}?" if other else did_you_mean(option, (*known, "options"))
        raise DeclarationError(f"{where}unknown option {option!r}{hint}")


def _ticks(cron: object, every: Any, timezone: object, days: object, where: str) -> Cron | Every:
    if (cron is None) == (every is None):
        both = "gives both cron and every" if every is not None else "gives neither cron nor every"
        raise DeclarationError(f"{where}{both}; give one of them")
    if cron is not None:
        return parse_cron(cron, timezone=timezone, days=days, where=where)
    for option, value in (("timezone", timezone), ("days", days)):
        if value is not None:
            raise DeclarationError(f"{where}{option} goes with cron; every counts from when the job was first seen")
    return parse_every(every, where=where)


def _catch_up(value: str, where: str) -> CatchUp:
    choose(value, ("latest", "all", "none"), field=f"{where}catch_up")
    found: CatchUp = value  # type: ignore[assignment]  # one of them, as was checked
    return found


def _millis(value: Duration, name: str, *, allow_zero: bool = False) -> int:
    return round(to_seconds(value, field=name, allow_zero=allow_zero) * 1000)


def _check_together(job: Job, where: str) -> None:
    choose(job.overlap, ("allow", "skip"), field=f"{where}overlap")
    if isinstance(job.ticks, Every) and job.jitter >= job.ticks.interval:
        raise DeclarationError(f"{where}jitter is not below every, so that ticks would overtake each other")
    if job.window is not None and job.jitter > job.window:
        raise DeclarationError(f"{where}jitter is above window, so that some ticks would never be sent")
    if job.overlap == "skip" and declared(job.actor).unique is not None:
        raise DeclarationError(
            f"{where}overlap='skip' and unique=... of the actor both keep a message away; keep one of them"
        )


def _check_message(job: Job, where: str) -> None:
    for option, why in _OURS.items():
        if option in job.options:
            raise DeclarationError(f"{where}options may not hold {option}: {why}")
    try:
        job.actor.signature.bind(*job.args, **job.kwargs)
        job.message(0).encode()
    except TypeError as error:  # a DeclarationError or a SerializationError, too
        raise DeclarationError(f"{where}its message cannot be made: {error}") from None
