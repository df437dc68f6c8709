"""What leaves the house: mails and webhooks, counted where they arrive."""

from __future__ import annotations

from collections import Counter

from tasks.email_tasks import send_email
from tasks.notification_tasks import send_webhook
from tests.matrix.mains.house import Call, House
from tests.matrix.mains.mains import Main, main
from understudy.states import State
from workflows.user_onboarding.send_welcome import send_welcome
from workflows.user_onboarding.users import users


class _Mail(Main):
    #: A mail that was in flight is reported, not repeated.
    killed = (State.FAILURE, 0)

    def effects(self, house: House) -> Counter[str]:
        return Counter(delivery.recipient for delivery in house.smtp.journal() if self.name in delivery.recipient)

    def _address(self, batch: str, number: int) -> str:
        return f"{self.name}-{batch}-{number}@example.com"


@main(send_email, "email")
class SendEmail(_Mail):
    unit = "one mail"

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        addresses = [self._address(batch, number) for number in range(count)]
        return [Call(send_email.message(to, "Hello", text="Hello there.\n"), to) for to in addresses]


@main(send_welcome, "user_onboarding")
class SendWelcome(_Mail):
    unit = "one mail, noted before it goes"

    def open(self, house: House) -> None:
        users()

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        addresses = [self._address(batch, number) for number in range(count)]
        return [Call(send_welcome.message(to, to, "Ada"), to) for to in addresses]


@main(send_webhook, "notification")
class SendWebhook(Main):
    unit = "one webhook, each to another host"
    #: It had arrived, and only its answer had not: it comes again under the same id.
    ended = 1
    killed = (State.SUCCESS, 2)

    def calls(self, house: House, batch: str, count: int) -> list[Call]:
        paths = [f"/{batch}-{number}" for number in range(count)]
        # The limit is one of each receiver.
        hosts = [f"127.0.{1 + number // 200}.{1 + number % 200}" for number in range(count)]
        urls = [house.target.url(path, host) for path, host in zip(paths, hosts, strict=True)]
        return [Call(send_webhook.message(url, "ping", {}), path) for path, url in zip(paths, urls, strict=True)]

    def effects(self, house: House) -> Counter[str]:
        return Counter(path for _, path, _, _ in house.target.seen)
