"""``understudy worker``: a supervisor and its worker processes.

::

    supervisor (no threads, imports no actor)                    worker process (a fresh interpreter each)
    -----------------------------------------                    -----------------------------------------
    run.py      signals, then one step after the other           child.py    boots, works, drains, ends
    loop.py     run_once(): who is missing, who must go          boot.py     logging, modules, the broker
    process.py  one worker process as it is seen from here       limits.py   when it is time to be replaced
    spawn.py    makes one                <-- two pipes -->        signals.py  obeys the supervisor, not the terminal
    backoff.py  how long to wait after an early death            messages.py what is said through the pipes

A worker process is never forked: it starts as an empty interpreter, so it has its own broker identity, its own
connections and, after a reload, the new code. It ends with its supervisor, however that ended.
"""
