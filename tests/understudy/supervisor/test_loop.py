from __future__ import annotations

import logging
import signal

import pytest

from understudy.supervisor.loop import LONGEST_PAUSE, MAX_FAILED_STARTS, Ended
from understudy.supervisor.messages import CLOSE_GRACE, KILLED, OK, SERVER, USAGE, Drain
from understudy.supervisor.signals import Request

from .fakes import World


@pytest.fixture
def world() -> World:
    return World()


# -- replacing -----------------------------------------------------------------------------------------------


def test_every_place_is_filled_by_the_first_step(world: World) -> None:
    assert world.supervisor.run_once() is None
    assert [link.number for link in world.links] == [1, 2]


def test_a_process_that_dies_is_replaced_and_the_others_hear_nothing_of_it(world: World) -> None:
    world.all_up()
    world.pass_time(60)
    world.links[0].ends(-9)
    world.supervisor.run_once()
    assert [link.number for link in world.living] == [2, 1]
    assert (world.links[1].told, world.links[1].signals) == ([], [])


def test_early_deaths_are_replaced_more_and_more_slowly(world: World) -> None:
    world.all_up()
    waits = []
    for _ in range(3):
        world.living[-1].ends(-11)
        world.supervisor.run_once()
        assert len(world.living) == 1
        waits.append(world.supervisor.pause())
        world.pass_time(waits[-1])
        world.all_up()
        assert len(world.living) == 2
    assert waits == [0.25, 0.5, 1.0]


def test_a_process_that_has_done_enough_gets_its_successor_while_it_drains(world: World) -> None:
    world.all_up()
    world.links[0].leaves("it has done 100 messages")
    world.supervisor.run_once()
    assert [link.number for link in world.living] == [1, 2, 1]
    assert (world.links[0].told, world.links[0].signals) == ([], [])
    world.pass_time(3600)  # its running work takes long
    world.supervisor.run_once()
    assert world.links[0].signals == []
    world.links[0].ends()
    world.supervisor.run_once()
    assert len(world.supervisor.processes) == 2


def test_recycling_is_no_early_death(world: World) -> None:
    for _ in range(5):
        world.all_up()
        world.living[-1].leaves("it has done 1 messages")
        world.living[-1].ends()
        world.supervisor.run_once()
        assert len(world.living) == 2


