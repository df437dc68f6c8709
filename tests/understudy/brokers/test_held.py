from __future__ import annotations

from dramatiq import Message

from understudy.brokers.held import ENTRY, HeldMessage, plain


def message(**options: object) -> Message[object]:
    return Message(queue_name="q", actor_name="a", args=("secret",), kwargs={}, options=options)


def test_it_shows_no_arguments() -> None:
    held = HeldMessage(message())
    assert "secret" not in f"{held} {held!r}"
    assert held.message_id in str(held)


def test_a_copy_is_named_by_its_entry() -> None:
    assert HeldMessage(message(**{ENTRY: "e1"})).entry == "e1"
    assert HeldMessage(message()).entry == ""


def test_retries_are_kept_in_the_options() -> None:
    assert HeldMessage(message(retries=2)).retries == 2
    assert HeldMessage(message(retries=None)).retries == 0


def test_plain_is_the_message_itself() -> None:
    found = message()
    assert plain(found) is found
    assert plain(HeldMessage(found)) is found  # type: ignore[arg-type]
