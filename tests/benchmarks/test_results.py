import math

from benchmarks.contenders import BARE, GUARDED, STOCK, UNDERSTUDY
from benchmarks.results import RowResult
from benchmarks.rows import Bar, Metric, Row
from tests.benchmarks.subjects import BYTES, LATE, RATE, result, row


def test_repetitions_are_summed_up_by_their_median() -> None:
    found = result(understudy=[(1, 1, 1), (9, 1, 1), (2, 1, 1)])
    summary = found.summary(UNDERSTUDY.label, RATE)
    assert summary is not None
    assert (summary.median, summary.least, summary.most) == (2, 1, 9)
    assert found.summary(STOCK.label, RATE) is None


def test_ratios_are_against_the_better_of_the_stock_contenders_figure_by_figure() -> None:
    found = result(understudy=[(600, 300, 1)], stock=[(100, 400, 10)], defaults=[(50, 200, 20)], celery=[(999, 1, 1)])
    assert (found.stock_best(RATE), found.stock_best(BYTES)) == (100, 200)
    assert found.ratio(UNDERSTUDY.label, RATE) == 6.0
    assert found.ratio(UNDERSTUDY.label, BYTES) == 1.5


def test_without_stock_there_is_no_ratio_and_no_verdict_about_one() -> None:
    found = result(understudy=[(600, 300, 1)])
    assert found.ratio(UNDERSTUDY.label, RATE) is None
    assert found.judge(RATE) is None
    assert found.judge(LATE) is not None


def test_a_ratio_to_something_that_never_ended_is_none() -> None:
    assert result(understudy=[(1, 1, 1)], stock=[(1, 1, math.inf)]).ratio(UNDERSTUDY.label, LATE) is None


def test_a_bar_is_met_exactly_at_its_limit() -> None:
    found = result(understudy=[(500, 300, 20)], stock=[(100, 200, 1)])
    assert [(verdict.reached, verdict.met) for m in (RATE, BYTES, LATE) if (verdict := found.judge(m))] == [
        (5.0, True),
        (1.5, True),
        (20, True),
    ]


def test_a_bar_is_missed_beyond_its_limit() -> None:
    found = result(understudy=[(499, 301, 20.1)], stock=[(100, 200, 1)])
    assert [verdict.met for m in (RATE, BYTES, LATE) if (verdict := found.judge(m))] == [False, False, False]


def test_what_never_came_to_an_end_misses_its_bar() -> None:
    verdict = result(understudy=[(1, 1, math.inf)]).judge(LATE)
    assert verdict is not None
    assert not verdict.met


def test_the_cost_of_a_higher_is_better_figure_is_how_much_lower_it_is() -> None:
    metric = Metric("rate", "r", "/s", "higher", Bar("cost", at_most=1.3, contender="guarded", against="bare"))
    found = RowResult(Row("guards", "", row().measure, (BARE, GUARDED), (metric,)))
    found.values = {"bare": {"rate": [1300.0]}, "guarded": {"rate": [1000.0]}}
    verdict = found.judge(metric)
    assert verdict is not None
    assert (verdict.reached, verdict.met) == (1.3, True)
