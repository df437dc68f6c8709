import pytest

from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.channels import ChannelFailed, ChannelUnknown, Notice

NOTICE = Notice("a", "b")


def test_a_channel_fails_as_planned_and_others_do_not() -> None:
    channels = MemoryChannels("ops", "sms")
    channels.fail_next("sms", ChannelFailed("busy"))
    channels.send("ops", NOTICE)
    with pytest.raises(ChannelFailed, match="busy"):
        channels.send("sms", NOTICE)
    channels.send("sms", NOTICE)
    assert channels.delivered == [("ops", NOTICE), ("sms", NOTICE)]


def test_a_channel_without_a_name_is_unknown_here_too() -> None:
    seen: list[str] = []
    channels = MemoryChannels("ops")
    channels.on_send = seen.append
    with pytest.raises(ChannelUnknown, match="NOTIFY_CHANNELS"):
        channels.send("nobody", NOTICE)
    assert seen == ["nobody"]
