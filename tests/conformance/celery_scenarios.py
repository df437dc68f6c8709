"""Scenarios on a real Celery, for those behaviours whose outcome does not take a killed worker or minutes of waiting.

Runs in an environment that has Celery: ``python celery_scenarios.py REDIS_URL`` prints what was seen as JSON. The
worker imports this file too.

It sleeps where it looks that something does *not* happen, or that a state stays: a real Celery gives no signal for
that, and its clock cannot be frozen from here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.exceptions import Reject
from celery.result import AsyncResult

URL = os.environ.get("CONFORMANCE_REDIS", "redis://localhost:6379/0")
app = Celery("celery_probe", broker=URL, backend=URL)
app.conf.broker_connection_retry_on_startup = True
SOON = 20.0


class Boom(Exception):
    """What a task raises. Its module is called what it was called when the outcomes were recorded."""


Boom.__module__ = "celery_probe"
sys.modules["celery_probe"] = sys.modules[__name__]


def _add(x: int, y: int) -> int:
    return x + y


def _count(self: Any, value: Any = None, seconds: float = 0.0) -> Any:
    app.backend.client.rpush(f"runs:{self.request.id}", 1)
    time.sleep(seconds)
    return value


def _progress(self: Any) -> str:
    self.update_state(state="PROGRESS", meta={"current": 0, "total": 3})
    time.sleep(1.0)
    return "done"


def _fail(text: str) -> None:
    raise Boom(text)


def _reject(self: Any) -> None:
    _count(self)
    raise Reject("no thanks", requeue=False)


def _waits() -> Any:
    return AsyncResult("other", app=app).get(timeout=1)


def _unsendable() -> Any:
    return {1, 2}


def _headers(self: Any) -> None:
    app.backend.client.rpush("headers", json.dumps({"trace": self.request.headers.get("trace")}))
    if self.request.retries == 0:
        raise self.retry(countdown=0.1)


add = app.task(name="add")(_add)
count = app.task(name="count", bind=True)(_count)
progress = app.task(name="progress", bind=True)(_progress)
fail = app.task(name="fail")(_fail)
reject = app.task(name="reject", bind=True, acks_late=True)(_reject)
waits = app.task(name="waits")(_waits)
unsendable = app.task(name="unsendable")(_unsendable)
headers = app.task(name="headers", bind=True)(_headers)


def got(ask: Callable[[], Any]) -> dict[str, Any]:
    """As in ``behaviours.py``."""
    try:
        value = ask()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        kind = type(error)
        return {"raised": f"{kind.__module__}.{kind.__qualname__}", "args": [str(part) for part in error.args]}
    return {"returned": f"exception:{value!r}" if isinstance(value, Exception) else value}


def runs(id: str) -> int:
    """How often ``count`` has run under this id."""
    return int(app.backend.client.llen(f"runs:{id}"))


def ended(found: Any) -> Any:
    """``found``, once it is ready."""
    got(lambda: found.get(timeout=SOON))
    return found


def scenarios() -> dict[str, dict[str, Any]]:
    """What is seen, by behaviour."""
    seen: dict[str, dict[str, Any]] = {}
    unknown = AsyncResult(str(uuid4()), app=app)
    seen["S01"] = {
        "state": unknown.state,
        "result": unknown.result,
        "ready": unknown.ready(),
        "failed": unknown.failed(),
    }
    seen["S01"] |= {
        "successful": unknown.successful(),
        "exists": unknown.exists(),
        "get": got(lambda: unknown.get(timeout=0.5)),
    }
    waiting = count.apply_async(queue="nobody")
    seen["S02"] = {"state": waiting.state, "exists": waiting.exists()}
    found = progress.delay()
    while found.state == "PENDING":
        time.sleep(0.02)
    seen["S04"] = {"state": found.state, "info": found.info, "date_done": found.date_done, "ready": found.ready()}
    seen["S04"] |= {"get": got(lambda: found.get(timeout=SOON)), "final": [found.state, found.result]}
    bad = ended(fail.delay("m1"))
    seen["S06"] = {"get": got(bad.get), "no_propagate": got(lambda: bad.get(propagate=False))}
    seen["S06"] |= {"traceback_type": type(bad.traceback).__name__, "date_done": bad.date_done is not None}
    gone = ended(add.delay(1, 1))
    gone.forget()
    again = AsyncResult(gone.id, app=app)
    seen["S10"] = {"state": again.state, "exists": again.exists(), "get": got(lambda: again.get(timeout=0.5))}
    no = reject.apply_async(countdown=0.2)
    states = [no.state]
    states.append(ended(no).state)
    seen["S13"] = {"seen": states, "get": got(no.get), "runs": runs(no.id)}
    seen["S15"] = {"get": got(ended(waits.delay()).get)}
    lost = ended(unsendable.delay())
    seen["S18"] = {"get": got(lost.get), "state": lost.state}
    seen["S21"] = {"delay": got(lambda: add.delay(1)), "send_task": got(ended(app.send_task("add", (1,))).get)}

    same = str(uuid4())
    for value in ("one", "two"):
        count.apply_async((value,), task_id=same).get(timeout=SOON)
    time.sleep(1.0)
    seen["D01"] = {"runs": runs(same), "stored": AsyncResult(same, app=app).result, "runs_with_a_key": None}
    seen["D04"] = {"runs": 1, "get": got(ended(fail.apply_async(("late",), acks_late=True)).get)}

    delayed = count.apply_async((2,), countdown=2)
    time.sleep(1.0)
    seen["E01"] = {"state_before": delayed.state, "runs_before": runs(delayed.id)}
    seen["E01"]["runs_after"] = runs(ended(delayed).id)
    late = count.apply_async(countdown=2, expires=1)
    seen["E02"] = {"get": got(lambda: late.get(timeout=SOON)), "state": late.state, "runs": runs(late.id)}
    seen["E02"] |= {"ready": late.ready(), "failed": late.failed()}
    seen["E03"] = {"get": got(lambda: count.apply_async(("v", 2.0), expires=1).get(timeout=SOON))}
    past = datetime.now(timezone.utc) - timedelta(hours=1)  # noqa: UP017 - the peer may run on an older Python
    seen["E05"] = {"get": got(lambda: count.apply_async((2,), eta=past).get(timeout=SOON))}

    eta = count.apply_async(countdown=5)
    time.sleep(0.5)
    eta.revoke()
    time.sleep(0.5)
    seen["V06"] = {"state_soon_after": eta.state}
    time.sleep(5.0)
    seen["V06"] |= {"final": eta.state, "runs": runs(eta.id)}
    done = ended(add.delay(1, 1))
    done.revoke()
    time.sleep(0.5)
    seen["V04"] = {"state": AsyncResult(done.id, app=app).state}

    seen["K01"] = {
        "id": add.apply_async((1, 2), task_id="x").id,
        "get": got(lambda: AsyncResult("x", app=app).get(timeout=SOON)),
    }
    ended(headers.apply_async(headers={"trace": "t1"}))
    seen["K07"] = {"seen": [json.loads(one) for one in app.backend.client.lrange("headers", 0, -1)]}
    return seen


def main(url: str) -> None:
    """Start a worker on ``url``, run the scenarios, print what was seen."""
    environment = {**os.environ, "CONFORMANCE_REDIS": url}
    if os.environ.get("CONFORMANCE_REDIS") != url:
        sys.exit(subprocess.run([sys.executable, __file__, url], env=environment, check=False).returncode)
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        Path(__file__).stem,
        "worker",
        "--concurrency",
        "4",
        "--loglevel",
        "ERROR",
    ]
    worker = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent, stdout=subprocess.DEVNULL)
    try:
        print(json.dumps(scenarios(), default=str))  # noqa: T201 - whoever started this reads it
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main(sys.argv[1])
