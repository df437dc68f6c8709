"""APScheduler with a store on Redis, as its documentation has it for several processes: the job coalesces and is never
too late."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.blocking import BlockingScheduler

from benchmarks.ticking.peers.notes import note


def main() -> None:
    """Run until killed."""
    where = urlsplit(os.environ["REDIS_URL"])
    store = RedisJobStore(host=where.hostname, port=where.port)
    scheduler = BlockingScheduler(jobstores={"default": store}, timezone="UTC")
    scheduler.add_job(
        note, "interval", seconds=1, id="tick", replace_existing=True, coalesce=True, misfire_grace_time=None
    )
    scheduler.start()


if __name__ == "__main__":
    main()
