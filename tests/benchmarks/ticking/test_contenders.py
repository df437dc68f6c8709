import sys

from benchmarks.process import CELERY_PYTHON
from benchmarks.ticking.contenders import CONTENDERS


def test_the_peers_run_in_an_environment_of_their_own_and_we_in_ours() -> None:
    ours, *peers = CONTENDERS
    assert ours.command[:4] == [sys.executable, "-m", "understudy.cli", "scheduler"]
    assert {one.command[0] for one in peers} == {str(CELERY_PYTHON)}
    assert len({one.label for one in CONTENDERS}) == len(CONTENDERS) == 5
