from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dramatiq import Message

from understudy import handle, runtime
from understudy.brokers.redis import RedisBroker
from understudy.cli.console import Exit
from understudy.handle import Handle
from understudy.settings import Settings, load

from .helpers import Here


@pytest.fixture
def broker_there(on_server: Here) -> RedisBroker:
    """A broker on the server and in the namespace that the commands use; a worker has announced ``add``."""
    broker = runtime.build(load(Settings))
    broker.records.announce({"add": "sums"})
    return broker


@pytest.fixture
def sent(broker_there: RedisBroker) -> Callable[[str], Message[object]]:
    """The one message that waits on a queue."""

    def sent(queue: str) -> Message[object]:
        held = next(broker_there.consume(queue, timeout=1))
        assert held is not None
        return held._message

    return sent


Sent = Callable[[str], Message[object]]


def test_the_id_is_printed_and_the_message_waits_on_the_announced_queue(on_server: Here, sent: Sent) -> None:
    ended = on_server("send", "add", "--args", "[1, [2.5, null]]", "--kwargs", '{"name": "ü"}')
    message = sent("sums")
    assert (ended.code, ended.out, ended.err) == (0, f"{message.message_id}\n", "")
    assert (message.actor_name, message.args, message.kwargs) == ("add", (1, [2.5, None]), {"name": "ü"})


def test_options_travel_with_the_message(on_server: Here, broker_there: RedisBroker) -> None:
    ended = on_server(
        "send", "new", "--queue", "fresh", "--message-id", "m1", "--idempotency-key", "k1", "--delay", "5m", "--json"
    )
    assert json.loads(ended.out) == {"id": "m1", "actor": "new", "queue": "fresh"}
    keys = broker_there.keys_of("fresh")
    member, due = broker_there.storage.call("ZRANGEBYSCORE", keys.delayed, "-inf", "+inf", "WITHSCORES")[0]
    level, _, payload = broker_there.storage.call("HGET", keys.payloads, member).partition(b":")
    message: Message[object] = Message.decode(payload)
    assert (level, message.message_id, message.options["idempotency_key"]) == (b"2", "m1", "k1")
    assert due - message.message_timestamp == pytest.approx(300_000, abs=10_000)


def test_arguments_come_from_a_file(on_server: Here, sent: Sent, tmp_path: Path) -> None:
    (tmp_path / "args.json").write_text('[\n  "a"\n]', encoding="utf-8")
    assert on_server("send", "add", "--args", f"@{tmp_path}/args.json").code == 0
    assert sent("sums").args == ("a",)


def test_arguments_come_from_stdin(on_server: Here, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a": 1}'))
    assert on_server("send", "add", "--kwargs", "-").code == 0
    assert sent("sums").kwargs == {"a": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--args", "[1, x]"],
            "--args is not JSON: Expecting value at line 1, column 5\n  [1, x]\n      ^\nwrite a list",
        ),
        (["--args", '[\n"a"\n"b"]'], 'at line 3, column 1\n  "b"]\n  ^'),
        (["--args", ""], "--args is not JSON: Expecting value at line 1, column 1"),
        (["--args", '{"a": 1}'], "--args is an object, not a list; write a list, such as --args '[1, \"two\"]'"),
        (["--args", "1"], "--args is a number, not a list"),
        (["--args", "[NaN]"], "--args is not JSON: NaN is not a JSON value"),
        (["--args", "[" * 100_000], "--args is not JSON: "),
        (
            ["--kwargs", "[1]"],
            '--kwargs is a list, not an object; write an object, such as --kwargs \'{"name": "value"}\'',
        ),
        (["--kwargs", "null"], "--kwargs is null, not an object"),
        (["--args", "@/no/such/file"], "--args cannot be read: [Errno 2] No such file or directory: '/no/such/file'"),
        (["--args", "-", "--kwargs", "-"], "cannot both be read from stdin"),
        (["--delay", "soon"], "--delay 'soon' is not a duration; write seconds, or 500ms, 5m, 1h, 2d"),
        (["--timeout", "x"], "--timeout 'x' is not a duration"),
    ],
)
def test_wrong_arguments_are_named_with_their_place_and_what_to_write(
    here: Here, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")  # the server is not asked
    ended = here("send", "add", *words)
    assert ended.code == Exit.USAGE
    assert said in ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err


def test_a_long_line_is_cut_around_the_mistake(here: Here) -> None:
    ended = here("send", "add", "--args", f"[{'1, ' * 500}x{', 1' * 500}]")
    lines = ended.err.splitlines()
    assert len(lines[1]) < 70
    assert lines[1][lines[2].index("^")] == "x"


def test_an_unknown_actor_is_answered_with_a_near_one(on_server: Here, broker_there: RedisBroker) -> None:
    ended = on_server("send", "ad")
    assert ended.code == Exit.USAGE
    assert "ACTOR: no worker has announced an actor called 'ad'; did you mean 'add'?" in ended.err
    assert "--queue NAME" in ended.err


def test_a_message_that_is_too_large_is_refused(on_server: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_MAX_MESSAGE_SIZE", "1KiB")
    ended = on_server("send", "add", "--queue", "sums", "--args", json.dumps(["x" * 2000]))
    assert ended.code == Exit.USAGE
    assert "the limit is 1,024" in ended.err


@pytest.mark.parametrize("words", [["--wait", "0.05"], ["--wait", "50ms"], ["--timeout", "0.05"]])
def test_waiting_in_vain_ends_with_1_and_says_how_to_go_on(
    on_server: Here, broker_there: RedisBroker, words: list[str]
) -> None:
    ended = on_server("send", *words, "add", "--message-id", "m1")
    assert ended.code == Exit.FAILED
    assert ended.out.startswith("m1\n")
    assert "PENDING" in ended.out
    assert "It goes on all the same: understudy status m1 --watch" in ended.err


def test_an_option_after_wait_is_not_taken_for_a_timeout(on_server: Here, broker_there: RedisBroker) -> None:
    ended = on_server("send", "add", "--wait", "--timeout", "0.05", "--json")
    assert json.loads(ended.out)["state"] == "PENDING"


def test_the_id_that_is_printed_is_enough_for_a_service(on_server: Here, broker_there: RedisBroker) -> None:
    message_id = on_server("send", "add").out.strip()
    assert isinstance(handle(message_id), Handle)
