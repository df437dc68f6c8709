"""An outage while long bodies run on live workers: each runs once, and its outcome commits after it (P1, P2).

Whether the server dies or the line to it does is the same to a worker. Nobody is taken for dead meanwhile, though the
outage is longer than a lease.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.proxy import Line
from tests.chaos.wired import Wired, wired
from understudy import clock
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.testing.conditions import wait_until

TIMEOUT = 90.0
#: Longer than the lease of two seconds, and long enough for its loss to be noticed.
SHORT, LONG = 2.5, 30.0
#: Seconds within which a sender is told, with a wide margin. It waits for half a second in each of four attempts.
TOLD = 15.0

Outage = tuple[Callable[[Wired], None], Callable[[Wired], None]]

OUTAGES: dict[str, Outage] = {
    "the server is killed": (lambda stage: stage.plant.server.kill(), lambda stage: stage.plant.server.start()),
    "the line is closed": (lambda stage: stage.proxy.fail(Line.REFUSING), lambda stage: stage.proxy.heal()),
    "the line swallows all": (lambda stage: stage.proxy.fail(Line.BLACKHOLE), lambda stage: stage.proxy.heal()),
}


def run_through(stage: Wired, outage: Outage, seconds: float) -> None:
    """Eight long bodies on two live workers begin before an outage; one half ends in it, the other half after it."""
    begin, end = outage
    leases = stage.workers(2, threads=5)
    in_it, after_it = (str(stage.plant.directory / gate) for gate in ("in-it", "after-it"))
    names = [f"l{n}" for n in range(8)]
    bodies = [stage.send("gated", name, in_it if n < 4 else after_it) for n, name in enumerate(names)]
    wait_until(lambda: counts(stage, "begins") == [1] * 8, timeout=TIMEOUT, what="all bodies have begun")
    others = [stage.send("note", f"delayed-{n}", delay=int(seconds * 500)) for n in range(5)]

    began = clock.monotonic()
    begin(stage)
    with pytest.raises(ServerUnavailable, match="did not answer"):
        stage.send("note", "in-vain")
    assert clock.monotonic() - began < TOLD
    Path(in_it).touch()
    wait_until(lambda: counts(stage, "ends") == [1] * 4 + [0] * 4, timeout=TIMEOUT, what="one half has ended")
    wait_until(lambda: clock.monotonic() - began > seconds, timeout=seconds + 10, what="the outage is over")
    end(stage)

    others += [stage.send("note", f"later-{n}") for n in range(20)]
    stage.plant.wait_for_all([*bodies[:4], *others], timeout=TIMEOUT)
    renewed = stage.beats()
    wait_until(
        lambda: all(count > renewed.get(name, 0) + 1 for name, count in stage.beats().items()),
        timeout=TIMEOUT,
        what="the leases are renewed again",
    )
    Path(after_it).touch()
    stage.plant.wait_for_all(bodies, timeout=TIMEOUT)
    assert [one.result for one in [*bodies, *others] if not one.successful()] == []
    effects = stage.plant.effects()
    assert {name: times for name, times in effects.items() if times != 1} == {}
    assert counts(stage, "begins") == counts(stage, "ends") == [1] * 8
    assert len([name for name in effects if name.startswith(("delayed-", "later-"))]) == 25
    assert [one.retries for one in bodies] == [0] * 8
    # Nobody lost a lease, no outcome was refused.
    assert stage.zombies() == []
    assert set(stage.beats()) == leases
    assert stage.plant.broker.size("chaos") == 0


def counts(stage: Wired, word: str) -> list[int]:
    """How often each long body began, or ended."""
    effects = stage.plant.effects()
    return [effects[f"l{n} {word}"] for n in range(8)]


@pytest.mark.parametrize(
    "outage",
    [
        "the server is killed",
        "the line swallows all",
        pytest.param("the line is closed", marks=pytest.mark.chaos_long),  # much like the first one
    ],
)
def test_long_bodies_on_live_workers_run_once_through_an_outage_and_commit(outage: str, tmp_path: Path) -> None:
    with wired(tmp_path) as stage:
        run_through(stage, OUTAGES[outage], SHORT)


@pytest.mark.chaos_long
@pytest.mark.parametrize("outage", OUTAGES)
def test_long_bodies_on_live_workers_run_once_through_an_outage_of_half_a_minute(outage: str, tmp_path: Path) -> None:
    with wired(tmp_path) as stage:
        run_through(stage, OUTAGES[outage], LONG)


@pytest.mark.chaos_long
def test_a_sender_with_the_timeouts_of_every_day_is_told_that_nobody_answers(tmp_path: Path) -> None:
    with wired(tmp_path) as stage:
        sender = RedisBroker(url=stage.proxy.url, namespace=stage.plant.namespace)
        stage.proxy.fail(Line.BLACKHOLE)
        began = clock.monotonic()
        with pytest.raises(ServerUnavailable, match="did not answer"):
            sender.enqueue(stage.message("note", "in-vain"))
        # Five seconds in each of four attempts.
        assert clock.monotonic() - began < 60
        sender.close()
