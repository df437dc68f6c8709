"""Each operation has as many arguments as the script takes (``LENGTH`` in ``_ops.lua``)."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from understudy.brokers.names import QueueKeys
from understudy.brokers.operations import Operations
from understudy.outcome import Outcome
from understudy.states import State

QUEUE = QueueKeys("ns", "q")


def lengths() -> dict[str, int]:
    text = (resources.files("understudy.storage") / "lua" / "_ops.lua").read_text()
    found = re.search(r"local LENGTH = \{(.*?)\}", text)
    assert found is not None
    return {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", found[1])}


def built() -> dict[str, tuple[Operations, int]]:
    """Every operation by name, with the number of further pairs."""
    outcome = Outcome(state=State.SUCCESS, fields={"result": b"1", "exception": b""}, claim="complete")
    made = {name: Operations("clock") for name in ("add", "later", "state", "marks", "claim", "dead", "begun")}
    made["add"].add("s", b"p")
    made["later"].later(QUEUE, "wake", "m", b"p", delay=1.5, level=2)
    made["state"].state("record", outcome, channel="c", ttl=60)
    made["marks"].marks("items", {"a": "1", "b": ""}, token="t", ttl=0)
    made["claim"].claim("claim", outcome, token="t", items="items", ttl=60)
    made["dead"].dead(QUEUE, "member", b"body", ttl=60)
    made["begun"].begun("started", "1-1")
    return {name: (operations, 2 if name in ("state", "marks") else 0) for name, operations in made.items()}


@pytest.mark.parametrize("name", sorted(built()))
def test_an_operation_has_the_arguments_that_the_script_takes(name: str) -> None:
    operations, pairs = built()[name]
    assert operations.args[0] == name
    assert len(operations.args) == 1 + lengths()[name] + 2 * pairs


@pytest.mark.parametrize("name", sorted(built()))
def test_all_that_is_text_is_passed_as_text(name: str) -> None:
    assert all(type(argument) is str for argument in built()[name][0].args)


def test_what_is_no_text_stays_as_it_is() -> None:
    operations = Operations("clock")
    operations.dead(QUEUE, "member", b"\xff", ttl=60)
    assert operations.args[-2:] == [b"\xff", "60000"]


def test_a_key_is_passed_once_and_meant_by_its_number() -> None:
    operations = Operations("clock", "batch")
    assert [operations.number(key) for key in ("a", "b", "a", "clock")] == ["3", "4", "3", "1"]
    assert operations.keys == ["clock", "batch", "a", "b"]


def test_delays_are_in_milliseconds() -> None:
    operations, _ = built()["later"]
    assert "1500" in operations.args


def test_what_is_known_of_its_deaths_goes_along_with_a_delayed_message() -> None:
    operations = Operations("clock")
    operations.later(QUEUE, "wake", "m", b"p", delay=1.5, level=2, deaths="1/7", worker="wörker:1")
    assert operations.args[-2:] == ["2,1/7,9", "wörker:1p"]


def test_two_delayed_messages_with_the_same_id_are_two_members() -> None:
    members = {str(built()["later"][0].args[5]) for _ in range(2)}
    assert len(members) == 2
    assert all(member.startswith("m|") for member in members)
