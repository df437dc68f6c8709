"""A worker of one thread: how fast it is beside a plain loop, and how it gets over a body that hangs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from understudy.errors import TimeLimitExceeded
from understudy.states import State
from understudy.testing.conditions import wait_until

from .scenes import TIMEOUT, Work, work
from .trials import Trial, trials

#: One scene is set up for all of them.
pytestmark = pytest.mark.timeout(500)

#: Messages of a comparison.
COUNT = 8
#: A worker may need so many times what a loop needs. On an idle machine it is 1 to 7.
SLOWER = 25
#: Seconds.
LIMIT = 1.0


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    with work(tmp_path_factory.mktemp("work")) as made:
        yield made


@pytest.mark.parametrize("trial", trials("throughput"), ids=str)
def test_throughput(trial: Trial, working: Work) -> None:
    loop, worker = working.compare(trial.main, COUNT)
    assert worker < SLOWER * loop


@pytest.mark.chaos_long
@pytest.mark.parametrize("trial", trials("throughput"), ids=str)
def test_throughput_of_many(trial: Trial, working: Work) -> None:
    loop, worker = working.compare(trial.main, 25 * COUNT)
    assert worker < SLOWER * loop


@pytest.mark.parametrize("trial", trials("time_out"), ids=str)
def test_time_out(trial: Trial, working: Work) -> None:
    main, house = trial.main, working.house
    working.wait(house.enqueue(working.calls(main, 1)))
    (hung,), (following,) = working.calls(main, 1), working.calls(main, 1)
    pids = working.worker.processes()
    with house.silence():
        (handle,) = house.enqueue([hung], time_limit=int(LIMIT * 1000))
        wait_until(handle.ready, timeout=TIMEOUT, what=f"its limit\n{house.plant.logs()}")
        assert main.effects(house)[hung.effect] == main.ended
    assert handle.status == State.FAILURE
    with pytest.raises(TimeLimitExceeded, match=f"time limit of {LIMIT:g} s"):
        handle.get(timeout=1)
    record = handle.read()
    assert (record.seconds("done_at") or 0) - (record.seconds("started_at") or 0) < 20 * LIMIT
    working.wait(house.enqueue([following]))
    assert main.effects(house)[following.effect] == 1
    assert working.worker.processes() == pids, "a limit ends the body's process, not its worker"
