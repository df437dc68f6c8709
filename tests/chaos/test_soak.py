"""Everything at once (P1, P2, P3, P4, P6, P7, P11).

``CHAOS_SECONDS`` makes the long one longer, ``CHAOS_SEED`` makes the same trouble again.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos.plant import plant
from tests.chaos.soak import Judge, Load, Trouble
from understudy import clock

#: How long the long one lasts, in seconds, if nobody says otherwise.
SECONDS = 180.0


def soak(directory: Path, seed: int, seconds: float) -> str:
    """One round of trouble after the other for so many seconds, at least one; what happened, in words."""
    with plant(directory) as stage:
        trouble, load = Trouble(stage, seed), Load(stage, seed)
        load.start()
        try:
            end = clock.monotonic() + seconds
            trouble.round()
            while clock.monotonic() < end:
                trouble.round()
        finally:
            load.stop()
        judge = Judge(stage, load, trouble)
        judge.check()
        return (
            f"seed {seed}: {len(load.handles)} messages accepted, {load.unsure} sends without an answer; "
            f"{dict(trouble.happened)}; in doubt {len(judge.in_doubt)}, killed three times {len(judge.unlucky)}"
        )


def test_a_mixed_load_comes_through_every_kind_of_trouble_once(tmp_path: Path) -> None:
    soak(tmp_path, seed=3, seconds=0)


@pytest.mark.chaos_long
@pytest.mark.timeout(0)
def test_a_mixed_load_comes_through_minutes_of_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    with capsys.disabled():
        print(f"\nCHAOS_SEED={seed}")  # noqa: T201 - it must be known when this fails
        print(soak(tmp_path, seed, float(os.environ.get("CHAOS_SECONDS") or SECONDS)))  # noqa: T201 - for people
