from __future__ import annotations

from understudy.brokers.names import HIGH, LOW, NORMAL, QueueKeys, level_of


def test_a_lower_number_is_more_urgent_as_in_dramatiq() -> None:
    assert [level_of(priority) for priority in (-10, -1, 0, 1, 100)] == [HIGH, HIGH, NORMAL, LOW, LOW]


def test_the_keys_of_a_queue_lie_under_its_name_and_differ() -> None:
    keys = QueueKeys("ns", "mail")
    assert all(key.startswith("ns:q:mail:") for key in keys.all)
    assert len(set(keys.all)) == len(keys.all) == 8
    assert keys.streams == ("ns:q:mail:1", "ns:q:mail:2", "ns:q:mail:3")


def test_a_queue_whose_name_holds_a_colon_does_not_meet_another() -> None:
    assert not set(QueueKeys("ns", "a").all) & set(QueueKeys("ns", "a:dead").all)
