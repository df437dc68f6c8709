"""Side by side with the peers: what Understudy costs and what it saves, as ratios (``python -m benchmarks``).

::

    __main__    the command line
    rows        what is measured, of whom, and the bar it should clear
    runner      for each row a fresh server; repetitions interleaved; a failure of one contender stops no other
    measures/   how a row is measured, the same way for every contender
    lab         a server and the processes of one measurement
    process     a child process as its parent sees it          child   the same, from within
    sides/      Understudy, stock Dramatiq and Celery behind one small interface
    tape        where bodies note when they ran
    stats, report, machine

Nothing here is imported by the product. A child of another side than Understudy imports nothing of it, so Celery
lives in an environment of its own (``.venv-bench``).
"""
