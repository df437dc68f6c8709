from __future__ import annotations

import signal

import pytest

from understudy.supervisor.messages import USAGE, Drain, Failed
from understudy.supervisor.process import STACKS_PATIENCE, Process, State
from understudy.supervisor.signals import AT_ONCE

from .fakes import FakeLink


class Case:
    def __init__(self) -> None:
        self.now = 50.0
        self.link = FakeLink(1, 4711)
        self.process = Process(1, self.link, lambda: self.now)


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_process_goes_through_its_states(case: Case) -> None:
    assert case.process.look() is State.STARTING
    case.link.up()
    assert case.process.look() is State.UP
    case.link.leaves("it has done 9 messages")
    assert case.process.look() is State.DRAINING
    case.link.ends()
    case.now += 2.5
    assert case.process.look() is State.GONE
    assert case.process.farewell == "it has done 9 messages; exit code 0, after 2.5 s"


def test_what_it_said_last_is_heard_although_it_is_gone(case: Case) -> None:
    case.link.fails(USAGE, "no module")
    assert case.process.look() is State.GONE
    assert case.process.failure == Failed(USAGE, "no module")
    assert case.process.lived is None


def test_its_life_is_counted_from_the_moment_it_was_up(case: Case) -> None:
    case.now += 5
    case.link.up()
    case.process.look()
    case.now += 3
    assert case.process.lived == 3.0
    case.link.ends(-9)
    case.process.look()
    case.now += 100
    assert case.process.lived == 3.0
    assert case.process.farewell == "killed by SIGKILL, after 8.0 s"


def test_an_unknown_signal_has_its_number(case: Case) -> None:
    case.link.ends(-99)
    case.process.look()
    assert case.process.farewell.startswith("killed by signal 99")


def test_orders_reach_it_again_and_the_first_reason_stands(case: Case) -> None:
    case.link.leaves("it has done 9 messages")
    case.process.look()
    case.process.drain("shutdown", 30.0)
    assert case.link.told == [Drain("shutdown", 30.0)]
    assert case.process.leaves_because == "it has done 9 messages"


def test_a_starting_process_that_is_told_to_drain_does_not_become_up(case: Case) -> None:
    case.process.drain("shutdown", 1.0)
    case.link.up()
    assert case.process.look() is State.DRAINING


def test_one_that_does_not_say_that_its_stacks_are_written_is_made_to_write_them(case: Case) -> None:
    case.process.show_stacks()
    case.now += STACKS_PATIENCE
    assert case.process.take_stacks() == "", "it has been told anew just now"
    assert case.link.signals == [signal.SIGTTIN, AT_ONCE]
    case.now = case.process.stacks_due or 0.0
    assert case.process.take_stacks() == f"Thread of {case.process.pid}"
    assert case.process.stacks_due is None
    assert case.link.signals == [signal.SIGTTIN, AT_ONCE]


def test_one_that_says_so_is_not(case: Case) -> None:
    case.process.show_stacks()
    case.link.has_written_its_stacks()
    case.process.look()
    assert case.process.take_stacks() == f"Thread of {case.process.pid}"
    assert case.link.signals == [signal.SIGTTIN]


def test_signals_are_passed_on_and_a_gone_process_gets_no_orders(case: Case) -> None:
    case.process.show_stacks()
    case.process.kill()
    assert case.link.signals == [signal.SIGTTIN, signal.SIGKILL]
    case.process.look()
    case.process.drain("shutdown", 1.0)
    assert case.link.told == []
    assert case.process.look() is State.GONE
