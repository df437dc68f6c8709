from __future__ import annotations

import logging

import pytest

from tasks.adapters.quiet import TALKATIVE, silence


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "botocore.endpoint", "httpx", "apprise"])
def test_they_say_nothing_at_whatever_level_the_rest_speaks(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(name).warning("GET /hook?token=secret")
    assert caplog.text == ""


def test_who_must_hear_one_may(caplog: pytest.LogCaptureFixture) -> None:
    try:
        with caplog.at_level(logging.DEBUG, logger="urllib3"):
            logging.getLogger("urllib3.connection").debug("heard")
    finally:
        silence()
    assert "heard" in caplog.text
    assert {logging.getLogger(name).level for name in TALKATIVE} == {logging.CRITICAL}
