"""Limits over real worker processes: the pace is kept, in order, and a killed holder's place comes back."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.journal import lines_of
from tests.chaos.plant import Plant, plant
from understudy import clock
from understudy.handle import Handle
from understudy.testing.conditions import wait_until

MODULE = "tests.chaos.paced_actors"
#: Seconds between two bodies of ``rarely``, as it stands there.
RARE = 1.5
PACE = 50
TIMEOUT = 60.0


@dataclass
class Pace:
    """What a run came to.

    Attributes:
      rate: bodies that began in a second, from the first to the last.
      most: the most that began in any second.
      given, most_given: the same of the turns that the server gave, by its clock.
      strict: the most turns that it gave within the part of a second that limits promise (docs/explanation/limits.md).
      turned: by how many places a turn was displaced at the most.
      inversions: neighbours in the wrong order: of two that are on their way at once the second may come first.
      displaced: by how many places the one was displaced that was displaced the most.
      back: how often a message was handed back, on average.
    """

    rate: float
    most: int
    given: float
    most_given: int
    strict: int
    turned: int
    inversions: int
    displaced: int
    back: float

    @classmethod
    def of(cls, journal: Path, within: float) -> Pace:
        """From what the bodies noted. ``within``: the part of a second that is promised."""
        lines = [line.split() for line in lines_of(journal)]
        begun = sorted((float(at), int(name)) for word, name, at in lines if word == "begins")
        given = sorted((float(at), int(name)) for word, name, at in lines if word == "given")
        asked = Counter(name for word, name, _ in lines if word == "asks")
        times, names = [at for at, _ in begun], [name for _, name in begun]
        wrong = sum(one > other for one, other in itertools.pairwise(names))
        turns = [at for at, _ in given]
        return cls(
            rate=_rate(times),
            most=_most(times),
            given=_rate(turns),
            most_given=_most(turns),
            strict=_most(turns, within),
            turned=_displaced([name for _, name in given]),
            inversions=wrong,
            displaced=_displaced(names),
            back=round(sum(asked.values()) / len(names) - 1, 3),
        )


def _rate(times: list[float]) -> float:
    return round((len(times) - 1) / (times[-1] - times[0]), 2)


def _most(times: list[float], seconds: float = 1.0) -> int:
    end = seconds - 0.0005  # the server's clock has whole milliseconds
    return max(sum(start <= at < start + end for at in times[i : i + 4 * PACE]) for i, start in enumerate(times))


def _displaced(names: list[int]) -> int:
    return max(abs(place - name) for place, name in enumerate(names))


def paced(stage: Plant, count: int, actor: str = "paced") -> tuple[list[Handle], Pace]:
    """Send so many messages to three worker processes and wait until they have run."""
    for _ in range(3):
        stage.worker(threads=2, module=MODULE)
    wait_until(lambda: all("ready" in worker.said() for worker in stage.workers), timeout=TIMEOUT, what="the workers")
    sent = [stage.send(actor, str(number)) for number in range(count)]
    # Six threads, and hundreds of messages over the limit: none of them is in a thread.
    assert stage.send("free").get(timeout=5) == "free"
    stage.wait_for_all(sent, timeout=count / PACE * 1.2 + 30)
    return sent, Pace.of(stage.directory / "effects", 0.9 if actor == "paced" else 0.98)


def check(sent: list[Handle], pace: Pace) -> None:
    assert {handle.get() for handle in sent} == {0}, "no attempt was burned"
    assert pace.rate <= PACE * 1.02, pace
    assert pace.strict <= PACE + 1, pace


def test_three_workers_keep_one_pace_in_order_without_a_waiting_thread(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        sent, pace = paced(stage, 300)
        sys.stderr.write(f"{pace}\n")
        check(sent, pace)
        assert pace.turned <= PACE / 2, pace
        assert pace.back <= 2, pace


def test_what_does_not_run_takes_no_turn_from_what_does(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        sent = [stage.send("rarely", name) for name in ("first", *["first"] * 20)]
        expiring = [stage.send("rarely", f"e{number}", expires_at=clock.now() + 1) for number in range(10)]
        revoked = [stage.send("rarely", f"r{number}") for number in range(10)]
        sent += [stage.send("rarely", name) for name in ("second", "third")]
        for _ in range(2):
            stage.worker(threads=2, module=MODULE)
        line = stage.broker.storage.keys.limit("rate:actor:rarely")[2]
        wait_until(
            lambda: stage.broker.storage.client.zscore(line, f"chaos/{sent[-1].id}") is not None,
            timeout=TIMEOUT,
            what="the last one stands in line",
        )
        for handle in revoked:
            handle.revoke()
        stage.wait_for_all([*sent, *expiring, *revoked])
        assert {handle.get() for handle in sent} == {0}
        assert {handle.status for handle in expiring} == {handle.status for handle in revoked} == {"REVOKED"}
        begun = [line.split() for line in lines_of(tmp_path / "effects") if line.startswith("begins")]
        assert [name for _, name, _ in begun] == ["first", "second", "third"]
        # Each of the forty that do not run would have cost one turn.
        assert float(begun[-1][2]) - float(begun[0][2]) < 5 * RARE


@pytest.mark.chaos_long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("actor", ["paced", "windowed"])
def test_five_thousand_messages_are_kept_within_two_per_cent(tmp_path: Path, actor: str) -> None:
    with plant(tmp_path) as stage:
        sent, pace = paced(stage, 5_000, actor)
        sys.stderr.write(f"{pace}\n")
        check(sent, pace)
        assert pace.rate >= PACE * 0.98, pace
        assert pace.displaced <= PACE / 2, pace
        assert pace.back <= 2, pace


def test_the_place_of_a_killed_holder_comes_back_with_its_lease(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        effects, gates = tmp_path / "effects", [str(tmp_path / name) for name in ("first", "second")]

        def names(word: str) -> list[str]:
            return [line.split()[1] for line in lines_of(effects) if line.startswith(word)]

        first = stage.worker(threads=4, module=MODULE)
        held = [stage.send("placed", f"held{number}", gate) for number, gate in enumerate(gates)]
        wait_until(lambda: len(names("begins")) == 2, timeout=TIMEOUT, what="both places are taken")
        waiting = [stage.send("placed", f"waits{number}", str(tmp_path)) for number in range(3)]
        wait_until(lambda: len(names("asks")) == 5, timeout=TIMEOUT, what="all have asked")
        stage.worker(threads=4, module=MODULE)
        first.kill()
        wait_until(lambda: len(names("begins")) == 4, timeout=TIMEOUT, what="what it held runs again")
        assert sorted(names("begins")[2:]) == ["held0", "held1"], "it goes first, and nobody ran beside it"
        Path(gates[0]).touch()
        stage.wait_for_all(waiting, timeout=TIMEOUT)
        assert names("begins")[4:] == ["waits0", "waits1", "waits2"]
        Path(gates[1]).touch()
        stage.wait_for_all(held, timeout=TIMEOUT)
        assert {handle.get() for handle in (*held, *waiting)} == {0}, "no attempt was burned"
