"""What holders are told. A message is a row of the outbox, in the transaction of what it tells of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.core import ids
from app.core.crypto import Seal
from app.models.outbox import OutboxMessage
from app.models.verification import Channel
from app.repositories.unit_of_work import Work


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a message goes: an address or an E.164 number."""

    channel: Channel
    address: str

    @classmethod
    def of(cls, address: str) -> "Contact":
        return cls(Channel.EMAIL if "@" in address else Channel.SMS, address)


NOBODY = Contact(Channel.NONE, "")


class Notices:
    """Writes messages. Secrets (codes, tokens) are sealed until the worker delivers them, then erased."""

    def __init__(self, secret: bytes, *, spa_url: str) -> None:
        self._seal = Seal(secret, "outbox")
        self._spa_url = spa_url.rstrip("/")

    def write(
        self,
        uow: Work,
        contact: Contact,
        template: str,
        locale: str,
        params: Mapping[str, str],
        *,
        secrets: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        message_id = ids.new()
        sealed = self._seal.close(json.dumps(dict(secrets)).encode(), bound=_place(message_id.hex)) if secrets else None
        uow.outbox.add(
            OutboxMessage(
                id=message_id,
                channel=contact.channel,
                to=contact.address,
                template=template,
                locale=locale,
                params=dict(params),
                sealed=sealed,
                expires_at=expires_at,
            )
        )

    def undo_link(self, token: str) -> str:
        """Where the SPA takes the token; behind `#`, so that no server's log sees it."""
        return f"{self._spa_url}/credential-change-reversals#token={token}"

    def params_of(self, message: OutboxMessage) -> dict[str, str]:
        """All params, the sealed ones included: for the worker that delivers it."""
        if message.sealed is None:
            return dict(message.params)
        return {**message.params, **json.loads(self._seal.open(message.sealed, bound=_place(message.id.hex)))}


def _place(message_id: str) -> str:
    return f"outbox_messages.sealed:{message_id}"
