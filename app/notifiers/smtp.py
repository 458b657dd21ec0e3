"""Email by SMTP (RFC 5321), one connection a message."""

import ipaddress
import re
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from app.core import clock
from app.notifiers.base import Message, PermanentFailure, TemporaryFailure
from app.notifiers.templates import UnknownTemplate, render

_PORTS = {"smtp": 587, "smtps": 465}  # RFC 6409 §3.1 and RFC 8314 §3.3
# One address and nothing besides: no line end, no second address, no name, no quoted local part. Wider than a check of
# an address has to be, since addresses were checked when they were given; RFC 6531 lets other scripts in.
_ADDRESS = re.compile(r"""([^\s\x00-\x1f\x7f<>()\[\]\\,:;@"]+)@([^\s\x00-\x1f\x7f<>()\[\]\\,:;@"]+)""")
_ABOUT_THE_MESSAGE = (
    aiosmtplib.SMTPSenderRefused,
    aiosmtplib.SMTPRecipientRefused,
    aiosmtplib.SMTPDataError,
)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class SmtpNotifier:
    """Sends through one server: `smtp://user:pass@host:587` or `smtps://user:pass@host:465`.

    `smtp` demands STARTTLS, so that codes and the password do not cross a network in the clear. A relay on the same
    host is the exception: plain on a loopback address. `?starttls=always` or `never` says otherwise. Certificates are
    checked.
    User and password are percent-decoded. `timeout` is in seconds, for each step of the conversation.
    """

    def __init__(self, url: str, sender: str, timeout: int) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("the SMTP URL cannot be read") from None
        usual = "never" if _is_loopback(parts.hostname) else "always"
        starttls = parse_qs(parts.query).get("starttls", [usual])[-1]
        if parts.scheme not in _PORTS or not parts.hostname or starttls not in {"always", "never"}:
            raise ValueError("the SMTP URL is not like smtp://user:password@host:port")
        self._host = parts.hostname
        self._port = port or _PORTS[parts.scheme]
        self._use_tls = parts.scheme == "smtps"
        self._start_tls = not self._use_tls and starttls == "always"
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender
        self._envelope_sender = parseaddr(sender)[1]
        if "@" not in self._envelope_sender:
            raise ValueError("the sender is not like Name <local@domain>")
        self._timeout = timeout

    async def send(self, message: Message) -> None:
        # Raised outside of any `except`, so that no error with an address in it is attached as context.
        if failure := await self._attempt(message):
            raise failure

    async def close(self) -> None:
        pass

    async def _attempt(self, message: Message) -> PermanentFailure | TemporaryFailure | None:
        try:
            email = self._compose(message)
        except UnknownTemplate:
            return PermanentFailure("no_template")
        except ValueError:  # no address, or a line end where a header would break
            return PermanentFailure("malformed")
        try:
            await aiosmtplib.send(
                email,
                sender=self._envelope_sender,
                recipients=[message.to],
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                use_tls=self._use_tls,
                start_tls=self._start_tls,
                timeout=self._timeout,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            return _failure(error)
        return None

    def _compose(self, message: Message) -> EmailMessage:
        """The email. Its Message-ID (RFC 5322 §3.6.4) is the same in every attempt: so a repeat is recognised."""
        rendered = render(message.template, message.locale, message.params)
        address = _ADDRESS.fullmatch(message.to)
        if address is None:
            raise ValueError("not an address")
        email = EmailMessage()
        email["From"] = self._sender
        email["To"] = Address(username=address[1], domain=address[2])
        email["Subject"] = rendered.subject
        email["Date"] = clock.now()
        email["Message-ID"] = f"<{message.id}@{self._envelope_sender.rpartition('@')[2]}>"
        email["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: keeps out-of-office answers away
        email.set_content(rendered.email, charset="utf-8", cte="quoted-printable")
        return email


def _failure(error: Exception) -> PermanentFailure | TemporaryFailure:
    """What an error means for the message.

    A 5xx to MAIL, RCPT or DATA is an answer about this message (RFC 5321 §4.2.1). A 5xx to the greeting, STARTTLS
    or AUTH is about our server or our settings, which somebody can mend before the next attempt.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return _failure(error.recipients[0])
    if isinstance(error, aiosmtplib.SMTPNotSupported):  # the address needs SMTPUTF8 (RFC 6531)
        return PermanentFailure("smtputf8")
    if isinstance(error, _ABOUT_THE_MESSAGE):
        kind = PermanentFailure if 500 <= error.code < 600 else TemporaryFailure
        return kind(f"refused_{error.code}")
    return TemporaryFailure(_hindrance(error))


def _hindrance(error: Exception) -> str:
    words: list[tuple[type[Exception], str]] = [
        (TimeoutError, "timeout"),
        (aiosmtplib.SMTPConnectError, "connect"),
        (aiosmtplib.SMTPServerDisconnected, "disconnected"),
        (aiosmtplib.SMTPAuthenticationError, "login"),
        (ssl.SSLError, "tls"),
        (OSError, "network"),
    ]
    return next((word for kind, word in words if isinstance(error, kind)), "conversation")
