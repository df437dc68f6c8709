import pytest

from workflows.data_pipeline.job import kind_and_need, name_of_run


def test_a_run_is_named_by_its_message_and_fit_for_a_path() -> None:
    assert name_of_run("../a/b") == name_of_run("../a/b") != name_of_run("other")
    assert name_of_run("../a/b").isalnum()


def test_a_kind_may_be_required() -> None:
    assert kind_and_need("integer!") == ("integer", True)
    assert kind_and_need("text") == ("text", False)
    with pytest.raises(
        ValueError, match=r"'int' is no kind of column; did you mean 'integer'\?; there are integer, number"
    ):
        kind_and_need("int")
