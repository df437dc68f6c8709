from __future__ import annotations

from understudy.supervisor.backoff import LONGEST, YOUNG, Backoff


def test_a_process_that_had_worked_for_a_while_is_replaced_at_once() -> None:
    assert Backoff().died(YOUNG) == 0.0


def test_each_early_death_doubles_the_wait_up_to_a_limit() -> None:
    backoff = Backoff()
    waits = [backoff.died(None if number % 2 else 0.1) for number in range(10)]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert waits[-1] == LONGEST
    assert [backoff.died(None) for _ in range(2000)][-1] == LONGEST


def test_a_long_life_forgives_the_early_deaths() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.died(1.0)
    backoff.died(YOUNG + 1)
    assert backoff.died(1.0) == 0.25
