import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from understudy.testing.conditions import wait_until
from understudy.testing.smtp_handle import SmtpServer, SmtpThread
from understudy.testing.smtp_policy import SmtpPolicy

BODY = b"Subject: Hello\r\n\r\nHello"


def deliver(server: SmtpServer | SmtpThread, *recipients: str) -> None:
    with smtplib.SMTP(server.host, server.port, "client.example", timeout=10) as client:
        for recipient in recipients:
            client.sendmail("x@mail.example", [recipient], BODY)


def refuses_connections(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("kind", [SmtpThread, SmtpServer])
def test_a_server_takes_mail_while_it_runs(kind: type[SmtpServer | SmtpThread], tmp_path: Path) -> None:
    policy = SmtpPolicy(refuse=("bob@mail.example",))
    with kind(tmp_path / "smtp.jsonl", policy, messages=tmp_path / "messages") as server:
        deliver(server, "ada@mail.example", "grace@mail.example")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            deliver(server, "bob@mail.example")
        host, port = server.host, server.port
    assert refuses_connections(host, port)
    assert [each.recipient for each in server.journal()] == ["ada@mail.example", "grace@mail.example"]
    assert [message["Subject"] for message in server.messages()] == ["Hello", "Hello"]
    assert server.stats() == {
        "connected": 2, "accepted": 2, "refused": 1, "greylisted": 0, "dropped": 0, "unavailable": 0,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [SmtpThread, SmtpServer])
def test_a_server_stops_at_once_with_a_connection_open(kind: type[SmtpServer | SmtpThread], tmp_path: Path) -> None:
    server = kind(tmp_path / "smtp.jsonl").start()
    client = smtplib.SMTP(server.host, server.port, "client.example", timeout=10)
    server.stop()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.noop()
    client.close()


@pytest.mark.parametrize("kind", [SmtpThread, SmtpServer])
def test_a_stopped_server_has_no_port_and_stops_again_without_harm(
    kind: type[SmtpServer | SmtpThread], tmp_path: Path
) -> None:
    server = kind(tmp_path / "smtp.jsonl")
    server.stop()
    server.start()
    server.stop()
    server.stop()
    with pytest.raises(RuntimeError, match="call start"):
        _ = server.port


def test_the_messages_themselves_need_a_directory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="give a directory"):
        SmtpThread(tmp_path / "smtp.jsonl").messages()


def test_the_journal_survives_kill_9_and_the_next_run_goes_on(tmp_path: Path) -> None:
    server = SmtpServer(tmp_path / "smtp.jsonl").start()
    deliver(server, "ada@mail.example")
    assert server.pid > 0
    server.kill()
    assert [each.recipient for each in server.journal()] == ["ada@mail.example"]
    with server:
        deliver(server, "grace@mail.example")
    assert [each.recipient for each in server.journal()] == ["ada@mail.example", "grace@mail.example"]
    with pytest.raises(RuntimeError, match="call start"):
        _ = server.pid


def test_a_server_in_a_thread_can_take_a_given_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            SmtpThread(tmp_path / "smtp.jsonl", port=port).start()
    with SmtpThread(tmp_path / "smtp.jsonl", port=port) as server:
        assert server.port == port


def test_a_process_that_cannot_listen_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"cannot serve on 127.0.0.1:{port}"):
            SmtpServer(tmp_path / "smtp.jsonl", port=port).start()


def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from understudy.testing.smtp_handle import SmtpServer\n"
        "server = SmtpServer(Path(sys.argv[1])).start()\n"
        "sys.stdout.write(f'{server.port}\\n'); sys.stdout.flush(); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "smtp.jsonl")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    assert not refuses_connections("127.0.0.1", port)
    parent.kill()
    parent.communicate()
    wait_until(lambda: refuses_connections("127.0.0.1", port))
