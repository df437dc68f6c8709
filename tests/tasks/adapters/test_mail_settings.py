from pathlib import Path

import pytest

from tasks.adapters.mail_settings import MailSettings, is_loopback
from understudy.errors import SettingsError
from understudy.settings import load


def problem(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(MailSettings, environ=environ)
    return "\n".join(caught.value.problems)


def test_without_any_setting_mail_goes_to_this_machine() -> None:
    settings = load(MailSettings, environ={})
    assert (settings.host, settings.effective_port, settings.security) == ("localhost", 25, "none")
    assert settings.credentials is None
    assert settings.timeout == 10.0
    assert settings.from_sender == ("Understudy", "no-reply@localhost")


def test_every_setting_comes_from_the_environment(certificate: str) -> None:
    settings = load(
        MailSettings,
        environ={
            "SMTP_HOST": "mail.example.com",
            "SMTP_PORT": "2525",
            "SMTP_SECURITY": "starttls",
            "SMTP_USERNAME": "ada",
            "SMTP_PASSWORD": "analytical",
            "SMTP_FROM": "Ada <ada@example.com>",
            "SMTP_TIMEOUT": "500ms",
            "SMTP_CA_FILE": certificate,
        },
    )
    assert (settings.host, settings.effective_port, settings.security) == ("mail.example.com", 2525, "starttls")
    assert settings.credentials == ("ada", "analytical")
    assert settings.from_sender == ("Ada", "ada@example.com")
    assert settings.timeout == 0.5
    assert settings.ca_file == Path(certificate)


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("ssl", 465)])
def test_the_port_follows_from_the_security(security: str, port: int) -> None:
    assert load(MailSettings, environ={"SMTP_SECURITY": security}).effective_port == port


def test_the_password_is_not_shown() -> None:
    environ = {"SMTP_USERNAME": "ada", "SMTP_PASSWORD": "analytical"}
    assert "analytical" not in repr(load(MailSettings, environ=environ))
    assert "analytical" not in problem(**environ, SMTP_HOST="mail.example.com")


def test_a_name_without_a_password_is_refused_and_the_other_way_round() -> None:
    assert "SMTP_USERNAME is set without SMTP_PASSWORD" in problem(SMTP_USERNAME="ada")
    assert "SMTP_PASSWORD is set without SMTP_USERNAME" in problem(SMTP_PASSWORD="x")


@pytest.mark.parametrize("security", ["none", "starttls"])
def test_port_465_means_ssl(security: str) -> None:
    assert "write SMTP_SECURITY=ssl" in problem(SMTP_PORT="465", SMTP_SECURITY=security)


def test_credentials_do_not_travel_unencrypted_to_another_machine() -> None:
    login = {"SMTP_USERNAME": "ada", "SMTP_PASSWORD": "x"}
    assert "would travel unencrypted" in problem(**login, SMTP_HOST="mail.example.com")
    for host in ("localhost", "127.0.0.1", "::1"):
        assert load(MailSettings, environ={**login, "SMTP_HOST": host}).credentials == ("ada", "x")


def test_credentials_outside_ascii_are_refused_before_the_first_mail() -> None:
    assert "must be ASCII" in problem(SMTP_USERNAME="ada", SMTP_PASSWORD="gr\u00fcn")


def test_a_ca_file_must_hold_certificates_and_be_of_use(tmp_path: Path, certificate: str) -> None:
    (tmp_path / "empty.pem").write_text("")
    assert "SMTP_CA_FILE" in problem(SMTP_CA_FILE=str(tmp_path / "none.pem"), SMTP_SECURITY="ssl")
    assert "is not a file" in problem(SMTP_CA_FILE=str(tmp_path), SMTP_SECURITY="ssl")
    assert "cannot be read as certificates" in problem(SMTP_CA_FILE=str(tmp_path / "empty.pem"), SMTP_SECURITY="ssl")
    assert "has no use with SMTP_SECURITY=none" in problem(SMTP_CA_FILE=certificate)


def test_every_mistake_is_reported_at_once() -> None:
    said = problem(SMTP_PORT="0", SMTP_SECURITY="tls", SMTP_FROM="Ada", SMTP_TIMEOUT="soon")
    for name in ("SMTP_PORT", "SMTP_SECURITY", "SMTP_FROM", "SMTP_TIMEOUT"):
        assert name in said


def test_impossible_combinations_are_reported_together() -> None:
    said = problem(SMTP_USERNAME="ada", SMTP_PORT="465", SMTP_HOST="mail.example.com")
    for part in ("without SMTP_PASSWORD", "SMTP_SECURITY=ssl", "would travel unencrypted"):
        assert part in said


def test_a_misspelt_setting_is_reported() -> None:
    assert "did you mean SMTP_SECURITY?" in problem(SMTP_SECURTY="starttls")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_this_machine_has_many_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["mail.example.com", "10.0.0.1", "localhost.example.com", "::2", ""])
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)
