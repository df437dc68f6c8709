import pytest

from tasks.adapters.web import MemoryWeb, Refused


def test_it_fails_as_planned_and_then_delivers() -> None:
    web = MemoryWeb()
    web.fail_next(Refused(503), times=2)
    for _ in range(2):
        with pytest.raises(Refused):
            web.post("https://a.example/", b"{}", message_id="m")
    assert web.post("https://a.example/", b'{"x": [1]}', message_id="m").status == 200
    assert web.attempts == 3
    assert web.posted == [("https://a.example/", "m", {"x": [1]})]


def test_what_is_no_json_is_noticed() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        MemoryWeb().post("https://a.example/", b"not json", message_id="m")


def test_a_test_looks_in_before_anything_happens() -> None:
    web, seen = MemoryWeb(), list[str]()
    web.on_post = seen.append
    web.post("https://a.example/", b"{}", message_id="m")
    assert seen == ["https://a.example/"]
