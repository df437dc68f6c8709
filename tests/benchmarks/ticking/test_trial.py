from pathlib import Path

from benchmarks.lab import fresh_server
from benchmarks.ticking.contenders import CONTENDERS
from benchmarks.ticking.trial import Trial


def test_a_trial_of_our_own_doubles_and_misses_nothing(tmp_path: Path) -> None:
    with fresh_server("everysec", tcp=True) as server:
        found = Trial(CONTENDERS[0], server.url, tmp_path).run(scale=0.12)
    assert (found.doubled, found.missed) == (0, 0)
    assert found.sent >= found.seconds - 1
    assert len(found.takeovers) == 2
