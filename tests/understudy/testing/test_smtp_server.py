import dataclasses
import json
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from understudy.testing.smtp_policy import SmtpPolicy
from understudy.testing.smtp_server import main

COMMAND = [sys.executable, "-m", "understudy.testing.smtp_server"]
ROOT = Path(__file__).parents[3]


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    for option in (*(spec.name for spec in dataclasses.fields(SmtpPolicy)), "host", "port", "journal", "policy"):
        assert f"--{option.replace('_', '-')}" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--journal"),
        (["--journal", "j", "--greylist", "soon"], "invalid int value"),
        (["--journal", "j", "--greylist", "-1"], "greylist: -1 is negative"),
        (["--journal", "j", "--policy", '{"greylisst": 1}'], "greylisst: no such option"),
        (["--journal", "j", "--policy", "{"], "Expecting property name"),
        (["--journal", "j", "--policy", "/nowhere"], "No such file"),
    ],
)
def test_wrong_options_end_with_2_and_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_cleanly_on_a_signal(tmp_path: Path, signum: signal.Signals) -> None:
    (tmp_path / "policy.json").write_text('{"refuse": ["bob@mail.example"], "greylist": 3}')
    options = ["--journal", "j", "--ready-file", "ready", "--policy", "policy.json", "--greylist", "0"]
    with subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 20)[0]
        ready = json.loads(process.stdout.readline())
        process.send_signal(signum)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, b"", b"")
    assert ready["host"] == "127.0.0.1"
    assert ready["pid"] == process.pid
    assert json.loads((tmp_path / "ready").read_text()) == ready
