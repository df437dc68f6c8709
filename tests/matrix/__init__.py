"""The test matrix: every subject against every row, on every broker. ``python -m tests.matrix`` prints it.

How to read it and how to add an entry: ``docs/explanation/matrix.md``. ::

    subjects   what there is: actors, workflows, periodic jobs          capabilities   what is not built yet
        `------- excuses   what a declaration excuses                        |
                    `------- entries   what each subject declares: cases/, one file per domain
                                `------- rules     what makes an entry wrong
                                            `------- cells     what pytest runs: test_matrix.py
                                                        `------- verdicts - table - __main__
"""
