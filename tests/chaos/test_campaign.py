"""A campaign whose worker is stopped or killed in the middle, by real signals (P4, P7, P11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.rig import Rig, rig
from understudy.states import State
from understudy.testing.conditions import wait_until

PEOPLE = [f"person{n}@crowd.example" for n in range(300)]
TIMEOUT = 60.0


def start_and_wait_for(stage: Rig, count: int) -> None:
    stage.worker.start()

    def far_enough() -> bool:
        stage.worker.check()
        return len(stage.mailed()) >= count

    wait_until(far_enough, timeout=TIMEOUT, what=f"{count} mails")


def test_a_worker_stopped_by_sigterm_hands_the_campaign_to_the_next_one(tmp_path: Path) -> None:
    with rig(tmp_path) as stage:
        campaign = stage.send("send_bulk_emails", PEOPLE)
        start_and_wait_for(stage, 50)
        stage.worker.stop()
        at_stop = stage.mailed()
        assert 50 <= len(at_stop) < len(PEOPLE)
        assert not campaign.ready()

        stage.worker.start()
        result = campaign.get(timeout=TIMEOUT)
        assert result == {"successful": len(PEOPLE), "failed": 0, "failed_emails": []}
        assert stage.mailed() == PEOPLE
        assert campaign.retries == 0


@pytest.mark.parametrize("at", [1, 120])
def test_a_worker_killed_with_kill_9_leaves_at_most_one_mail_in_doubt_and_says_so(at: int, tmp_path: Path) -> None:
    with rig(tmp_path) as stage:
        campaign = stage.send("send_bulk_emails", PEOPLE)
        start_and_wait_for(stage, at)
        stage.worker.kill()
        stage.worker.start()
        result = campaign.get(timeout=TIMEOUT)
        mailed = stage.mailed()
        doubtful = {entry["email"] for entry in result["failed_emails"]}

        assert len(set(mailed)) == len(mailed), "somebody was mailed twice"
        assert len(doubtful) <= 1
        assert all(entry["error"].startswith("in doubt") for entry in result["failed_emails"])
        assert set(mailed) | doubtful == set(PEOPLE)
        assert result["successful"] == len(PEOPLE) - len(doubtful)
        assert campaign.status is State.SUCCESS
        assert campaign.retries == 0
