"""Runs rows: for each a fresh server, repetitions interleaved, so that a noisy minute hits every contender."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from .contenders import Contender
from .lab import Server, fresh_server
from .results import RowResult
from .rows import Row
from .scale import Scale
from .spec import BenchmarkError


def run(
    rows: Iterable[Row],
    *,
    scale: Scale,
    repetitions: int,
    open_server: Callable[[], AbstractContextManager[Server]] = fresh_server,
    available: Callable[[Contender], bool] = lambda contender: True,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[RowResult]:
    """Measure ``rows`` one after the other, of the contenders that are ``available``.

    A contender that fails is not tried again in that row, nor one that never came to the end (all infinite): it
    would only cost its time limit once more.
    """
    for row in rows:
        result = RowResult(row)
        given_up: set[str] = set()
        with open_server() as server:
            for repetition in range(repetitions):
                for contender in turn(row.contenders, repetition):
                    if contender.label in given_up or (contender.once and repetition) or not available(contender):
                        continue
                    try:
                        values = row.measure(server, contender, scale)
                    except BenchmarkError as error:
                        result.failures[contender.label] = str(error)
                        given_up.add(contender.label)
                        say(f"{row.name} {repetition + 1}/{repetitions} {contender.label}: failed: {error}")
                        continue
                    result.add(contender, values)
                    if math.isinf(values[row.metrics[0].key]):
                        given_up.add(contender.label)
                    shown = ", ".join(f"{key} {value:,.2f}" for key, value in values.items())
                    say(f"{row.name} {repetition + 1}/{repetitions} {contender.label}: {shown}")
        yield result


def turn(contenders: tuple[Contender, ...], repetition: int) -> tuple[Contender, ...]:
    """The order of one repetition: everybody comes first once."""
    start = repetition % len(contenders)
    return contenders[start:] + contenders[:start]
