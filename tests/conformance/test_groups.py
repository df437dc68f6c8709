"""Group G: groups."""

from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import SOON, working
from understudy import chain, group, step, workflow
from understudy.brokers.redis import RedisBroker
from understudy.testing.worker import StepWorker

from .behaviours import Outcome, behaviour, got
from .scenes_of_workflows import Drain, Scene, recorded, states


@pytest.fixture
def scene(broker: RedisBroker) -> Scene:
    return Scene()


@behaviour("G01")
def test_g01_results_stand_in_declared_order(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    found = group(step(scene.give.message(number), delay=4 - number) for number in (1, 2, 3)).run()
    for _ in range(4):
        drain()
        freezer.tick(1)
    assert [values[0] for _, values in scene.ran] == [3, 2, 1]
    outcome(get=got(found.get))


@behaviour("G02")
def test_g02_partial_failure_is_a_value(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = group(scene.give.message(1), scene.boom.message(), scene.give.message(3)).run()
    drain()
    outcome(get=got(found.get), no_propagate=recorded(lambda: found.get(propagate=False)))
    outcome(completed_count=found.completed_count, ready=found.ready(), successful=found.successful())
    outcome(failed=found.failed(), waiting=found.waiting(), others_ran=scene.runs("give"))


@behaviour("G03")
def test_g03_a_group_without_members_has_succeeded(broker: RedisBroker, outcome: Outcome) -> None:
    found = group().run()
    outcome(is_group=found.is_group, get=got(found.get), ready=found.ready(), successful=found.successful())


@behaviour("G04")
def test_g04_a_group_is_found_again_by_its_id(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    id = group(scene.give.message(1), scene.give.message(2)).run().workflow_id
    drain()
    outcome(get=got(workflow(id).get))
    workflow(id).forget()
    outcome(after_delete=workflow(id) if workflow(id).exists() else None)


@behaviour("G05")
def test_g05_a_group_that_is_not_done_yet(
    scene: Scene, drain: Drain, step_worker: StepWorker, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    found = group(scene.give.message(1), step(scene.give.message(2), delay=10)).run()
    drain()
    outcome(count_waiting_ready=[found.completed_count, found.waiting(), found.ready()])
    outcome(get=got(lambda: found.get(timeout=0.2)))


@behaviour("G06")
def test_g06_a_group_in_a_group_counts_as_its_members(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = group(group(scene.give.message(1), scene.give.message(2)), scene.give.message(3)).run()
    drain()
    outcome(get=got(found.get))


@behaviour("G07")
def test_g07_a_chain_counts_as_its_last_result(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    one = chain(scene.add.message(1, 1), scene.add.message(1))
    found = group(one, chain(scene.add.message(1), scene.add.message(10))).run()
    drain()
    outcome(get=got(found.get))


@behaviour("G08")
def test_g08_an_errback_is_sent_for_each_member_that_failed(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    members = (scene.boom.message(), scene.give.message(1), scene.boom.message())
    found = group(*members, on_failure=scene.tell.message()).run()
    drain()
    outcome(errbacks=len(scene.told))
    assert sorted(scene.told) == [f"{found.workflow_id}.{node}" for node in (2, 4)]


@behaviour("G09")
def test_g09_get_raises_the_failure_that_came_first(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    found = group(step(scene.boom.message("declared first"), delay=5), scene.boom.message("first-finished")).run()
    drain()
    outcome(get=got(lambda: found.get(timeout=0)))
    freezer.tick(10)
    drain()
    outcome(get=got(found.get))


@behaviour("G10")
def test_g10_a_callback_of_a_group_gets_its_results(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    group(scene.give.message(1), step(scene.give.message(2), delay=5), on_success=scene.tell.message()).run()
    drain()
    outcome(waits_for_all=scene.told == [])
    freezer.tick(10)
    drain()
    outcome(times=len(scene.told), gets_the_results=scene.told == [[1, 2]])


@behaviour("G11")
def test_g11_a_group_is_revoked_and_forgotten_whole(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = group(scene.give.message(1), scene.give.message(2)).run()
    found.revoke()
    drain()
    outcome(revoked=states(found, 2, 3))
    found.forget()
    drain()
    outcome(forgotten=states(found, 2, 3))


@behaviour("G12")
@pytest.mark.brokers("server")
def test_g12_a_thousand_members_keep_their_order(scene: Scene, broker: RedisBroker, outcome: Outcome) -> None:
    found = group(scene.give.message(number) for number in range(1_000)).run()
    with working(broker, threads=4):
        outcome(in_order=found.get(timeout=SOON) == list(range(1_000)))
