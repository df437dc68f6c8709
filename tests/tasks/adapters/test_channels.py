"""Channels over apprise, against a real receiver on a socket."""

from __future__ import annotations

import json
import logging
import socket

import pytest

from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.channel_settings import ChannelSettings
from tasks.adapters.channels import (
    AppriseChannels,
    ChannelFailed,
    ChannelUnknown,
    Notice,
    open_channels,
    use_channels,
)
from tests.tasks.adapters.receiving import receiver
from understudy.settings import load

NOTICE = Notice("Disk full", "db1 has 2 % left", "warning")


def channels(**urls: str) -> AppriseChannels:
    text = " ".join(f"{name}={url}" for name, url in urls.items())
    return AppriseChannels(load(ChannelSettings, environ={"NOTIFY_CHANNELS": text}))


def test_a_notice_arrives() -> None:
    with receiver() as target:
        channels(ops=f"json://localhost:{target.port}/hook").send("ops", NOTICE)
    ((_, path, _, body),) = target.seen
    said = json.loads(body)
    assert path == "/hook"
    assert (said["title"], said["message"], said["type"]) == ("Disk full", "db1 has 2 % left", "warning")


def test_a_service_that_refuses_is_a_failure_and_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with receiver() as target, caplog.at_level(logging.DEBUG):
        target.answers = [(500, {}), (200, {})]
        found = channels(ops=f"json://me:top-secret@localhost:{target.port}/top-secret?+x=top-secret")
        with pytest.raises(ChannelFailed, match="channel ops: the service did not take it over") as caught:
            found.send("ops", NOTICE)
        found.send("ops", NOTICE)
    assert "top-secret" not in f"{caught.value!r} {caplog.text}"
    assert "db1" not in caplog.text


def test_a_service_that_is_away_is_a_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ChannelFailed):
        channels(ops=f"json://127.0.0.1:{port}/").send("ops", NOTICE)


def test_a_plugin_that_raises_is_a_failure_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    found = channels(ops="json://localhost:1/")

    class Broken:
        def notify(self, **_: object) -> bool:
            raise RuntimeError("json://me:top-secret@host")

    monkeypatch.setattr("tasks.adapters.channels.instantiate", lambda url: Broken())
    with pytest.raises(ChannelFailed, match=r"^channel ops: RuntimeError$"):
        found.send("ops", NOTICE)


def test_a_name_that_nobody_gave_is_told_with_what_may_be_meant() -> None:
    with pytest.raises(ChannelUnknown, match="did you mean 'oncall'"):
        channels(oncall="json://localhost:1/").send("on-call", NOTICE)


def test_memory_channels_take_the_place_of_the_real_ones() -> None:
    double = MemoryChannels("ops")
    with use_channels(lambda: double):
        open_channels().send("ops", NOTICE)
    assert double.delivered == [("ops", NOTICE)]
    assert isinstance(open_channels(ChannelSettings()), AppriseChannels)
