from __future__ import annotations

import pytest

from understudy.testing.faults import MAX_PAUSES, Faults, SimulatedKill


def survives(faults: Faults, name: str) -> bool:
    try:
        faults.intercept(name, "before")
        faults.intercept(name, "after")
    except ConnectionError:
        return False
    return True


def test_the_nth_exchange_of_a_name_fails() -> None:
    faults = Faults()
    faults.fail("item", nth=2, times=2)
    assert [survives(faults, name) for name in ("item", "read", "item", "read", "item", "item")] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]
    assert faults.exchanges == ["item", "read", "item", "read", "item", "item"]


def test_any_exchange_may_fail() -> None:
    faults = Faults()
    faults.fail(nth=2)
    assert [survives(faults, name) for name in ("a", "b", "c")] == [True, False, True]


def test_a_fault_after_the_exchange_leaves_its_effect() -> None:
    faults = Faults()
    faults.fail("a", when="after")
    faults.intercept("a", "before")
    with pytest.raises(ConnectionError, match="after a took effect"):
        faults.intercept("a", "after")


def test_the_answer_may_be_an_error() -> None:
    faults = Faults()
    faults.fail("a", error=ValueError("the answer"))
    assert faults.planned == 1
    with pytest.raises(ValueError, match="the answer"):
        faults.intercept("a", "before")
    assert faults.planned == 0
    assert survives(faults, "a")


def test_an_outage_ends() -> None:
    faults = Faults()
    with faults.outage():
        assert not survives(faults, "a")
    assert survives(faults, "a")


def test_nothing_that_a_dead_worker_does_has_an_effect() -> None:
    faults = Faults()
    faults.kill_at("a")
    for name in ("a", "b"):
        with pytest.raises(SimulatedKill):
            faults.intercept(name, "before")
    faults.revive()
    assert survives(faults, "a")
    with pytest.raises(SimulatedKill):
        faults.kill_worker()


def test_planned_faults_can_be_forgotten() -> None:
    faults = Faults()
    faults.fail("a")
    faults.clear()
    assert survives(faults, "a")


def test_an_outage_without_end_is_noticed() -> None:
    faults = Faults()
    for _ in range(MAX_PAUSES):
        faults.pause(1)
    with pytest.raises(AssertionError, match="never ends"):
        faults.pause(1)
