"""The command ``understudy``, also as ``python -m understudy``.

Outside of ``understudy.cli``, because that cannot be imported without the extra ``cli``.
"""

from __future__ import annotations

import sys


def main() -> int:
    """The console entry point: runs ``sys.argv`` and returns the exit code."""
    try:
        from understudy.cli import main as run  # here, because it may not be possible
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write("the command line needs: pip install 'understudy[cli]'\n")
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
