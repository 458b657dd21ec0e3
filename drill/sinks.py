"""Who the service sends to: an SMS gateway, an SMTP server, a receiver of webhooks, and the billing service."""

import asyncio
import contextlib
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from drill.processes import free_port

_CODE = re.compile(r"(?<![\d*])\d{6}(?!\d)")
_STANDING = b'{"arrears": false, "unsettled_bills": false}'


@dataclass
class Mailbox:
    """What arrived for whom. A message that comes twice has the same id and counts once."""

    ids: set[str] = field(default_factory=set)
    repeats: int = 0
    _codes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, message_id: str, to: str, code: str | None) -> None:
        if message_id in self.ids:
            self.repeats += 1
            return
        self.ids.add(message_id)
        if code is not None:
            async with self._news:
                self._codes[to].append(code)
                self._news.notify_all()

    def seen(self, to: str) -> int:
        """How many codes came to the contact so far."""
        return len(self._codes[to])

    async def code(self, to: str, *, after: int, within: float) -> str:
        """The newest of the codes behind the first `after`. Raises TimeoutError when none comes."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: self.seen(to) > after)
            return self._codes[to][-1]


class Sinks:
    """All of them. The SMS gateway can be made to hang, the SMTP server to refuse connections."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.hooks: dict[str, int] = defaultdict(int)  # how often each event came
        self.http_port, self.smtp_port = free_port(), free_port()
        self._answering = asyncio.Event()
        self._answering.set()
        self._http: asyncio.Server | None = None
        self._smtp: asyncio.Server | None = None

    async def start(self) -> None:
        self._http = await asyncio.start_server(self._serve, "127.0.0.1", self.http_port)
        await self.accept_mail()

    async def stop(self) -> None:
        self.answer_sms()
        await self.refuse_mail()
        if self._http is not None:
            self._http.close()

    def hang_sms(self) -> None:
        self._answering.clear()

    def answer_sms(self) -> None:
        self._answering.set()

    async def refuse_mail(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    async def accept_mail(self) -> None:
        loop = asyncio.get_running_loop()
        self._smtp = await loop.create_server(
            lambda: SMTP(_Post(self.mailbox), enable_SMTPUTF8=True, loop=loop), "127.0.0.1", self.smtp_port
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async for target, body in _requests(reader):
                writer.write(await self._answer(target, body))
                await writer.drain()
        writer.close()

    async def _answer(self, target: str, body: bytes) -> bytes:
        if target == "/sms":
            await self._answering.wait()
            message = json.loads(body)
            await self.mailbox.take(message["id"], message["to"], message["params"].get("code"))
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        if target == "/hooks":
            self.hooks[json.loads(body)["id"]] += 1
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(_STANDING)}\r\n\r\n"
        return head.encode() + _STANDING


async def _requests(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        _, target, _ = head.partition("\r\n")[0].split(" ")
        length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        yield target, await reader.readexactly(int(length[1]) if length else 0)


class _Post:
    """aiosmtpd's handler: the id of a message is the local part of its Message-ID."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content
        letter: Any = message_from_bytes(content if isinstance(content, bytes) else b"", policy=default)
        body = letter.get_body(("plain",)).get_content()
        found = _CODE.search(body)
        message_id = letter["Message-ID"].strip("<>").partition("@")[0]
        await self._mailbox.take(message_id, envelope.rcpt_tos[0], found[0] if found else None)
        return "250 taken"
