import dataclasses

from benchmarks.scale import FULL, QUICK


def test_a_quick_run_measures_less_of_everything() -> None:
    quick, full = dataclasses.asdict(QUICK), dataclasses.asdict(FULL)
    assert {name for name in full if quick[name] > full[name]} == set()
    assert {name for name in full if quick[name] == full[name]} == {"silence"}


def test_a_full_run_has_a_million_delayed_messages() -> None:
    assert FULL.delayed == 1_000_000
