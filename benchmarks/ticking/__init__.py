"""Schedulers under the same kills: which ticks are doubled, which are missed (``python -m benchmarks.ticking``).

::

    __main__     the command line: runs the contenders, prints and writes the table
    contenders   who is compared, and how each is started
    trial        two schedulers, a job that is due every second, kills at set times
    tally        what the ticks amount to
    peers/       the processes of the peers, in their own environment (``.venv-bench``); they note when they send
"""
