"""The report of the demo: what the result says, compared with what the mail server really received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .campaign import Row

#: How the mail actor begins the reason of a mail that may or may not have been delivered.
IN_DOUBT = "in doubt"


@dataclass
class Report:
    """Figures to show, and every point in which result and mail server disagree."""

    delivered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    in_doubt: int = 0
    in_doubt_delivered: int = 0
    delivered_twice: int = 0
    duplicates: int = 0
    retries: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def matches(self) -> bool:
        """Whether the result is the truth."""
        return not self.problems


def compare(
    rows: Sequence[Row],
    result: dict[str, Any],
    received: Sequence[str],
    *,
    retries: int,
    again: Sequence[tuple[str, Any]] = (),
    received_again: int = 0,
) -> Report:
    """Compare a campaign's ``result`` with the addresses that the mail server accepted a mail for, in order.

    Args:
      again: what sending it again gave, with a name for each way; each must equal ``result``.
      received_again: how many mails arrived after the campaign had ended; must be 0.
    """
    counts = Counter(address.casefold() for address in received)
    expected = {row.email.casefold() for row in rows if row.expected == "ok"}
    reasons = {entry["email"].casefold(): entry["error"] for entry in result["failed_emails"]}
    doubtful = {address for address, reason in reasons.items() if reason.startswith(IN_DOUBT)}
    report = Report(
        delivered=len(counts),
        failed=Counter(_short(reason) for reason in reasons.values() if not reason.startswith(IN_DOUBT)),
        in_doubt=len(doubtful),
        in_doubt_delivered=len(doubtful & counts.keys()),
        delivered_twice=sum(1 for count in counts.values() if count > 1),
        duplicates=sum(1 for row in rows if row.expected == "duplicate"),
        retries=retries,
    )
    say = report.problems.append
    for address, count in counts.items():
        if count > 1:
            say(f"{address} was mailed {count} times")
    for row in rows:
        address = row.email.casefold()
        if row.expected in ("refused", "invalid") and address not in reasons:
            say(f"{row.email!r} is {row.expected}, and is not reported as failed")
    for address in sorted(expected - counts.keys() - doubtful):
        say(f"{address} was not mailed" + (f": {reasons[address]}" if address in reasons else ", and nobody says so"))
    for address in sorted(counts.keys() - expected):
        say(f"{address} was mailed, and should not have been")
    for address in sorted(reasons.keys() & counts.keys() - doubtful):
        say(f"{address} was mailed, and is reported as failed: {reasons[address]}")
    successful = len(counts) - report.in_doubt_delivered
    if result["successful"] != successful:
        say(f"the result says {result['successful']} successful, the mail server received {successful}")
    if result["failed"] != len(result["failed_emails"]):
        say(f"the result says {result['failed']} failed and lists {len(result['failed_emails'])}")
    for name, other in again:
        if other != result:
            say(f"{name} gave another result: {other!r}")
    if received_again:
        say(f"{received_again} mails arrived when the campaign was sent again")
    return report


def _short(reason: str) -> str:
    """The reason without what differs from recipient to recipient."""
    return reason.split(";")[0].strip()
