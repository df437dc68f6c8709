from __future__ import annotations

import io
import itertools
import json
import sys

import msgspec
import pytest
from dramatiq import Message

from understudy import clock, runtime
from understudy.brokers.redis import RedisBroker
from understudy.cli.console import Exit
from understudy.settings import Settings, load

from .helpers import Here


@pytest.fixture
def broker_there(on_server: Here) -> RedisBroker:
    """A broker on the server and in the namespace that the commands use."""
    return runtime.build(load(Settings))


@pytest.fixture
def dead(broker_there: RedisBroker) -> RedisBroker:
    """Three dead letters: m1 and m2 of queue mail, an hour old and new; m3 of queue sums, poison."""
    bury(broker_there, "m1", "mail", "send_email", "ConnectionError", age=3600)
    bury(broker_there, "m2", "mail", "send_email", "ValueError")
    bury(broker_there, "m3", "sums", "add", "its body was running at 3 deaths; the last one was w9", level="dead")
    return broker_there


def bury(
    broker: RedisBroker,
    id: str,
    queue: str,
    actor: str,
    reason: str,
    *,
    age: float = 1,
    level: str = "2",
    **options: str,
) -> None:
    keys, member = broker.keys_of(queue), f"{id}|{queue}/{level}/1-0"
    message: Message[object] = Message(queue, actor, ("ü",), {}, {"retries": 3, **options}, message_id=id)
    body = {"message": message.encode(), "reason": reason, "stream": keys.streams[1], "deaths": 3 * (level == "dead")}
    broker.storage.call("SADD", broker.storage.keys.queues, queue)
    broker.storage.call("ZADD", keys.dead, int((clock.now() - age) * 1000), member)
    broker.storage.call("HSET", keys.bodies, member, msgspec.json.encode(body))


def listed(here: Here, *words: str) -> list[str]:
    return [json.loads(line)["id"] for line in here("dead", "list", "--json", *words).out.splitlines()]


def test_none_is_said_in_words_and_is_no_mistake(on_server: Here) -> None:
    ended = on_server("dead", "list")
    assert (ended.code, ended.out) == (0, "")
    assert "No dead letters." in ended.err


@pytest.mark.usefixtures("dead")
def test_the_newest_come_first_with_why_they_are_here(on_server: Here) -> None:
    ended = on_server("dead", "list")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split() == ["message", "queue", "actor", "died", "deaths", "reason"]
    assert {line.split()[0] for line in lines[1:3]} == {"m2", "m3"}
    assert "m1 mail send_email 1 h ago 0 ConnectionError" in ended.text
    assert "3 PoisonMessage: its body was running at 3 deaths" in ended.text


@pytest.mark.usefixtures("dead")
def test_they_are_chosen_by_queue_actor_exception_reason_and_age(on_server: Here) -> None:
    assert listed(on_server, "--queue", "sums") == ["m3"]
    assert listed(on_server, "--actor", "send_email") == ["m2", "m1"]
    assert listed(on_server, "--exception", "builtins.ValueError") == ["m2"]
    assert listed(on_server, "--exception", "PoisonMessage") == ["m3"]
    assert listed(on_server, "--reason", "connection") == ["m1"]
    assert listed(on_server, "--older-than", "30m") == ["m1"]
    assert "No dead letters match." in on_server("dead", "list", "--actor", "x").err


@pytest.mark.usefixtures("dead")
def test_a_page_says_where_the_next_begins(on_server: Here) -> None:
    first = on_server("dead", "list", "--limit", "2")
    assert "There are more: --offset 2" in first.err
    assert listed(on_server, "--limit", "2", "--offset", "2") == ["m1"]
    assert "more" not in on_server("dead", "list", "--limit", "2", "--offset", "1").err


@pytest.mark.usefixtures("dead")
def test_show_prints_the_message_whole(on_server: Here) -> None:
    ended = on_server("dead", "show", "m1")
    assert ended.code == 0
    assert '"actor_name": "send_email"' in ended.out
    assert '"retries": 3' in ended.out
    assert '"ü"' in ended.out
    assert "none, or its time is over" in ended.text
    assert "poison" in on_server("dead", "show", "m3").text
    row = json.loads(on_server("dead", "show", "m3", "--json").out)
    assert (row["worker"], row["deaths"], row["message"]["args"]) == ("w9", 3, ["ü"])


def test_show_prints_the_traceback_that_the_record_keeps(on_server: Here, dead: RedisBroker) -> None:
    record = {
        "state": "FAILURE",
        "actor": "send_email",
        "queue": "mail",
        "traceback": "Traceback: here",
        "worker": "w1",
    }
    dead.storage.call("HSET", dead.storage.keys.state("m1"), *itertools.chain.from_iterable(record.items()))
    ended = on_server("dead", "show", "m1")
    assert "Traceback: here" in ended.out
    assert "last worker w1" in ended.text


@pytest.mark.usefixtures("dead")
def test_an_id_without_dead_letter_is_named_and_ends_with_1(on_server: Here) -> None:
    for command in (["show"], ["requeue"], ["purge", "--yes"]):
        ended = on_server("dead", *command, "nobody", "m1")
        assert ended.code == Exit.FAILED
        assert "nobody: is no dead letter" in ended.err
        assert ended.out != ""


