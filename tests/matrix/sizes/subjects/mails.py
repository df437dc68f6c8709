"""Mails one by one, and a campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tasks.email_tasks import send_bulk_emails, send_email
from tests.matrix.sizes.figures import Figure
from tests.matrix.sizes.runs import Run
from tests.matrix.sizes.scenes import scene

#: A newsletter as they are, with its pictures left away.
HTML = "<html><body>" + "".join(f"<p>Größe {n}: so much was said of it.</p>\n" for n in range(1_200)) + "</body></html>"


@scene(send_email, send_bulk_emails)
def mails(run: Run) -> Iterator[Figure]:
    """Each arrives once, on a socket."""
    one_by_one = [f"reader{n}@example.com" for n in range(run.of(2_000, 10))]
    done = run.work(send_email.message(to, "Your newsletter", "Hello.\n", html=HTML) for to in one_by_one)
    size = _arrived(run, one_by_one)
    yield done.figure(
        "send_email",
        f"{len(one_by_one):,} mails of text and HTML, {size / 1e3:,.0f} kB each (the limit is 50 a second)",
        len(one_by_one),
        "mails",
        "each arrived once, whole",
    )
    many = [f"member{n}@example.com" for n in range(run.of(10_000, 20))]
    nobody = [f"nobody {n}" for n in range(len(many) // 10)]
    recipients = [{"email": email, "name": f"Member {n}"} for n, email in enumerate([*many, *nobody])]
    done = run.work([send_bulk_emails.message(recipients, html=HTML[:20_000])])
    (result,) = done.results
    assert (result["successful"], result["failed"]) == (len(many), len(nobody))
    assert [failed["email"] for failed in result["failed_emails"]] == nobody
    size = _arrived(run, many)
    yield done.figure(
        "send_bulk_emails",
        f"a campaign to {len(many):,} recipients and {len(nobody):,} that are none, {size / 1e3:,.0f} kB each",
        len(many),
        "mails",
        "each arrived once; who got none is named",
    )


def _arrived(run: Run, addresses: list[str]) -> float:
    """See that a mail arrived for each address, once; how large they are."""
    wanted = set(addresses)
    found = [delivery for delivery in run.house.smtp.journal() if delivery.recipient in wanted]
    assert Counter(delivery.recipient for delivery in found) == dict.fromkeys(addresses, 1)
    assert min(delivery.size for delivery in found) > 20_000
    return sum(delivery.size for delivery in found) / len(found)
