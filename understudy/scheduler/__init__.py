"""Periodic jobs: each (job, fire time) becomes one message, with any number of schedulers.

::

    @periodic(cron=..., ...) on actors          jobs.py        what a job is; checked at import
        |
    cron.py, every.py                           when it fires: pure functions of the time
        |
    catchup.py                                  what is made of ticks that nobody saw
        |
    timetable.py                                which job is due next (APScheduler: its one place)
        |
    leadership.py --- loop.py --- wake.py       one scheduler of several does the work; `run_once()` is one step
                        |
    book.py                                     what the server knows: claims, pauses, requests, history

The claim of a fire time and the message that it becomes are one script (``storage/lua/tick.lua``), which refuses a fire
time that is not after the last one. So nothing depends on there being one leader: it only keeps the others quiet.
"""
