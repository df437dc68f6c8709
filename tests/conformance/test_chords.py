"""Group H: chords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, chain, chord, group, handle, step
from understudy.brokers.redis import RedisBroker
from understudy.canvas.handles import WorkflowHandle
from understudy.testing.faults import Faults

from . import actors as scenes
from .behaviours import Outcome, behaviour, got
from .scenes_of_workflows import Drain, Scene, states


@pytest.fixture
def scene(broker: RedisBroker) -> Scene:
    return Scene()


def stopped(found: WorkflowHandle) -> dict[str, Any]:
    """What is told of a body that did not run."""
    by_id = handle(found.id)
    return {"get_at_once": got(found.get), "stored": by_id.status, "get_by_id": got(by_id.get)}


@behaviour("H01")
def test_h01_the_body_runs_once_with_the_results_in_order(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chord([scene.give.message(number) for number in (1, 2, 3)], scene.body.message()).run()
    drain()
    outcome(get=got(found.get), body_runs=scene.runs("body"))


@behaviour("H02")
def test_h02_a_failed_member_keeps_the_body_from_running(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chord([scene.give.message(1), scene.boom.message("hdr"), scene.give.message(3)], scene.body.message()).run()
    drain()
    outcome(**stopped(found), body_runs=scene.runs("body"))
    text = str(found.get(propagate=False))
    outcome(no_propagate_names_the_member=text == f"Dependency {found.workflow_id}.4 raised Boom('hdr')")
    outcome(others=states(found, 3, 5))


@behaviour("H03")
def test_h03_the_body_is_a_failure_when_all_members_have_ended(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    found = chord([scene.boom.message(), step(scene.give.message(1), delay=2)], scene.body.message()).run()
    drain()
    outcome(while_it_runs=handle(found.id).status)
    freezer.tick(2)
    drain()
    outcome(then=handle(found.id).status)


@behaviour("H04")
def test_h04_an_errback_of_the_body_is_sent_once(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    header = [scene.boom.message(), scene.boom.message()]
    found = chord(header, scene.body.message()).run(on_failure=scene.tell.message())
    drain()
    outcome(errbacks=len(scene.told), id_is_body=[id == found.id for id in scene.told])


@behaviour("H05")
def test_h05_without_members_the_body_runs_with_an_empty_list(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chord([], scene.body.message()).run()
    drain()
    outcome(get=got(found.get), body_runs=scene.runs("body"))


@behaviour("H06")
def test_h06_a_header_of_one_gives_a_list_of_one(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    one = chord([scene.give.message(5)], scene.body.message()).run()
    other = (group(scene.give.message(5)) | scene.body.message()).run()
    drain()
    outcome(chord=got(one.get), group_pipe=got(other.get))


@behaviour("H07")
def test_h07_a_chain_in_the_header_counts_as_its_last_result(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    header = [
        chain(scene.add.message(1, 1), scene.add.message(1)),
        chain(scene.add.message(2, 2), scene.add.message(1)),
    ]
    found = chord(header, scene.body.message()).run()
    drain()
    outcome(get=got(found.get))


@behaviour("H08")
def test_h08_a_chain_in_the_header_that_fails_stops_the_body(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chord(
        [chain(scene.boom.message(), scene.add.message(1)), scene.give.message(2)], scene.body.message()
    ).run()
    drain()
    outcome(**stopped(found), rest_runs=scene.runs("add"), body_runs=scene.runs("body"))


@behaviour("H09")
def test_h09_a_chord_in_a_header_counts_as_its_body(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    inner = chord([scene.give.message(1), scene.give.message(2)], scene.body.message())
    found = chord([inner, scene.give.message(3)], scene.body.message()).run()
    drain()
    outcome(get=got(found.get))


@behaviour("H10")
def test_h10_a_member_that_is_retried_counts_when_it_has_succeeded(
    scene: Scene, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    found = chord([scene.flaky.message(2), scene.give.message(9)], scene.body.message()).run()
    drain()
    assert scene.runs("body") == 0
    freezer.tick(60)
    drain()
    outcome(get=got(found.get), body_runs=scene.runs("body"))


@behaviour("H11")
def test_h11_a_member_that_ignores_itself_stops_the_body(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chord([scene.ignores.message(), scene.give.message(1)], scene.body.message()).run()
    drain()
    outcome(get=got(lambda: found.get(timeout=0.1)), body=handle(found.id).status)


@behaviour("H12")
def test_h12_a_body_that_fails_has_its_own_exception(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chord([scene.give.message(1), scene.give.message(2)], scene.boom.message("body")).run()
    drain()
    outcome(get=got(found.get), headers=states(found, 3, 4))


@behaviour("H13")
def test_h13_a_revoked_member_stops_the_body(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    found = chord([scene.give.message(1), scene.give.message(2)], scene.body.message()).run()
    handle(f"{found.workflow_id}.3").revoke()
    assert handle(found.id).status == "PENDING"
    drain()
    outcome(**stopped(found))


@behaviour("H14")
def test_h14_members_may_ignore_their_results(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    @actor(ignore_result=True)
    def ignored(value: int) -> int:
        return value

    found = chord([ignored.message(5), scene.give.message(1)], scene.body.message()).run()
    drain()
    outcome(get=got(found.get))


@behaviour("H15")
def test_h15_an_errback_of_the_body_finds_the_chord_error(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    chord([scene.boom.message()], scene.body.message(), on_failure=scene.tell.message()).run()
    drain()
    outcome(error=type(handle(scene.told[0]).result).__name__)


@behaviour("H16")
def test_h16_steps_after_the_chord_have_ended_too(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    inner = chord([scene.boom.message(), scene.give.message(1)], scene.body.message())
    found = chain(inner, scene.add.message(1), scene.add.message(1)).run()
    drain()
    outcome(**stopped(found), later_runs=scene.runs("add") + scene.runs("body"))


@behaviour("H17")
def test_h17_the_header_may_have_an_errback_as_well(scene: Scene, drain: Drain, outcome: Outcome) -> None:
    members = [scene.boom.message(), scene.boom.message()]
    for name, header in (("off", group(members)), ("on", group(members, on_failure=scene.tell.message()))):
        scene.told.clear()
        chord(header, scene.body.message(), on_failure=scene.tell.message()).run()
        drain()
        outcome(**{name: len(scene.told)})


@behaviour("H18")
def test_h18_a_member_that_is_delivered_twice_counts_once(
    scene: Scene, drain: Drain, broker: RedisBroker, outcome: Outcome
) -> None:
    found = chord([scene.give.message(1), step(scene.give.message(2), delay=60)], scene.body.message()).run()
    stream = broker.keys_of("default").streams[1]
    client: Any = broker.storage.client
    ((_, fields),) = client.xrange(stream)
    for _ in range(2):
        client.xadd(stream, fields)
    drain()
    assert found.parent is not None
    outcome(counted=found.parent.completed_count)
    client.xadd(stream, fields)
    later = client.hvals(broker.keys_of("default").payloads)
    client.xadd(stream, {"m": later[0].partition(b":")[2]})
    drain()
    outcome(body_runs=scene.runs("body"))


@behaviour("H19")
def test_h19_a_body_waits_for_the_server_with_the_outcome_it_belongs_to(
    scene: Scene, drain: Drain, faults: Faults, outcome: Outcome
) -> None:
    found = chord([scene.give.message(1)], scene.body.message()).run()
    faults.fail("settle", times=3)
    drain()
    outcome(body=handle(found.id).status)


@behaviour("H20")
def test_h20_a_chord_may_take_longer_than_results_are_kept(
    scene: Scene, drain: Drain, broker: RedisBroker, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    late = 3 * broker.settings.result_ttl
    found = chord([scene.give.message(1), step(scene.give.message(2), delay=late)], scene.body.message()).run()
    drain()
    freezer.tick(late)
    drain()
    outcome(completes=found.get() == [1, 2])


@behaviour("H21")
@pytest.mark.brokers("server")
def test_h21_a_hard_limit_in_the_header_stops_the_body(
    scene: Scene, drain: Drain, tmp_path: Path, outcome: Outcome
) -> None:
    found = chord([scenes.too_long.message(str(tmp_path / "journal"))], scene.body.message()).run()
    drain(isolation="process")
    outcome(**stopped(found), body_runs=scene.runs("body"))
