"""The record of a circuit, step by step, on the stub and on a real server."""

from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import CircuitBreaker
from understudy.breaking import Told
from understudy.brokers.redis import RedisBroker
from understudy.circuits import Circuits

POLICY = CircuitBreaker(failures=3, within=60, cooldown=10, longest=35)


class Circuit:
    def __init__(self, broker: RedisBroker) -> None:
        self._circuits = Circuits(broker.storage)
        self._number = 0

    def wait(self, token: str = "t") -> float:
        return self._circuits.wait("c", token, probe=5)

    def tell(self, told: Told, token: str | None = None) -> float:
        self._number += 1
        return self._circuits.tell("c", token or f"d{self._number}", told, POLICY)

    def fail(self, times: int) -> float:
        return [self.tell("failed") for _ in range(times)][-1]


@pytest.fixture
def circuit(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> Circuit:
    return Circuit(broker)


def test_so_many_failures_open_it(circuit: Circuit) -> None:
    assert circuit.fail(2) == 0
    assert circuit.wait() == 0
    assert circuit.fail(1) == 10
    assert circuit.wait() == 10


def test_a_success_between_them_counts_them_anew(circuit: Circuit) -> None:
    circuit.fail(2)
    circuit.tell("done")
    assert circuit.fail(2) == 0


def test_failures_that_are_far_apart_do_not_add_up(circuit: Circuit, freezer: FrozenDateTimeFactory) -> None:
    circuit.fail(2)
    freezer.tick(60)
    assert circuit.fail(2) == 0
    assert circuit.fail(1) == 10


def test_the_same_delivery_counts_once(circuit: Circuit) -> None:
    for _ in range(5):
        assert circuit.tell("failed", "same") == 0


def test_after_the_cooldown_one_message_tries_it_out_and_closes_it(
    circuit: Circuit, freezer: FrozenDateTimeFactory
) -> None:
    circuit.fail(3)
    freezer.tick(9.999)
    assert circuit.wait() > 0
    freezer.tick(0.001)
    assert circuit.wait("first") == 0
    assert circuit.wait("second") == 1, "the others look again soon, however long the one may take"
    assert circuit.wait("first") == 0, "its question may be resent"
    assert circuit.tell("done", "first") == 0
    assert circuit.wait("second") == 0


def test_when_trying_it_out_fails_it_is_left_alone_for_twice_as_long_up_to_the_longest(
    circuit: Circuit, freezer: FrozenDateTimeFactory
) -> None:
    circuit.fail(3)
    left = [10.0]
    for n in range(3):
        freezer.tick(left[-1])
        assert circuit.wait(f"p{n}") == 0
        left.append(circuit.tell("failed", f"p{n}"))
    assert left == [10, 20, 35, 35]


def test_one_that_tries_it_out_and_is_never_heard_of_again_stops_nobody(
    circuit: Circuit, freezer: FrozenDateTimeFactory
) -> None:
    circuit.fail(3)
    freezer.tick(10)
    assert circuit.wait("killed") == 0
    freezer.tick(5)
    assert circuit.wait("next") == 0
    # ... and what it says when it was only slow counts no more.
    assert circuit.tell("failed", "killed") == 0
    assert circuit.wait("other") == 1


def test_one_that_tried_nothing_lets_the_next_one_try(circuit: Circuit, freezer: FrozenDateTimeFactory) -> None:
    circuit.fail(3)
    freezer.tick(10)
    assert circuit.wait("revoked") == 0
    circuit.tell("nothing", "revoked")
    assert circuit.wait("next") == 0


def test_failures_of_what_had_begun_before_it_opened_make_it_no_longer(
    circuit: Circuit, freezer: FrozenDateTimeFactory
) -> None:
    circuit.fail(3)
    freezer.tick(4)
    assert circuit.fail(5) == 6
    assert circuit.wait() == 6


def test_a_success_of_what_had_begun_before_it_opened_does_not_close_it(
    circuit: Circuit, freezer: FrozenDateTimeFactory
) -> None:
    circuit.fail(3)
    circuit.tell("done", "of an earlier time")
    assert circuit.wait() == 10
    freezer.tick(10)
    assert circuit.wait("probe") == 0
    circuit.tell("done", "of an earlier time")
    assert circuit.wait("other") == 1, "one tries it out"
    circuit.tell("done", "probe")
    assert circuit.wait("other") == 0
