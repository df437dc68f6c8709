"""What a message of a workflow carries."""

import pytest

from understudy.plans.place import WORKFLOW, Place, Stream, parse_id, workflow_of


def test_a_place_is_read_from_the_id_and_the_option() -> None:
    place = Place("w", 7, "3", (Stream("mail", 2), Stream("mail", 1)))
    assert Place.of("w.7", {WORKFLOW: place.option()}) == place
    alone = Place("w.x", 7, "-", ())
    assert Place.of("w.x.7", {WORKFLOW: alone.option()}) == alone
    assert alone.option() == {}


@pytest.mark.parametrize(("id", "options"), [("w.7", {}), ("w", {WORKFLOW: {}}), ("w.7", {WORKFLOW: "x"})])
def test_a_message_of_no_workflow_has_none(id: str, options: dict[str, object]) -> None:
    assert Place.of(id, options) is None


def test_the_workflow_is_part_of_the_ids_of_its_steps_and_callbacks() -> None:
    assert parse_id("a.b.12") == ("a.b", 12)
    assert parse_id("f3bb0d9c") is None
    assert workflow_of("a.b.12") == workflow_of("a.b.12.c3") == "a.b"
    with pytest.raises(ValueError, match="not the id"):
        workflow_of("f3bb0d9c")
