"""Email against a real SMTP server on the loopback interface."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.notifiers.base import Message, PermanentFailure, TemporaryFailure
from app.notifiers.smtp import SmtpNotifier

SENDER = "观测云 <no-reply@guance.example>"
HOST = "127.0.0.1"


def message(to: str = "li.lei@example.com", locale: str = "zh-CN", template: str = "login_code") -> Message:
    params = {"code": "482913", "minutes": "10", "target": "l***@example.com"}
    return Message(id="mesg_1", channel="email", to=to, template=template, locale=locale, params=params)


class Inbox:
    """Takes what comes, and answers RCPT and DATA as told."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.rcpt_answer = "250 OK"
        self.data_answer = "250 OK"
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt_answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return self.data_answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:word/1", handled=False)

    def email(self) -> EmailMessage:
        """The only email that came."""
        (envelope,) = self.envelopes
        content = envelope.content
        assert isinstance(content, bytes)
        parsed = message_from_bytes(content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@contextmanager
def serving(inbox: Inbox, **options: Any) -> Iterator[int]:
    """A server on a free port; the port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    controller = Controller(inbox, hostname=HOST, port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def plain(inbox: Inbox) -> Iterator[SmtpNotifier]:
    with serving(inbox) as port:
        yield SmtpNotifier(f"smtp://{HOST}:{port}?starttls=never", SENDER, timeout=5)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for the loopback address, signed by itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "server.pem"
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_an_email_arrives_with_all_its_headers(plain: SmtpNotifier, inbox: Inbox) -> None:
    await plain.send(message())
    await plain.close()
    (envelope,) = inbox.envelopes
    assert envelope.mail_from == "no-reply@guance.example"
    assert envelope.rcpt_tos == ["li.lei@example.com"]
    email = inbox.email()
    assert email["From"] == SENDER
    assert email["To"] == "li.lei@example.com"
    assert email["Subject"] == "【观测云】登录验证码"
    assert email["Message-ID"] == "<mesg_1@guance.example>"
    assert email["Auto-Submitted"] == "auto-generated"
    assert abs(email["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)
    assert email.get_content_type() == "text/plain"
    assert email.get_content_charset() == "utf-8"
    assert "482913" in email.get_content()
    assert "观测云费用中心" in email.get_content()


async def test_a_repeat_has_the_same_message_id(plain: SmtpNotifier, inbox: Inbox) -> None:
    await plain.send(message())
    first = inbox.email()["Message-ID"]
    inbox.envelopes.clear()
    await plain.send(message())
    assert inbox.email()["Message-ID"] == first


@pytest.mark.parametrize("code", [550, 551, 552, 553, 554])
async def test_a_refused_recipient_is_permanent(plain: SmtpNotifier, inbox: Inbox, code: int) -> None:
    inbox.rcpt_answer = f"{code} li.lei@example.com is unknown"
    with pytest.raises(PermanentFailure) as failure:
        await plain.send(message())
    assert failure.value.reason == f"refused_{code}"
    assert inbox.envelopes == []


@pytest.mark.parametrize("code", [421, 450, 451, 452])
async def test_a_recipient_that_is_busy_is_temporary(plain: SmtpNotifier, inbox: Inbox, code: int) -> None:
    inbox.rcpt_answer = f"{code} greylisted"
    with pytest.raises(TemporaryFailure) as failure:
        await plain.send(message())
    assert failure.value.reason == f"refused_{code}"


async def test_refused_content_is_permanent_and_busy_is_temporary(plain: SmtpNotifier, inbox: Inbox) -> None:
    inbox.data_answer = "554 spam"
    with pytest.raises(PermanentFailure, match=r"^refused_554$"):
        await plain.send(message())
    inbox.data_answer = "451 later"
    with pytest.raises(TemporaryFailure, match=r"^refused_451$"):
        await plain.send(message())


async def test_a_failure_has_no_address_attached_to_it(plain: SmtpNotifier, inbox: Inbox) -> None:
    inbox.rcpt_answer = "550 li.lei@example.com is unknown"
    with pytest.raises(PermanentFailure) as failure:
        await plain.send(message())
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None
    assert "li.lei" not in str(failure.value)


@pytest.mark.parametrize(
    "to",
    [
        "li.lei@example.com\r\nBcc: han.meimei@example.com",
        "li.lei@example.com\nX-Header: 1",
        "li.lei@example.com, han.meimei@example.com",
        "Li Lei <li.lei@example.com>",
        "li.lei@example.com>\r\nRCPT TO:<han.meimei@example.com",
        '"li lei"@example.com',
        "li.lei@example.com@example.com",
        "li.lei@example.com\u2028",
        "nobody",
        "@example.com",
        "",
    ],
)
async def test_an_address_that_would_say_more_than_itself_is_permanent(
    plain: SmtpNotifier, inbox: Inbox, to: str
) -> None:
    with pytest.raises(PermanentFailure, match=r"^malformed$") as failure:
        await plain.send(message(to))
    assert failure.value.__context__ is None
    assert inbox.envelopes == []


async def test_an_unknown_template_is_permanent(plain: SmtpNotifier) -> None:
    with pytest.raises(PermanentFailure, match=r"^no_template$"):
        await plain.send(message(template="no_such"))


async def test_an_address_in_another_script_needs_a_server_that_takes_it(inbox: Inbox) -> None:
    with serving(inbox, enable_SMTPUTF8=False) as port:
        notifier = SmtpNotifier(f"smtp://{HOST}:{port}?starttls=never", SENDER, timeout=5)
        with pytest.raises(PermanentFailure, match=r"^smtputf8$"):
            await notifier.send(message("李雷@example.com"))
    with serving(inbox, enable_SMTPUTF8=True) as port:
        notifier = SmtpNotifier(f"smtp://{HOST}:{port}?starttls=never", SENDER, timeout=5)
        await notifier.send(message("李雷@example.com"))
    assert inbox.envelopes[0].rcpt_tos == ["李雷@example.com"]
    assert inbox.email()["To"] == "李雷@example.com"


async def test_a_server_that_is_away_is_temporary() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with pytest.raises(TemporaryFailure, match=r"^connect$"):
        await SmtpNotifier(f"smtp://{HOST}:{port}", SENDER, timeout=5).send(message())


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (None, "timeout"),
        (b"", "connect"),
        (b"554 no service\r\n", "connect"),
        (b"HTTP/1.1 400 Bad Request\r\n", "conversation"),
    ],
)
async def test_a_server_that_does_not_speak_smtp_is_temporary(greeting: bytes | None, reason: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greeting is None:
            await reader.read()
        else:
            writer.write(greeting)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(greet, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(TemporaryFailure) as failure:
            await SmtpNotifier(f"smtp://{HOST}:{port}?starttls=never", SENDER, timeout=1).send(message())
    assert failure.value.reason == reason


async def test_a_relay_on_the_same_host_is_spoken_to_in_the_clear(inbox: Inbox) -> None:
    with serving(inbox) as port:
        await SmtpNotifier(f"smtp://{HOST}:{port}", SENDER, timeout=5).send(message())
    assert len(inbox.envelopes) == 1


async def test_starttls_is_demanded_of_every_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    demanded: list[object] = []

    async def send(*_: object, start_tls: bool, **__: object) -> None:
        demanded.append(start_tls)

    monkeypatch.setattr(aiosmtplib, "send", send)
    await SmtpNotifier("smtp://mail.example.com", SENDER, timeout=5).send(message())
    assert demanded == [True]


async def test_nothing_is_sent_when_the_server_offers_no_starttls(inbox: Inbox) -> None:
    with serving(inbox) as port, pytest.raises(TemporaryFailure, match=r"^conversation$"):
        await SmtpNotifier(f"smtp://{HOST}:{port}?starttls=always", SENDER, timeout=5).send(message())
    assert inbox.envelopes == []


async def test_user_and_password_are_decoded_and_go_over_starttls(
    inbox: Inbox, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(inbox, tls_context=tls, require_starttls=True, authenticator=inbox.authenticate) as port:
        url = f"smtp://mail%40guance.example:p%40ss%3Aword%2F1@{HOST}:{port}?starttls=always"
        await SmtpNotifier(url, SENDER, timeout=5).send(message())
    assert inbox.logins == [(b"mail@guance.example", b"p@ss:word/1")]
    assert len(inbox.envelopes) == 1


async def test_a_refused_login_is_temporary_since_the_settings_can_be_mended(
    inbox: Inbox, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(inbox, tls_context=tls, authenticator=inbox.authenticate) as port:
        notifier = SmtpNotifier(f"smtp://user:wrong@{HOST}:{port}?starttls=always", SENDER, timeout=5)
        with pytest.raises(TemporaryFailure, match=r"^login$"):
            await notifier.send(message())
    assert inbox.envelopes == []


async def test_smtps_speaks_tls_from_the_start(
    inbox: Inbox, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(inbox, ssl_context=tls) as port:
        await SmtpNotifier(f"smtps://{HOST}:{port}", SENDER, timeout=5).send(message())
    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(inbox: Inbox, tls: ssl.SSLContext, scheme: str) -> None:
    option = {"smtp": "tls_context", "smtps": "ssl_context"}[scheme]
    with serving(inbox, **{option: tls}) as port:
        notifier = SmtpNotifier(f"{scheme}://{HOST}:{port}?starttls=always", SENDER, timeout=5)
        with pytest.raises(TemporaryFailure) as failure:
            await notifier.send(message())
    assert failure.value.reason in {"tls", "connect"}
    assert inbox.envelopes == []


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example.com",
        "smtp://",
        "smtp://user:pa/ss@mail.example.com",
        "smtp://user:pa#ss@mail.example.com",
        "smtp://user:pass@mail.example.com?starttls=maybe",
        "mail.example.com:587",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="SMTP URL") as failure:
        SmtpNotifier(url, SENDER, timeout=5)
    assert "pa" not in str(failure.value).removesuffix("smtp://user:password@host:port")


def test_a_sender_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="sender"):
        SmtpNotifier("smtp://mail.example.com", "Guance", timeout=5)
