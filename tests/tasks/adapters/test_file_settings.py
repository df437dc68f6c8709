from pathlib import Path

import pytest

from tasks.adapters.file_settings import FileSettings
from understudy.errors import SettingsError
from understudy.settings import load, project_dir


def test_without_any_setting_files_are_in_the_data_directory_of_the_project() -> None:
    settings = load(FileSettings, environ={})
    assert settings.root == project_dir() / "data"
    assert "http" not in settings.protocols
    assert settings.max_size == 10 * 1024**3


def test_every_setting_comes_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "FILES_ROOT": str(tmp_path),
        "FILES_PROTOCOLS": "s3, gs",
        "FILES_MAX_SIZE": "10MiB",
        "FILES_MAX_UNPACKED": "1GiB",
        "FILES_MAX_RECORD": "64KiB",
    }
    settings = load(FileSettings, environ=environ)
    assert settings.root == tmp_path
    assert settings.protocols == ("s3", "gs")
    assert (settings.max_size, settings.max_unpacked, settings.max_record) == (10 * 1024**2, 1024**3, 64 * 1024)


@pytest.mark.parametrize("name", ["http", "https", "HTTPS"])
def test_no_message_may_name_an_address_of_the_web(name: str) -> None:
    with pytest.raises(SettingsError, match=f"FILES_PROTOCOLS=.* holds {name}, by which a message could reach inside"):
        load(FileSettings, environ={"FILES_PROTOCOLS": f"s3,{name}"})


def test_a_misspelt_limit_is_told() -> None:
    with pytest.raises(SettingsError, match="did you mean FILES_MAX_SIZE"):
        load(FileSettings, environ={"FILES_MAXSIZE": "1MiB"})
