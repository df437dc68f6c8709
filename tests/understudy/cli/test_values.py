from __future__ import annotations

import pytest
import typer

from understudy.cli.console import Exit
from understudy.cli.values import duration


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("5", 5), ("500ms", 0.5), ("1h", 3600), ("0", 0)])
def test_a_duration_is_seconds_or_has_a_unit(text: str | None, seconds: float | None) -> None:
    assert duration("--delay", text) == seconds


def test_what_is_no_duration_ends_the_command_with_what_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        duration("--delay", "soon")
    assert ended.value.exit_code == Exit.USAGE
    assert "--delay 'soon' is not a duration; write seconds, or 500ms, 5m, 1h, 2d" in capsys.readouterr().err
