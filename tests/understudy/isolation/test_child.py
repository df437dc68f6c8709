from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import dramatiq.broker
import pytest

from tests.understudy.isolation.test_runner import ends
from understudy.errors import UnderstudyError
from understudy.isolation import child as module
from understudy.isolation.page import nameless_file, new_page
from understudy.isolation.wire import Channel
from understudy.testing.conditions import wait_until

#: A worker as small as can be: one child, whose body hangs or which waits for a job.
WORKER = """
import sys, time
from understudy.isolation.pool import Pool
from understudy.settings import Settings, load
from tests.understudy.isolation.test_process import job, refuse
child = Pool().take(load(Settings))
print(child.pid, flush=True)
if sys.argv[1] == "busy":
    child.run(job("hangs", sys.argv[2], limit=600.0), refuse)
time.sleep(600)
"""


@pytest.mark.parametrize("what", ["busy", "idle"])
def test_it_dies_with_its_worker(what: str, tmp_path: Path) -> None:
    began = tmp_path / "began"
    environment = {**os.environ, "BROKER_URL": "stub://"}
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, what, str(began)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    try:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        wait_until(lambda: what == "idle" or began.exists(), timeout=20)
        os.kill(pid, 0)
    finally:
        worker.kill()
        worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()  # not read to its end: a child that goes on would keep it open
    ends(pid)


def start(parent: int) -> tuple[subprocess.Popen[bytes], Channel]:
    ours, theirs = socket.socketpair()
    page, stacks = new_page(), nameless_file("stacks")
    descriptors = (theirs.fileno(), page.fileno, stacks)
    command = [sys.executable, "-m", module.__name__, "--thread", "t", "--parent", str(parent)]
    for name, descriptor in zip(("--channel", "--page", "--stacks"), descriptors, strict=True):
        command += [name, str(descriptor)]
    process = subprocess.Popen(command, pass_fds=descriptors, process_group=0)
    theirs.close()
    page.close()
    os.close(stacks)
    return process, Channel(ours)


def test_a_closed_channel_ends_it_where_the_kernel_does_not() -> None:
    process, channel = start(os.getpid())
    channel.close()
    assert process.wait(20) == 0


def test_one_whose_worker_is_gone_already_does_not_begin() -> None:
    process, channel = start(1)
    assert process.wait(20) == 0
    channel.close()


def test_it_is_seen_in_the_list_of_processes() -> None:
    process, channel = start(os.getpid())
    try:
        comm = Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text().strip() == module.NAME.decode(), timeout=20)
        assert b"--thread\0t\0" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        channel.close()


def test_a_reason_is_a_sentence_or_the_end_of_a_traceback() -> None:
    assert module._reason(UnderstudyError("do this")) == "do this"
    assert module._reason(ValueError("x")) == "ValueError: x"
    assert dramatiq.broker.global_broker is not None, "nothing here has replaced the broker of the tests"
