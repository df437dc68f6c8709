"""The two clocks."""

from datetime import UTC, datetime

from freezegun import freeze_time

from understudy import clock


def test_now_is_frozen_with_time() -> None:
    with freeze_time("2026-03-01T12:00:00+00:00") as frozen:
        before = clock.now()
        frozen.tick(1.5)
        assert clock.now() - before == 1.5
        assert clock.utc(clock.now()) == datetime(2026, 3, 1, 12, 0, 1, 500_000, tzinfo=UTC)


def test_the_measuring_clock_never_goes_backwards() -> None:
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_a_stored_time_is_shown_in_utc() -> None:
    assert clock.utc(0).isoformat() == "1970-01-01T00:00:00+00:00"
