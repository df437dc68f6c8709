"""Conformance: every behaviour of Celery in these groups, run on Understudy. ``python -m tests.conformance`` prints it.

``celery.json`` holds what Celery 5.7 did (``seen``) or documents, the verdict that is wanted, and where that is
"differs" what Understudy does instead, and why. A test runs the scenario and tells what it saw to ``outcome``, which
compares. ::

    celery.json - behaviours   what is expected, and the comparison
                     `------- test_states.py ...   one test per behaviour, a file per group
                                 `------- test_rules.py    what makes a verdict or a test wrong
                                 `------- table - __main__
"""
