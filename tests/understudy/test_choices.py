from __future__ import annotations

import pytest

from understudy.choices import choose, did_you_mean
from understudy.errors import DeclarationError


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("idempotencey", ["idempotency", "retry"]) == "; did you mean 'idempotency'?"
    assert did_you_mean("zebra", ["idempotency", "retry"]) == ""
    with pytest.raises(DeclarationError, match="did you mean 'skip'"):
        choose("skipp", ("wait", "skip"), field="on_running")
