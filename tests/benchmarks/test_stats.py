import math

import pytest

from benchmarks.stats import Summary, percentile, rate, ratio


def test_a_summary_has_a_median_and_its_extremes() -> None:
    summary = Summary((3.0, 1.0, 10.0))
    assert (summary.median, summary.least, summary.most) == (3.0, 1.0, 10.0)
    assert Summary((1.0, 2.0)).median == 1.5


def test_one_repetition_that_never_ended_does_not_decide_the_median() -> None:
    assert Summary((1.0, math.inf, 2.0)).median == 2.0
    assert Summary((1.0, math.inf, math.inf)).median == math.inf


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_a_percentile_of_few_values_is_the_worst_of_them() -> None:
    assert percentile([1.0, math.inf, 2.0], 0.99) == math.inf
    assert percentile([1.0, math.inf, 2.0], 0.5) == 2.0


def test_a_rate_counts_intervals_and_leaves_out_the_start() -> None:
    assert rate([0.0, 1.0, 2.0, 3.0, 4.0], skip=0.0) == 1.0
    slow_start = [-50.0, *(index / 100 for index in range(9))]
    assert rate(slow_start) == pytest.approx(100.0)


def test_the_order_in_which_events_were_read_does_not_matter() -> None:
    assert rate([2.0, 0.0, 1.0], skip=0.0) == rate([0.0, 1.0, 2.0], skip=0.0)


def test_one_event_has_no_rate() -> None:
    with pytest.raises(ValueError, match="at least two events, not 1"):
        rate([1.0])


def test_a_ratio_with_infinity_or_to_nothing_says_nothing() -> None:
    assert ratio(10.0, 4.0) == 2.5
    assert math.isnan(ratio(math.inf, 1.0))
    assert math.isnan(ratio(1.0, math.inf))
    assert math.isnan(ratio(1.0, 0.0))
