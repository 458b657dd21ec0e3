"""Where the service's messages go: an SMTP server that keeps the codes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.races.processes import free_port

_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")


class Sink:
    """The newest code of each address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.codes: dict[str, str] = {}

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        email = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        body = email.get_body()
        found = _CODE.search(body.get_content()) if body else None
        if found:
            self.codes |= dict.fromkeys(envelope.rcpt_tos, found[0])
        return "250 OK"


@contextmanager
def sink() -> Iterator[Sink]:
    """One that listens on a free port, in a thread of its own."""
    made = Sink(free_port())
    controller = Controller(made, hostname="127.0.0.1", port=made.port)
    controller.start()
    try:
        yield made
    finally:
        controller.stop()
