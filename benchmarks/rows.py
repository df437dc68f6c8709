"""The rows of the table: what is measured, of whom, and the bar that Understudy should clear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from .contenders import (
    BARE,
    CELERY,
    GUARDED,
    ISOLATED,
    LIMITED,
    STOCK,
    STOCK_DEFAULTS,
    UNDERSTUDY,
    Contender,
    capped,
    once,
    recovering,
    with_results,
)
from .lab import Server
from .measures import delaying, draining, flowing, sending, waiting
from .measures import recovering as recovery
from .scale import Scale

Measure = Callable[[Server, Contender, Scale], dict[str, float]]


@dataclass(frozen=True)
class Bar:
    """What a figure of ``contender`` should reach.

    Args:
      kind: ``value`` is the figure itself; ``gain`` is how many times better than the baseline it is, ``cost`` how
        many times worse.
      at_least, at_most: the bar; one of the two is given.
      against: the baseline; None is the best of the stock contenders.
    """

    kind: Literal["value", "gain", "cost"]
    at_least: float | None = None
    at_most: float | None = None
    contender: str = UNDERSTUDY.label
    against: str | None = None


@dataclass(frozen=True)
class Metric:
    """One figure of a row."""

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower"]
    bar: Bar | None = None


@dataclass(frozen=True)
class Row:
    """One measurement, taken of each contender in turn."""

    name: str
    title: str
    measure: Measure
    contenders: tuple[Contender, ...]
    metrics: tuple[Metric, ...]


def _rate(bar: Bar | None = None) -> Metric:
    return Metric("rate", "messages a second", "/s", "higher", bar)


CPU = Metric("cpu", "worker CPU per message", "us", "lower")
PEERS = (STOCK, STOCK_DEFAULTS, CELERY)
TUNED = recovering(STOCK, "heartbeat 5 s, maintenance always")
#: Stock never runs what is due with 20,000 waiting, and a million would take it and Celery half an hour to take in.
CAP = 20_000


def _whole(contender: Contender) -> Contender:
    """The same with all of a row's messages: a part of a workflow is another workflow."""
    return replace(contender, share=1.0)


_FAN_IN = (
    Metric("member", "from run() to the end of the body, per member", "ms", "lower"),
    Metric("seconds", "the same, in all", "s", "lower"),
    Metric("accepted", "until run() has returned", "s", "lower"),
)

