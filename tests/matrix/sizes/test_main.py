from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT
from tests.understudy.supervisor.real import alive, children

from .__main__ import INTERRUPTED, main


def test_the_page_is_of_real_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--quick", "--page", str(tmp_path / "page.md")])
    assert caught.value.code == 2
    assert "leave --quick away" in capsys.readouterr().err


@pytest.mark.timeout(120)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all_that_was_started(signum: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.matrix.sizes", "--quick", "--only", "archive_exports"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        begun = process.stderr.readline()
        mail = children(process.pid, "understudy.testing.smtp_server")
        process.send_signal(signum)
        said = process.stderr.read()
        assert process.wait(60) == INTERRUPTED, said
    assert "-- archive: archive_exports" in begun
    assert "interrupted: everything is stopped" in said
    assert not any(map(alive, mail))
    assert list(tmp_path.iterdir()) == []
