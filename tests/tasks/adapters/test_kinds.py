from datetime import date, datetime

import pytest

from tasks.adapters.kinds import PYTHON, kind_of


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "boolean"),
        (1, "integer"),
        (1.5, "number"),
        ("1", "text"),
        (date(2024, 1, 1), "date"),
        (datetime(2024, 1, 1), "datetime"),
        (None, "text"),
    ],
)
def test_a_value_has_a_kind(value: object, kind: str) -> None:
    assert kind_of(value) == kind


def test_every_kind_has_a_type() -> None:
    assert all(kind_of(of()) == kind for kind, of in PYTHON.items() if kind not in {"date", "datetime"})
