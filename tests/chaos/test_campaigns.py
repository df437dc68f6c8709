"""Idempotent and resumable (P3, P4) while workers are killed, paused and stopped at random in the middle of campaigns.

``CHAOS_ITEMS`` makes the campaigns of the long one longer, ``CHAOS_SEED`` makes the same trouble again.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos.campaigns import Havoc, Judge, Load, Operator
from tests.chaos.plant import plant

#: Items of each campaign of the long one, if nobody says otherwise, and seconds for each item.
ITEMS, SECONDS = 10_000, 0.004


def run(directory: Path, seed: int, count: int, seconds: float, *, rounds: int | None) -> str:
    """Campaigns through so many rounds of trouble, or as many as they last; what happened, in words."""
    with plant(directory) as stage:
        load, operator = Load(stage, count, seconds), Operator(stage)
        load.start()
        havoc = Havoc(stage, seed, count, workers_too=rounds is None)
        done = 0
        while not load.ready and done != rounds:
            havoc.round()
            operator.look()
            done += 1
        load.join()
        judge = Judge(stage, load, havoc, operator)
        judge.check()
        assert havoc.zombies, "no zombie was made"
        return (
            f"seed {seed}: {count} items in each campaign; {dict(havoc.happened)}; {havoc.zombies} zombies; "
            f"deliveries {[len(judge.runs[name]) for name in load.campaigns]}; in doubt {dict(judge.in_doubt)}; "
            f"killed three times and requeued {operator.requeued}"
        )


def test_campaigns_come_through_kills_and_pauses_with_nobody_twice(tmp_path: Path) -> None:
    run(tmp_path, seed=11, count=150, seconds=0.03, rounds=1)


@pytest.mark.chaos_long
@pytest.mark.timeout(0)
def test_campaigns_of_ten_thousand_items_come_through_minutes_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    count = int(os.environ.get("CHAOS_ITEMS") or ITEMS)
    with capsys.disabled():
        print(f"\nCHAOS_SEED={seed}")  # noqa: T201 - it must be known when this fails
        print(run(tmp_path, seed, count, SECONDS, rounds=None))  # noqa: T201 - for people
