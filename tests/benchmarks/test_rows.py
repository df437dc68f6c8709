import pytest

from benchmarks.contenders import STOCK
from benchmarks.rows import ROWS, Row

BY_NAME = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


@BY_NAME
def test_the_contenders_of_a_row_are_told_apart_by_their_labels(row: Row) -> None:
    labels = [contender.label for contender in row.contenders]
    assert len(set(labels)) == len(labels)


@BY_NAME
def test_a_bar_speaks_of_contenders_that_are_measured_in_its_row(row: Row) -> None:
    labels = {contender.label for contender in row.contenders}
    for bar in (metric.bar for metric in row.metrics if metric.bar is not None):
        assert bar.contender in labels
        assert (bar.at_least is None) != (bar.at_most is None)
        if bar.kind != "value":
            assert bar.against in labels or (bar.against is None and any(c.is_stock for c in row.contenders))


@BY_NAME
def test_ours_comes_beside_stock_wherever_stock_can_do_it(row: Row) -> None:
    assert row.contenders[0].side == "understudy"
    ours_alone = row.name in ("guards", "limits", "isolation")  # stock has none of these
    assert ours_alone or any(contender.side == STOCK.side for contender in row.contenders)
