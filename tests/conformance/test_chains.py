"""Group C: chains."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, chain, group, handle, step
from understudy.brokers.redis import RedisBroker
from understudy.errors import TaskError
from understudy.execution import current
from understudy.testing.faults import Faults

from .behaviours import Outcome, behaviour, got
from .scenes_of_workflows import Drain, Scene, states


@pytest.fixture
def scene(broker: RedisBroker) -> Scene:
    return Scene()


@behaviour("C01")
def test_c01_the_previous_result_is_the_first_argument(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.sub.message(20, 5), scene.sub.message(3), scene.sub.message(1)).run()
    drain()
    outcome(get=got(found.get))


@behaviour("C02")
def test_c02_an_immutable_step_does_not_get_the_result(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.add.message(1, 1), step(scene.add.message(3, 4), immutable=True)).run()
    drain()
    outcome(get=got(found.get))


@behaviour("C03")
def test_c03_a_failed_step_stops_the_later_ones(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.add.message(1, 1), scene.boom.message(), scene.add.message(1), scene.add.message(1)).run()
    drain()
    outcome(get_tail=got(found.get), no_propagate=got(lambda: found.get(propagate=False)))
    outcome(states=states(found, 1, 2, 3, 4), runs_after=scene.runs("add") - 1)
    outcome(tracebacks=[bool(handle(f"{found.workflow_id}.{node}").traceback) for node in (1, 2, 3, 4)])


@behaviour("C04")
def test_c04_an_errback_is_sent_once_with_the_failing_step(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    times, told = [], []
    for place in range(3):
        steps: list[Any] = [scene.add.message(1) for _ in range(3)]
        steps[place] = scene.boom.message()
        found = chain(steps).run(on_failure=scene.tell.message())
        drain()
        times.append(len(scene.told))
        told.append(scene.told == [f"{found.workflow_id}.{place + 1}"])
        scene.told.clear()
    outcome(times=times, told_the_step=told)


@behaviour("C05")
def test_c05_an_errback_is_a_message_of_its_own(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    ids: list[Any] = []

    @actor
    def own(id: str, more: str = "") -> None:
        execution = current()
        assert execution is not None
        ids.append((id, execution.message_id, type(handle(id).result).__name__))

    found = chain(scene.boom.message()).run(on_failure=[own.message(), own.message("more")])
    drain()
    outcome(told_the_id={id for id, _, _ in ids} == {found.id})
    outcome(message_of_its_own=[name != found.id for _, name, _ in ids])
    assert [error for _, _, error in ids] == ["Boom", "Boom"]


@behaviour("C06")
def test_c06_chains_in_chains_are_one_line(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    inner = chain(scene.add.message(10), scene.add.message(100))
    found = (chain(scene.add.message(1, 1), inner) | scene.add.message(1000)).run()
    drain()
    nodes, one = 1, found
    while one.parent is not None:
        nodes, one = nodes + 1, one.parent
    outcome(get=got(found.get), nodes=nodes)


@behaviour("C07")
def test_c07_a_chain_may_end_in_a_group(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.add.message(1, 1), group(scene.add.message(number) for number in (1, 10, 100))).run()
    drain()
    outcome(is_group=found.is_group, get=got(found.get))


@behaviour("C08")
def test_c08_what_follows_a_group_gets_its_list(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(group(scene.give.message(1), scene.give.message(2)), scene.body.message()).run()
    drain()
    outcome(get=got(found.get))


@behaviour("C09")
def test_c09_a_member_that_fails_stops_what_follows_its_group(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.give.message(1), group(scene.give.message(2), scene.boom.message()), scene.body.message()).run()
    drain()
    outcome(get_at_once=got(found.get), stored=handle(found.id).status, get_by_id=got(handle(found.id).get))
    outcome(parent_is_the_header=found.parent is not None and found.parent.is_group, runs=scene.runs("body"))


@behaviour("C10")
def test_c10_what_follows_a_revoked_step_is_revoked(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.give.message(1), scene.body.message()).run()
    handle(f"{found.workflow_id}.1").revoke()
    drain()
    outcome(step=states(found, 1)[0], tail=states(found, 2)[0], tail_runs=scene.runs("body"))
    outcome(get_tail=got(found.get), no_propagate=got(lambda: found.get(propagate=False)))


@behaviour("C11")
def test_c11_what_follows_a_step_that_ignores_itself_is_revoked(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.ignores.message(), scene.body.message()).run()
    drain()
    outcome(states=states(found, 1, 2), get_tail=got(lambda: found.get(timeout=0.1)), runs=scene.runs("body"))


@behaviour("C12")
def test_c12_a_rejected_step_stops_the_later_ones(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    @actor
    def rejects() -> None:
        raise TaskError("no thanks")

    found = chain(rejects.message(), scene.body.message()).run()
    drain()
    outcome(states=states(found, 1, 2), get_tail=got(found.get), runs=scene.runs("body"))


@behaviour("C13")
def test_c13_steps_know_where_they_come_from(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    roots: list[str] = []
    parents: list[str | None] = []

    @actor
    def traced(*_: Any) -> None:
        execution = current()
        assert execution is not None
        roots.append(execution.root_id)
        parents.append(execution.parent_id)

    found = chain(traced.message(), traced.message(), traced.message()).run()
    drain()
    ids = [f"{found.workflow_id}.{node}" for node in (1, 2, 3)]
    outcome(root_same=roots == [ids[0]] * 3)
    outcome(parents=[None if parents[0] is None else "?", parents[1] == ids[0], parents[2] == ids[1]])
    assert found.parent is not None
    assert found.parent.id == ids[1]


@behaviour("C14")
def test_c14_none_is_an_argument_like_any_other(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.give.message(None), scene.body.message()).run()
    drain()
    outcome(get=got(found.get), marks=[values[-1] for _, values in scene.ran])


@behaviour("C15")
def test_c15_a_step_may_be_replaced_by_a_chain(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    @actor
    def replaced(value: int) -> Any:
        return chain(scene.add.message(value, 10), scene.add.message(100))

    found = chain(replaced.message(1), scene.add.message(1000)).run()
    drain()
    outcome(get=got(found.get), original=handle(f"{found.workflow_id}.1").result)


@behaviour("C16")
def test_c16_a_countdown_is_that_of_the_first_step(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    chain(scene.add.message(1), scene.add.message(1)).run(delay=10)
    before = drain()
    freezer.tick(10)
    outcome(delayed=[before == 0, drain() != 2])


@behaviour("C17")
def test_c17_a_chain_of_one_step_and_of_none(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.add.message(1, 2)).run()
    drain()
    outcome(one=got(found.get), empty=got(chain))


@behaviour("C18")
def test_c18_get_raises_as_soon_as_an_early_step_has_failed(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.boom.message(), *(scene.add.message(1) for _ in range(5))).run()
    assert drain() == 1
    outcome(get=got(lambda: found.get(timeout=0)))


@behaviour("C19")
def test_c19_a_step_whose_process_died_runs_again(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, outcome: Outcome
) -> None:
    runs = itertools.count()

    @actor
    def dies() -> int:
        if not next(runs):
            faults.kill_worker()
        return 1

    found = chain(dies.message(), scene.add.message(1)).run()
    for _ in range(3):
        drain()
        freezer.tick(60)
    outcome(states=states(found, 1, 2), get_tail=got(found.get), tail_runs=scene.runs("add"))


@behaviour("C20")
def test_c20_a_callback_gets_the_result_of_the_last_step(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    chain(scene.add.message(1, 1), scene.add.message(1), on_success=scene.tell.message()).run()
    drain()
    outcome(told=scene.told)


@behaviour("C21")
def test_c21_a_step_that_is_retried_keeps_the_later_ones_waiting(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    found = chain(scene.flaky.message(1), scene.body.message()).run()
    drain()
    outcome(states=states(found, 1, 2))
    freezer.tick(60)
    drain()
    outcome(tail_runs=scene.runs("body"))


@behaviour("C22")
def test_c22_arguments_go_to_the_first_step(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chain(scene.sub.message(3), scene.sub.message(1)).run(20)
    drain()
    outcome(get=got(found.get))


@behaviour("C23")
def test_c23_ids_are_known_before_anything_is_sent(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    known = handle("nightly.2")
    chain(scene.add.message(1), scene.add.message(1)).run(workflow_id="nightly")
    drain()
    outcome(known_before=known.get() == 2)


@behaviour("C24")
def test_c24_callbacks_of_an_inner_chain_stay_with_it(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    inner = chain(scene.add.message(1), on_success=scene.tell.message(), on_failure=scene.tell.message())
    chain(scene.add.message(1), inner, scene.add.message(1)).run()
    drain()
    outcome(inner_told=list(scene.told))
    scene.told.clear()
    failing = chain(scene.boom.message(), on_failure=scene.tell.message())
    found = chain(scene.add.message(1), failing, scene.add.message(1)).run()
    drain()
    outcome(errback_told_the_step=scene.told == [f"{found.workflow_id}.2"])


@behaviour("C25")
def test_c25_the_sender_of_a_failing_chain_gets_its_handle(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    sent = got(chain(scene.boom.message(), scene.add.message(1)).run)
    drain()
    assert sent["returned"].status == "FAILURE"
    outcome(raised_when_sent=sent.get("raised"))
