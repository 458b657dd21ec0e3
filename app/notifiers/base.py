"""The door through which messages leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one contact.

    `id` (`mesg_…`) is the same in every attempt. `channel` is `email` or `sms`, `to` an address or an E.164 number,
    `params` fill the template and may hold a code or a token: they are never logged.
    """

    id: str
    channel: str
    to: str
    template: str
    locale: str
    params: Mapping[str, str]


class PermanentFailure(Exception):
    """The receiver will never take this message; `reason` is a short stable word without personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TemporaryFailure(Exception):
    """It did not go now and may go later; `reason` as above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Notifier(Protocol):
    async def send(self, message: Message) -> None:
        """Deliver, or raise PermanentFailure or TemporaryFailure. May be called again with the same message id."""

    async def close(self) -> None:
        """Let go of connections."""
