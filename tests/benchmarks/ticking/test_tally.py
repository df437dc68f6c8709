from benchmarks.ticking.tally import Tick, by_fire_time, tally


def ticks(*times: float, pid: int = 1) -> list[Tick]:
    return [Tick(at, pid) for at in times]


def test_each_second_is_looked_at_around_the_first_tick() -> None:
    found = tally(ticks(100.9, 101.95, 102.85, 104.9), start=100.9, seconds=5, kills=[])
    assert (found.sent, found.doubled, found.missed) == (4, 0, 1)


def test_two_in_a_second_are_one_doubled_second() -> None:
    found = tally(ticks(10.0, 11.0, 11.2, 12.0), start=10.0, seconds=3, kills=[])
    assert (found.sent, found.doubled, found.missed) == (4, 1, 0)


def test_what_is_outside_of_the_trial_does_not_count() -> None:
    found = tally(ticks(3.0, 10.0, 11.0, 19.0), start=10.0, seconds=2, kills=[])
    assert (found.sent, found.doubled, found.missed) == (2, 0, 0)


def test_a_takeover_ends_with_the_first_tick_of_another_process() -> None:
    sent = [*ticks(10, 11, pid=1), *ticks(14.5, pid=2)]
    found = tally(sent, start=10, seconds=5, kills=[(11.5, 1), (15.0, 2)])
    assert found.takeovers == (3.0, None)


def test_ticks_that_say_what_they_are_for_are_counted_by_it() -> None:
    assert by_fire_time([5, 6, 6, 8], first=5, seconds=4) == (1, 1)
