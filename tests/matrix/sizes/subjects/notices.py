"""Webhooks, and notices to many channels, to a receiver on a socket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from tasks.adapters.web import WebhookSettings
from tasks.adapters.web_signature import verify
from tasks.notification_tasks import notify, send_notification, send_webhook
from tests.matrix.sizes.figures import Figure
from tests.matrix.sizes.runs import Run
from tests.matrix.sizes.scenes import scene
from understudy import clock
from understudy.settings import load

#: Webhooks to a host, and notices to a channel: as many as there may be at once.
TO_HOST, TO_CHANNEL = 20, 5


@scene(send_webhook)
def webhooks(run: Run) -> Iterator[Figure]:
    """Each is signed, and has the body that was sent."""
    hosts, data = run.of(100, 2), "ö" * 8_000
    urls = [
        run.house.target.url(f"/{host}-{number}", f"127.0.1.{1 + host}")
        for host in range(hosts)
        for number in range(TO_HOST)
    ]
    done = run.work(send_webhook.message(url, "order.paid", {"url": url, "data": data}) for url in urls)
    key = load(WebhookSettings).key
    assert key is not None
    ids, bodies = list[str](), Counter[str]()
    for _, _, headers, body in run.house.target.seen:
        ids.append(verify(body, headers, key=key, now=clock.now(), tolerance=3_600))
        said = json.loads(body)
        assert said["data"]["data"] == data
        bodies[said["data"]["url"]] += 1
    assert bodies == dict.fromkeys(urls, 1)
    assert sorted(ids) == sorted(result["webhook_id"] for result in done.results)
    size = len(run.house.target.seen[0][3])
    yield done.figure(
        "send_webhook",
        f"{len(urls):,} webhooks of {size / 1e3:.0f} kB to {hosts} hosts",
        len(urls),
        "webhooks",
        "each arrived once, signed, with its body",
    )


@scene(send_notification, notify)
def notices(run: Run) -> Iterator[Figure]:
    """Each channel gets as many notices at once as its limit allows."""
    count, unknown = run.of(200, 4), 3
    names = [f"chat{n}" for n in range(2 * count)]
    urls = [f"{name}=json://127.0.0.1:{run.house.target.port}/{name}" for name in names]
    run.house.environment["NOTIFY_CHANNELS"] = " ".join(urls)
    first, second = names[:count], names[count:]
    done = run.work(
        send_notification.message(name, f"Notice {number}", "The disk is full.\n" * 40, "warning")
        for number in range(TO_CHANNEL)
        for name in first
    )
    _arrived(run, first)
    total = count * TO_CHANNEL
    yield done.figure(
        "send_notification", f"{total:,} notices to {count} channels", total, "notices", "each arrived once"
    )
    lost = [f"pager{n}" for n in range(unknown)]
    done = run.work(
        notify.message([*second, *lost], f"Notice {number}", "The disk is full.\n" * 40) for number in range(TO_CHANNEL)
    )
    for result in done.results:
        assert result["successful"] == count
        assert [failed["channel"] for failed in result["failed_channels"]] == lost
    _arrived(run, second)
    yield done.figure(
        "notify",
        f"{TO_CHANNEL} notices, each to {count} channels and {unknown} that are not set up",
        total,
        "notices",
        "each arrived once; the others are named",
    )


def _arrived(run: Run, channels: list[str]) -> None:
    wanted = [f"/{name}" for name in channels]
    seen = Counter((path, json.loads(body)["title"]) for _, path, _, body in run.house.target.seen if path in wanted)
    assert seen == {(path, f"Notice {number}"): 1 for path in wanted for number in range(TO_CHANNEL)}
