from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from understudy import actor, chain, group
from understudy.brokers.settlement import SettlingBroker
from understudy.canvas.handles import WorkflowHandle

from .helpers import Here

pytestmark = pytest.mark.brokers("server")

Drain = Callable[..., int]


@pytest.fixture
def command(here: Here, broker: SettlingBroker, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("REDIS_URL", server_url)
    monkeypatch.setenv("UNDERSTUDY_NAMESPACE", broker.storage.keys.namespace)
    return here


@pytest.fixture
def broken() -> list[bool]:
    return [True]


@pytest.fixture
def failed(broker: SettlingBroker, drain: Drain, broken: list[bool]) -> WorkflowHandle:
    @actor
    def extract(value: int = 0) -> int:
        return value

    @actor
    def check(value: int) -> int:
        if value and broken[0]:
            raise ValueError("a bad row")
        return value

    found = chain(extract.message(1), group(check.message() for _ in range(3)), extract.message()).run()
    drain()
    return found


def test_it_is_shown_by_the_message_that_goes_on_as_it(command: Here, broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def part() -> None: ...

    @actor
    def goes_on() -> Any:
        return chain(part.message())

    message = goes_on.send()
    drain()
    said = command("workflow", "show", message.message_id, "--json")
    assert [step["label"] for step in json.loads(said.out)["steps"]] == ["part"]
    assert command("workflow", "show", "nobody").code == 1


def test_a_tree_is_shown_with_states_and_the_cause(command: Here, failed: WorkflowHandle) -> None:
    said = command("workflow", "show", failed.workflow_id, "--most", "2")
    assert said.code == 0
    lines = [line.strip("│├└─ ") for line in said.out.splitlines()]
    assert lines[0] == f"workflow {failed.workflow_id}  FAILURE"
    assert lines[1].startswith("1. extract  SUCCESS  ")
    assert lines[2].startswith("2. group of 3: 0 succeeded, 3 did not  FAILURE")
    assert lines[3].startswith("4. check  FAILURE")
    assert "ValueError: a bad row" in lines[3]
    assert lines[5] == "... 1 more"
    assert lines[6].startswith("3. extract  FAILURE  ChordError: Dependency")


def test_it_is_found_by_the_id_of_a_step_and_scripts_get_json(command: Here, failed: WorkflowHandle) -> None:
    told = json.loads(command("workflow", "show", failed.id, "--json").out)
    assert (told["id"], told["state"]) == (failed.workflow_id, "FAILURE")
    assert [step["state"] for step in told["steps"]] == ["SUCCESS", "FAILURE", "FAILURE"]


def test_it_is_resumed(command: Here, failed: WorkflowHandle, drain: Drain, broken: list[bool]) -> None:
    broken[0] = False
    assert "goes on" in command("workflow", "resume", failed.workflow_id).text
    drain()
    assert failed.get() == [1, 1, 1]
    again = command("workflow", "resume", failed.workflow_id, "--from-step", "1", "--with-args", "[0]")
    assert again.code == 0
    drain()
    assert failed.get() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["resume", "{id}", "--with-args", "[1]"], 2, "whose arguments"),
        (["resume", "{id}", "--from-step", "1", "--with-args", "nonsense"], 2, "a JSON list"),
        (["resume", "{id}", "--from-step", "2"], 1, "not a step of the outermost chain"),
        (["show", "nobody"], 1, "no workflow 'nobody' is known"),
    ],
)
def test_what_cannot_be_done_is_said(
    command: Here, failed: WorkflowHandle, arguments: list[str], code: int, text: str
) -> None:
    said = command("workflow", *(word.format(id=failed.workflow_id) for word in arguments))
    assert said.code == code
    assert text in said.err


def test_a_workflow_is_revoked_by_its_id(command: Here, broker: SettlingBroker, drain: Drain) -> None:
    ran: list[Any] = []

    @actor
    def body(*values: Any) -> None:
        ran.append(values)

    found = chain(body.message(), body.message()).run()
    assert "REVOKED" in command("revoke", found.workflow_id).out
    drain()
    assert (ran, found.status.value) == ([], "REVOKED")
