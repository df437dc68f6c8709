"""A run that is made to fail in every way, in real worker processes: no argument and no secret is in a line of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dramatiq import Message

from tests.house.project import ROOT
from tests.understudy.brokers.servers import RealServer, real_server
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until

TIMEOUT = 90.0
MARK = "5ecret"
MODULE = "tests.chaos.secret_actors"
#: Actor -> the ways in which it fails.
WAYS = {
    "raises": (
        *("plain", "cause", "group", "local", "base", "exit", "skip", "back", "limited", "smtp", "unserializable"),
        *("large", "thread", "logs", "items"),
    ),
    "tries_again": ("raises", "asks"),
    "elsewhere": ("hard", "soft", "dies", "unserializable", "thread", "raises"),
    "on_the_loop": ("raises", "task"),
    **dict.fromkeys(("keyed", "hook_before", "hook_after", "stock", "nobody knows it"), ("",)),
}


class Stage:
    """A server with a password, and a worker whose lines are kept."""

    def __init__(self, folder: Path, server: RealServer) -> None:
        self.log = folder / "worker.log"
        self.given = {
            "REDIS_URL": server.url,
            "UNDERSTUDY_NAMESPACE": "secrets",
            "UNDERSTUDY_DATA_DIR": str(folder),
            "UNDERSTUDY_HEARTBEAT_TIMEOUT": "2s",
        }
        self.broker: RedisBroker = build(load(Settings, environ=self.given))
        self.broker.declare_queue("secrets")

    def work(self, command: list[str]) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if name != "BROKER_URL"}
        environment = {
            **kept,
            **self.given,
            "SMTP_PASSWORD": f"{MARK}-smtp",
            "SMTP_USERNAME": "somebody",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",
            "UNDERSTUDY_MODULES": MODULE,
            "UNDERSTUDY_MAX_RESULT_SIZE": "1024",
            "UNDERSTUDY_UNKNOWN_ACTOR_GRACE": "0",
            "PYTHONPATH": str(ROOT),
        }
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def send(self, actor: str, how: str, number: int) -> Handle:
        message: Message[Any] = Message(
            queue_name="secrets",
            actor_name=actor,
            args=(how, f"{MARK}-argument", number),
            kwargs={"named": f"{MARK}-named"},
            options={"headers": {"token": f"{MARK}-header"}},
        )
        if how == "misfit":
            message = message.copy(kwargs={f"{MARK}_keyword": 1})
        self.broker.enqueue(message)
        return Handle(message.message_id, self.broker.records)

    def put_raw(self, data: bytes) -> None:
        stream = self.broker.keys_of("secrets").streams[1]
        self.broker.storage.call("XADD", stream, "*", "m", data, "d", "0", "w", "")


@pytest.mark.parametrize(
    "command",
    [
        ["understudy", "worker", "--processes", "1", "--threads", "4"],
        ["dramatiq", MODULE, "--processes", "1", "--threads", "4", "--verbose"],
    ],
    ids=["understudy", "dramatiq"],
)
def test_a_run_that_fails_in_every_way_logs_no_argument_and_no_secret(tmp_path: Path, command: list[str]) -> None:
    def said() -> str:
        return stage.log.read_text(errors="replace")

    with real_server(tmp_path, password=f"{MARK}-redis") as server:
        stage = Stage(tmp_path, server)
        worker = stage.work(command)
        try:
            handles = {
                (actor, how): stage.send(actor, how, number)
                for actor, ways in WAYS.items()
                for number, how in enumerate(ways, start=4_000)
            }
            handles["raises", "misfit"] = stage.send("raises", "misfit", 1)
            broken = {"message_id": "broken", "actor_name": "raises", "args": f"{MARK}-raw", "queue_name": "secrets"}
            stage.put_raw(msgspec.json.encode(broken))
            stage.put_raw(f"{MARK} no message at all".encode())
            for way, handle in handles.items():
                wait_until(handle.ready, timeout=TIMEOUT, what=f"{way} has ended")
            # Last, because it takes the worker's name away: what it held is another's.
            lost = stage.send("waits", "", 1)
            wait_until(lambda: lost.status == "STARTED", timeout=TIMEOUT, what="it is being worked on")
            stage.broker.storage.call("DEL", stage.broker.storage.keys.leases)
            wait_until(lambda: "was taken for dead" in said(), timeout=TIMEOUT, what="it is told")
            assert stage.send("fine", "", 1).get(timeout=TIMEOUT) == f"{MARK}-argument", "it goes on"
        finally:
            worker.terminate()
            worker.wait(30)
            stage.broker.close()

    assert [line for line in said().splitlines() if MARK in line] == []
    # It has said enough to go by: what failed, where, and how.
    for text in (
        "KeyError",
        "in raises",
        "SMTPAuthenticationError",
        "Odd",
        "in elsewhere",
        "Hooks.after_process_message",
    ):
        assert text in said(), f"{text} is not logged"
    if command[0] == "understudy":
        assert_lines_say_which(said(), handles)


def assert_lines_say_which(said: str, handles: dict[tuple[str, str], Handle]) -> None:
    lines = [json.loads(line) for line in said.splitlines()]
    for (actor, how), handle in handles.items():
        mine = [line for line in lines if line.get("message_id") == handle.id]
        assert mine, f"no line says what became of {actor} {how}"
        for line in mine:
            assert (line["actor"], line["queue"], line["root_id"]) == (actor, "secrets", handle.id)
            assert line["attempt"] >= 1
    attempts = [line["attempt"] for line in lines if line.get("message_id") == handles["tries_again", "raises"].id]
    assert {1, 2, 3} <= set(attempts)
    # From the process of the body, and with the argument that may be seen.
    loops = {line["message_id"] for line in lines if line["event"] == "a line of a coroutine"}
    assert loops == {handles["on_the_loop", how].id for how in WAYS["on_the_loop"]}
    bodies = {line["message_id"] for line in lines if line["event"] == "a line of the body"}
    assert handles["elsewhere", "raises"].id in bodies
    assert any(line.get("args") == {"number": 4_000} for line in lines)
