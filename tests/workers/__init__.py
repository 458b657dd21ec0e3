"""What runs beside requests: messages made for it, notifiers that misbehave, and the rows that it leaves behind."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from app.core import ids
from app.core.clock import now
from app.models.outbox import OutboxMessage
from app.models.verification import Channel
from app.notifiers.base import Message
from app.services.notices import Contact
from app.workers.outbox import OutboxWorker, Retrying
from tests.support.api import Api

CODE = "493027"


class Gateway:
    """A notifier that fails as told, one failure an attempt, and remembers every attempt."""

    def __init__(self, failures: Sequence[Exception] = ()) -> None:
        self.attempts: list[Message] = []
        self._failures = list(failures)

    async def send(self, message: Message) -> None:
        self.attempts.append(message)
        if self._failures:
            raise self._failures.pop(0)

    async def close(self) -> None:
        pass


class SlowGateway(Gateway):
    """Takes a message and does not let go of it before `finish` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.finish = asyncio.Event(), asyncio.Event()

    async def send(self, message: Message) -> None:
        self.began.set()
        await self.finish.wait()
        await super().send(message)


def worker(api: Api, gateway: Gateway, channel: Channel = Channel.EMAIL, **retrying: Any) -> OutboxWorker:
    return OutboxWorker(
        api.container.profile.uow,
        channel=channel,
        notices=api.container.password.notices,
        notifiers={channel: gateway},
        retrying=Retrying(**{"lease": 60, "attempts": 10, "first": 2.0, "longest": 3600.0} | retrying),
    )


async def write(api: Api, *, to: str = "li@example.com", expires_at: datetime | None = None) -> None:
    """Put a message with a code in the outbox; it is good for a day unless said otherwise."""
    async with api.container.profile.uow() as uow:
        api.container.password.notices.write(
            uow,
            Contact.of(to),
            "login_code",
            "en",
            {"minutes": "10"},
            secrets={"code": CODE},
            expires_at=expires_at or now() + timedelta(days=1),
        )


async def rows(api: Api) -> list[Any]:
    """The outbox as the table has it, in the order of writing."""
    async with api.container.engine.connect() as connection:
        table = OutboxMessage.__table__
        return list(await connection.execute(select(table).order_by(table.c.id)))


async def only_row(api: Api) -> Any:
    (row,) = await rows(api)
    return row


def shown_id(row: Any) -> str:
    return ids.show(ids.MESSAGE, row.id)