ROWS = (
    Row(
        "drain-1",
        "Drain of no-op messages, one process (8 threads)",
        draining.drain,
        (UNDERSTUDY, BARE, *PEERS),
        (_rate(Bar("gain", at_least=5.0)), CPU),
    ),
    Row(
        "drain-2",
        "Drain of no-op messages, two processes (8 threads each)",
        partial(draining.drain, processes=2),
        (UNDERSTUDY, *PEERS),
        (_rate(Bar("gain", at_least=3.0)), CPU),
    ),
    Row(
        "drain-results",
        "Drain of no-op messages with every result stored, one process",
        draining.drain,
        (UNDERSTUDY, *map(with_results, (STOCK, CELERY))),
        (_rate(), CPU),
    ),
    Row(
        "idle",
        "Pick-up by an idle worker: from send to the start of the body",
        waiting.pick_up,
        (UNDERSTUDY, STOCK, CELERY),
        (
            Metric("p50", "p50", "ms", "lower", Bar("value", at_most=1.5)),
            Metric("p99", "p99", "ms", "lower", Bar("value", at_most=3.0)),
            Metric("silence", "after 2 s of silence, median", "ms", "lower", Bar("value", at_most=1.5)),
            Metric("silence_worst", "after 2 s of silence, worst", "ms", "lower", Bar("value", at_most=3.0)),
        ),
    ),
    Row(
        "result",
        "Send and wait for the result",
        waiting.result,
        (UNDERSTUDY, *map(with_results, (STOCK, CELERY))),
        (
            Metric("p50", "p50", "ms", "lower", Bar("value", at_most=2.0)),
            Metric("p99", "p99", "ms", "lower"),
        ),
    ),
    Row(
        "enqueue",
        "Enqueue one by one",
        sending.one_by_one,
        (UNDERSTUDY, STOCK, CELERY),
        (_rate(Bar("gain", at_least=1.0)),),
    ),
    Row(
        "bulk",
        "Enqueue in bulk",
        sending.in_bulk,
        (UNDERSTUDY, STOCK, CELERY),
        (_rate(Bar("gain", at_least=10.0)),),
    ),
    Row(
        "io",
        "Bodies that wait 5 ms, 16 threads, one process (ideal 3,200/s)",
        draining.io,
        (UNDERSTUDY, *PEERS),
        (_rate(Bar("value", at_least=2_880.0)), CPU),
    ),
    Row(
        "bytes",
        "Memory on the server per waiting message",
        sending.queued_bytes,
        (UNDERSTUDY, STOCK, CELERY),
        (Metric("bytes", "bytes", "B", "lower", Bar("cost", at_most=1.5)),),
    ),
    Row(
        "guards",
        "Cost of the guards: idempotency, progress and state, against a bare message",
        draining.guards,
        (BARE, GUARDED),
        (
            Metric(
                "rate",
                "saturated, messages a second",
                "/s",
                "higher",
                Bar("cost", at_most=1.3, contender=GUARDED.label, against=BARE.label),
            ),
            Metric(
                "single",
                "one at a time (one thread, no prefetch), messages a second",
                "/s",
                "higher",
                Bar("cost", at_most=2.5, contender=GUARDED.label, against=BARE.label),
            ),
            Metric("cpu", "saturated, worker CPU per message", "us", "lower"),
        ),
    ),
    Row(
        "isolation",
        "Cost of a process of its own (an actor with a time limit): send and wait for the result",
        waiting.isolated,
        (UNDERSTUDY, ISOLATED),
        (
            Metric("p50", "p50", "ms", "lower"),
            Metric("p99", "p99", "ms", "lower"),
            Metric("first", "the first one, for which the process is made", "ms", "lower"),
        ),
    ),
    Row(
        "limits",
        "Cost of limits: a rate and a concurrency limit that are not reached, against a bare message",
        draining.guards,
        (BARE, LIMITED),
        (
            Metric("rate", "saturated, messages a second", "/s", "higher"),
            Metric("single", "one at a time (one thread, no prefetch), messages a second", "/s", "higher"),
            Metric("cpu", "saturated, worker CPU per message", "us", "lower"),
        ),
    ),
    Row(
        "chain",
        "A chain, every result stored: from the body of a step to the body of the next",
        flowing.chain,
        (UNDERSTUDY, with_results(STOCK), _whole(with_results(CELERY))),
        (Metric("hop", "mean per hop", "ms", "lower"),),
    ),
    Row(
        "chord",
        "A chord of 1,000 members, every result stored (Dramatiq: a group and its callback, which gets no results)",
        flowing.chord,
        (UNDERSTUDY, with_results(STOCK), _whole(with_results(CELERY))),
        _FAN_IN,
    ),
    Row(
        "chord-large",
        "A chord of 100,000 members, every result stored (Dramatiq: as above)",
        flowing.large_chord,
        # Celery sends the members one by one, and takes minutes each time.
        (UNDERSTUDY, with_results(STOCK), once(with_results(CELERY))),
        _FAN_IN,
    ),
    Row(
        "recovery",
        "Recovery: kill -9 of the only worker, a new one at once, idle system",
        recovery.recovery,
        (UNDERSTUDY, TUNED, STOCK_DEFAULTS, recovering(CELERY, "acks_late")),
        (Metric("seconds", "until the last of 8 runs again", "s", "lower", Bar("value", at_most=10.0)),),
    ),
    Row(
        "delayed",
        "Delayed messages: many due in an hour, a few that come due beside them",
        delaying.delayed,
        (UNDERSTUDY, capped(STOCK, CAP), capped(CELERY, CAP)),
        (
            Metric("p99", "lateness of the few, p99", "ms", "lower", Bar("value", at_most=20.0)),
            Metric("p50", "lateness of the few, p50", "ms", "lower"),
            Metric("growth", "growth of the worker's memory", "MiB", "lower", Bar("value", at_most=8.0)),
            Metric("rss_before", "the worker's memory before", "MiB", "lower"),
            Metric("bytes", "on the server per delayed message", "B", "lower"),
        ),
    ),
)