def test_one_line_for_each_start_and_each_end(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.all_up()
    world.pass_time(60)
    world.links[0].ends(-9)
    world.supervisor.run_once()
    assert caplog.messages == [
        "worker process 1 started, pid 100 (start)",
        "worker process 2 started, pid 101 (start)",
        "worker process 1, pid 100, ended: killed by SIGKILL, after 60.0 s",
        "worker process 1 started, pid 102 (replaces 100)",
    ]


def test_nothing_to_do_is_a_long_pause(world: World) -> None:
    world.all_up()
    assert world.supervisor.pause() == LONGEST_PAUSE


# -- starts that fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [USAGE, SERVER])
def test_a_process_that_says_it_cannot_start_ends_everything_when_none_was_ever_up(world: World, code: int) -> None:
    world.supervisor.run_once()
    world.links[0].fails(code, "because")
    assert world.supervisor.run_once() is None
    assert world.links[1].told == [Drain("shutdown", 30.0)]
    world.links[1].ends()
    assert world.supervisor.run_once() == Ended(code, "because")
    assert len(world.links) == 2


def test_starts_that_end_without_a_word_are_tried_a_few_times() -> None:
    world = World(1)
    for number in range(1, MAX_FAILED_STARTS + 1):
        assert world.supervisor.run_once() is None
        assert len(world.links) == number
        world.links[-1].ends(7)
        ended = world.supervisor.run_once()
        world.pass_time(30)
    assert ended == Ended(USAGE, "it ended while starting (exit code 7, after 0.0 s)")


def test_once_up_a_bad_start_is_tried_again_for_as_long_as_others_work(world: World) -> None:
    world.all_up()
    world.links[0].ends(-9)
    for _ in range(3 * MAX_FAILED_STARTS):
        world.pass_time(30)
        assert world.supervisor.run_once() is None
        if world.living[-1].number == 1:
            world.living[-1].fails(USAGE, "a broken deployment")
            assert world.supervisor.run_once() is None
    assert [link.number for link in world.living] == [2]


def test_once_up_and_none_left_it_ends_after_a_few_bad_starts() -> None:
    world = World(1)
    world.all_up()
    world.links[0].ends(-9)
    ended = None
    for _ in range(MAX_FAILED_STARTS):
        assert world.supervisor.run_once() is None
        world.pass_time(30)
        world.supervisor.run_once()
        world.living[-1].fails(USAGE, "a broken deployment")
        ended = world.supervisor.run_once()
    assert ended == Ended(USAGE, "a broken deployment")


def test_once_up_a_server_outage_ends_nothing() -> None:
    world = World(1)
    world.all_up()
    world.links[0].ends(-9)
    for _ in range(5 * MAX_FAILED_STARTS):
        world.supervisor.run_once()
        world.pass_time(30)
        world.supervisor.run_once()
        world.living[-1].fails(SERVER, "the server did not answer")
        assert world.supervisor.run_once() is None
    world.pass_time(30)
    world.all_up()
    assert len(world.living) == 1


def test_a_system_without_processes_to_give_is_asked_again(world: World) -> None:
    world.refusals = [OSError(11, "Resource temporarily unavailable")]
    assert world.supervisor.run_once() is None
    assert [link.number for link in world.links] == [2]
    assert world.supervisor.pause() == 0.25
    world.pass_time(0.25)
    world.supervisor.run_once()
    assert [link.number for link in world.links] == [2, 1]


def test_a_starting_process_that_somebody_told_to_end_is_replaced_without_fuss(world: World) -> None:
    world.supervisor.run_once()
    for _ in range(2 * MAX_FAILED_STARTS):
        world.living[0].leaves("SIGTERM")
        world.living[0].ends()
        assert world.supervisor.run_once() is None
    assert len(world.living) == 2


# -- stopping ------------------------------------------------------------------------------------------------


def test_stop_lets_everybody_drain_and_ends_with_0(world: World) -> None:
    world.all_up()
    world.supervisor.ask(Request.STOP)
    assert world.supervisor.run_once() is None
    assert [link.told for link in world.links] == [[Drain("shutdown", 30.0)]] * 2
    world.links[0].ends()
    assert world.supervisor.run_once() is None
    world.links[1].ends()
    assert world.supervisor.run_once() == Ended(OK)
    assert len(world.links) == 2


def test_stop_before_the_first_step_ends_at_once(world: World) -> None:
    world.supervisor.ask(Request.STOP)
    assert world.supervisor.run_once() == Ended(OK)


def test_who_is_not_gone_when_the_time_is_up_is_killed(world: World) -> None:
    world.all_up()
    world.supervisor.ask(Request.STOP)
    world.supervisor.run_once()
    world.links[0].ends()
    world.pass_time(30 + CLOSE_GRACE - 0.1)
    world.supervisor.run_once()
    assert world.links[1].signals == []
    assert world.supervisor.pause() == pytest.approx(0.1)
    world.pass_time(0.1)
    world.supervisor.run_once()
    assert world.links[1].signals == [signal.SIGKILL]
    assert world.supervisor.run_once() == Ended(KILLED)


def test_a_second_stop_kills_at_once(world: World) -> None:
    world.all_up()
    world.supervisor.ask(Request.STOP)
    world.supervisor.run_once()
    world.supervisor.ask(Request.STOP)
    world.supervisor.run_once()
    assert [link.signals for link in world.links] == [[signal.SIGKILL]] * 2
    assert world.supervisor.run_once() == Ended(KILLED)


def test_work_that_a_process_had_to_cut_off_is_told_by_the_exit_code(world: World) -> None:
    world.all_up()
    world.supervisor.ask(Request.STOP)
    world.supervisor.run_once()
    world.links[0].ends(KILLED)
    world.links[1].ends()
    assert world.supervisor.run_once() == Ended(KILLED)


def test_who_drains_already_is_given_the_time_limit_of_the_stop(world: World) -> None:
    world.all_up()
    world.links[0].leaves("it has done 100 messages")
    world.supervisor.run_once()
    world.supervisor.ask(Request.STOP)
    world.supervisor.run_once()
    assert [link.told for link in world.links] == [[Drain("shutdown", 30.0)]] * 3


# -- reloading -----------------------------------------------------------------------------------------------


def test_a_reload_replaces_one_after_the_other_and_no_place_is_ever_empty(world: World) -> None:
    world.all_up()
    world.supervisor.ask(Request.RELOAD)
    world.supervisor.run_once()
    first, second, new_first = world.links
    assert (new_first.number, first.told) == (1, [])
    new_first.up()
    world.supervisor.run_once()
    new_second = world.links[3]
    assert first.told == [Drain("reload", None)]
    assert (new_second.number, second.told) == (2, [])
    new_second.up()
    world.supervisor.run_once()
    assert second.told == [Drain("reload", None)]
    first.ends()
    second.ends()
    world.supervisor.run_once()
    assert len(world.links) == 4
    assert [link.told for link in world.living] == [[], []]


def test_a_reload_to_broken_code_is_given_up_and_the_old_processes_go_on(world: World) -> None:
    world.all_up()
    world.supervisor.ask(Request.RELOAD)
    world.supervisor.run_once()
    world.links[2].fails(USAGE, "cannot import 'tasks'")
    for _ in range(3):
        assert world.supervisor.run_once() is None
    assert world.living == world.links[:2]
    assert [link.told for link in world.living] == [[], []]
    world.supervisor.ask(Request.RELOAD)
    world.supervisor.run_once()
    assert len(world.links) == 4


def test_a_place_whose_old_process_dies_during_the_reload_waits_for_the_new_one(world: World) -> None:
    world.all_up()
    world.pass_time(60)
    world.supervisor.ask(Request.RELOAD)
    world.supervisor.run_once()
    world.links[0].ends(-9)
    world.supervisor.run_once()
    assert [link.number for link in world.living] == [2, 1]
    world.links[2].up()
    world.supervisor.run_once()
    assert [link.number for link in world.living] == [2, 1, 2]


def test_a_second_reload_during_the_first_also_replaces_what_the_first_has_made(world: World) -> None:
    world = World(1)
    world.all_up()
    world.supervisor.ask(Request.RELOAD)
    world.supervisor.run_once()
    world.supervisor.ask(Request.RELOAD)
    world.links[1].up()
    world.supervisor.run_once()
    assert [len(link.told) for link in world.links] == [1, 0, 0]
    world.links[2].up()
    world.supervisor.run_once()
    assert [len(link.told) for link in world.links] == [1, 1, 0]


def test_a_stop_during_a_reload_ends_old_and_new(world: World) -> None:
    world.all_up()
    world.supervisor.ask(Request.RELOAD)
    world.supervisor.run_once()
    world.supervisor.ask(Request.STOP)
    world.supervisor.ask(Request.RELOAD)
    world.supervisor.run_once()
    assert [link.told for link in world.links] == [[Drain("shutdown", 30.0)]] * 3
    for link in world.links:
        link.ends()
    assert world.supervisor.run_once() == Ended(OK)
    assert len(world.links) == 3


# -- stacks --------------------------------------------------------------------------------------------------


def test_every_process_is_asked_for_its_stacks_also_one_that_is_starting_or_draining(world: World) -> None:
    world.all_up()
    world.links[0].leaves("it has done 100 messages")
    world.supervisor.run_once()
    world.supervisor.ask(Request.STACKS)
    world.supervisor.run_once()
    assert [link.signals for link in world.links] == [[signal.SIGTTIN]] * 3


def test_stacks_are_logged_one_process_after_the_other_whatever_the_level(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.all_up()
    world.supervisor.ask(Request.STACKS)
    world.supervisor.run_once()
    world.links[1].has_written_its_stacks()
    caplog.set_level(logging.WARNING)
    world.supervisor.run_once()
    assert caplog.messages == ["worker process 2, pid 101, its threads:\nThread of 101"]
    world.supervisor.run_once()
    assert len(caplog.messages) == 1


def test_the_stacks_of_a_process_that_cannot_speak_are_read_after_a_moment(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.all_up()
    world.supervisor.ask(Request.STACKS)
    world.supervisor.run_once()
    for _ in range(2):  # it is made to write them, and has done so
        world.pass_time(world.supervisor.pause())
        world.supervisor.run_once()
    assert caplog.messages == [
        "worker process 1, pid 100, its threads:\nThread of 100",
        "worker process 2, pid 101, its threads:\nThread of 101",
    ]
    assert world.supervisor.pause() == LONGEST_PAUSE
