"""A connection to the mail server, ready for mail: greeted, encrypted and logged in as the settings say."""

from __future__ import annotations

import functools
import smtplib
import socket
import ssl

from .mail_settings import MailSettings


def connect(settings: MailSettings) -> smtplib.SMTP:
    """Connect, greet, encrypt (the certificate is checked against the host's name) and log in.

    Raises:
      smtplib.SMTPConnectError, SMTPHeloError: the server refused the connection.
      smtplib.SMTPNotSupportedError: it offers no STARTTLS or no login. Nothing is sent in the clear instead.
      smtplib.SMTPAuthenticationError: it refused the login; the message names the settings to look at.
      ssl.SSLError: no encrypted connection, for example because of the certificate; the message names the settings.
      OSError: it cannot be reached, or did not answer within ``settings.timeout``.
    """
    host, port, name = settings.host, settings.effective_port, _local_hostname()
    try:
        return _ready(settings, host, port, name)
    except smtplib.SMTPAuthenticationError as error:
        if error.smtp_code < 500:
            raise  # not now, says the server: the login may be right
        said = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
        advised = said + b" (check SMTP_USERNAME and SMTP_PASSWORD)"
        raise smtplib.SMTPAuthenticationError(error.smtp_code, advised) from None
    except ssl.SSLCertVerificationError as error:
        advice = " (check SMTP_HOST, and SMTP_CA_FILE if the server has a certificate of your own authority)"
        # The same exception, since one that is made here would lack what OpenSSL said.
        error.verify_message += advice
        error.strerror = f"{error.strerror}{advice}"
        error.args = (error.errno, error.strerror)
        raise


def _ready(settings: MailSettings, host: str, port: int, name: str) -> smtplib.SMTP:
    client: smtplib.SMTP
    if settings.security == "ssl":
        client = smtplib.SMTP_SSL(host, port, name, timeout=settings.timeout, context=_trust(settings))
    else:
        client = smtplib.SMTP(host, port, name, timeout=settings.timeout)
    try:
        if client.sock is not None:
            # The dot is a small packet after a large one: Nagle's algorithm would hold it back.
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.ehlo_or_helo_if_needed()
        if settings.security == "starttls":
            client.starttls(context=_trust(settings))
            client.ehlo_or_helo_if_needed()
        if settings.credentials is not None:
            client.login(*settings.credentials)
    except BaseException:
        client.close()
        raise
    return client


def _trust(settings: MailSettings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.ca_file)


@functools.cache
def _local_hostname() -> str:
    # Asked once per process: with a slow name server each connection would wait for it.
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "[127.0.0.1]"
