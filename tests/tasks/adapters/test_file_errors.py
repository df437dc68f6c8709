import pytest

from tasks.adapters.file_errors import BadFile, FileRefused, FileTooLarge, file_may_work_later


@pytest.mark.parametrize("error", [OSError("disk full"), TimeoutError(), ConnectionResetError()])
def test_a_store_that_is_away_may_come_back(error: Exception) -> None:
    assert file_may_work_later(error)


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(), PermissionError(), IsADirectoryError(), FileRefused(), BadFile(), FileTooLarge(), KeyError()],
)
def test_what_is_wrong_with_the_file_itself_stays_wrong(error: Exception) -> None:
    assert not file_may_work_later(error)