def test_one_is_requeued_by_its_id(on_server: Here, dead: RedisBroker) -> None:
    ended = on_server("dead", "requeue", "m1")
    assert (ended.code, ended.out) == (0, "1 requeued\n")
    held = next(dead.consume("mail", timeout=1))
    assert held is not None
    assert (held.message_id, held.args, "retries" in held.options) == ("m1", ("ü",), False)
    assert sorted(listed(on_server)) == ["m2", "m3"]


def test_one_whose_key_is_taken_is_left_alone_unless_somebody_insists(
    on_server: Here, broker_there: RedisBroker
) -> None:
    bury(broker_there, "m1", "mail", "send_email", "ValueError", unique_key="ada")
    other: Message[object] = Message("mail", "send_email", (), {}, {"unique_key": "ada"}, message_id="m2")
    broker_there.enqueue(other)
    ended = on_server("dead", "requeue", "m1", "--json")
    assert (ended.code, json.loads(ended.out)["refused"]) == (Exit.FAILED, 1)
    assert "m1: message m2 stands under the same unique key" in ended.err
    assert listed(on_server) == ["m1"]
    ended = on_server("dead", "requeue", "m1", "--force")
    assert (ended.code, ended.out) == (0, "1 requeued\n")


def test_all_that_match_are_requeued_the_oldest_first(on_server: Here, dead: RedisBroker) -> None:
    ended = on_server("dead", "requeue", "--queue", "mail", "--json")
    assert (ended.code, json.loads(ended.out)) == (0, {"requeued": 2, "gone": 0, "succeeded": 0, "refused": 0})
    consumer = dead.consume("mail", prefetch=2, timeout=1)
    assert [held.message_id for held in (next(consumer), next(consumer)) if held is not None] == ["m1", "m2"]
    assert listed(on_server) == ["m3"]


@pytest.mark.usefixtures("dead")
def test_a_limit_bounds_what_is_changed(on_server: Here) -> None:
    assert on_server("dead", "requeue", "--all", "--limit", "1").out == "1 requeued\n"
    assert on_server("dead", "purge", "--all", "--limit", "1", "--yes").out == "1 purged\n"
    assert len(listed(on_server)) == 1


def test_one_that_has_succeeded_since_is_left_alone_and_said(on_server: Here, dead: RedisBroker) -> None:
    dead.storage.client.hset(dead.storage.keys.state("m1"), mapping={"state": "SUCCESS"})
    ended = on_server("dead", "requeue", "--all")
    assert (ended.code, ended.out) == (Exit.FAILED, "2 requeued\n")
    assert "m1: has succeeded since, and was left alone" in ended.err


@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize("command", ["requeue", "purge"])
def test_which_are_meant_must_be_said(on_server: Here, command: str) -> None:
    ended = on_server("dead", command)
    assert ended.code == Exit.USAGE
    assert "say which: give ids, or options such as --queue and --older-than, or --all" in ended.err
    assert on_server("dead", command, "m1", "--all").code == Exit.USAGE
    assert len(listed(on_server)) == 3


@pytest.mark.usefixtures("dead")
def test_a_queue_that_is_misspelt_is_named_with_a_proposal(on_server: Here) -> None:
    ended = on_server("dead", "purge", "--queue", "mial", "--yes")
    assert ended.code == Exit.USAGE
    assert "--queue: no worker has consumed 'mial'; did you mean 'mail'?; there are: mail, sums" in ended.err


def test_what_is_no_age_is_refused(on_server: Here) -> None:
    ended = on_server("dead", "list", "--older-than", "long")
    assert ended.code == Exit.USAGE
    assert "--older-than 'long' is not a duration" in ended.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, 3), ("y\n", 0, 2)])
def test_a_bulk_purge_asks_first(
    on_server: Here, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended = on_server("dead", "purge", "--older-than", "30m")
    assert ended.code == code
    assert "Remove 1 dead letter for good?" in ended.out + ended.err
    assert len(listed(on_server)) == left


@pytest.mark.usefixtures("dead")
def test_a_bulk_purge_without_anybody_to_ask_wants_yes(on_server: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    ended = on_server("dead", "purge", "--all")
    assert ended.code == Exit.USAGE
    assert "Remove 3 dead letters for good? There is nobody to ask here: add --yes" in ended.err
    assert len(listed(on_server)) == 3
    assert json.loads(on_server("dead", "purge", "--all", "--yes", "--json").out) == {"purged": 3}
    assert on_server("dead", "purge", "--all").out == "0 purged\n"


@pytest.mark.usefixtures("dead")
def test_what_ids_name_is_purged_without_asking(on_server: Here) -> None:
    assert on_server("dead", "purge", "m1", "m3", "m3").out == "2 purged\n"
    assert listed(on_server) == ["m2"]


@pytest.mark.parametrize("name", ["list", "show", "requeue", "purge"])
def test_every_command_has_a_help_page_with_exit_codes(here: Here, name: str) -> None:
    ended = here("dead", name, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"Usage: understudy dead {name}" in ended.out
    assert "Exit codes: 0" in ended.text
