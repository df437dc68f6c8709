from dataclasses import replace

from benchmarks.contenders import CELERY, STOCK, STOCK_DEFAULTS, UNDERSTUDY, capped, once, recovering, with_results


def test_understudy_is_measured_as_its_worker_runs() -> None:
    assert dict(UNDERSTUDY.environ) == {}, "a variable of Dramatiq's would switch off what it measures by itself"


def test_a_slow_contender_is_given_its_share() -> None:
    assert UNDERSTUDY.count(20_000) == 20_000
    assert CELERY.count(20_000) == 5_000
    assert replace(CELERY, share=0.001).count(10) == 1


def test_a_cap_is_named_and_replaces_the_share() -> None:
    limited = capped(CELERY, 20_000)
    assert limited.label == "Celery (at most 20,000)"
    assert (limited.count(1_000_000), limited.count(100)) == (20_000, 100)


def test_who_is_measured_once_is_given_everything() -> None:
    assert once(CELERY).label == "Celery (once)"
    assert once(CELERY).count(100_000) == 100_000


def test_only_dramatiq_without_us_is_stock() -> None:
    assert [c.is_stock for c in (UNDERSTUDY, STOCK, STOCK_DEFAULTS, CELERY)] == [False, True, True, False]


def test_what_is_changed_stands_in_the_label() -> None:
    assert with_results(STOCK).label == "Dramatiq, prefetch 64, results"
    assert with_results(STOCK).results
    assert recovering(CELERY, "acks_late").label == "Celery, acks_late"
    assert recovering(CELERY, "acks_late").quick_recovery
