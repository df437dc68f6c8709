"""What goes wrong with files, and whether it may go right later.

::

    OSError                      the store is away, a disk is full: may pass
    |-- FileNotFoundError ...    not there, not allowed: final
    FileRefused                  this path may not be touched (also a ValueError): final
    BadFile                      not what its format says (also a ValueError): final
    `-- FileTooLarge             above a limit, packed or unpacked: final
"""

from __future__ import annotations


class FileRefused(ValueError):
    """This path or URL may not be touched. The message names the setting that decides."""


class BadFile(ValueError):
    """The file is not what its format says; the message says where."""


class FileTooLarge(BadFile):
    """The file, or what it unpacks to, is above a limit. The message names the setting."""


_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)


def file_may_work_later(exception: BaseException) -> bool:
    """Whether reading or writing may work when it is tried again."""
    return isinstance(exception, OSError) and not isinstance(exception, _FINAL)
