"""Delivery of what the outbox holds: at least once, with an id that is the same in every attempt.

A message is leased in one transaction, sent outside of any, and settled in another. A worker that dies in between
leaves the lease to run out; then the next one sends it again.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.core import ids, tracing
from app.core.clock import now
from app.core.contacts import country_of
from app.core.crypto import Unreadable
from app.core.telemetry import CODES_SENT, DELIVERY_SECONDS, MESSAGES
from app.models.outbox import Delivery, OutboxMessage
from app.models.verification import Channel
from app.notifiers.base import Message, Notifier, PermanentFailure, TemporaryFailure
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.notices import Notices

_BATCH = 20
_AT_ONCE = 10  # deliveries under way in one batch

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Retrying:
    """When to try again: doubling from `first` to `longest`, with jitter, `attempts` times in all. Seconds."""

    lease: int
    attempts: int
    first: float
    longest: float

    def pause(self, attempt: int) -> timedelta:
        """Between half and all of the doubled pause, so that what failed together does not come back together."""
        pause = min(self.first * 2 ** (attempt - 1), self.longest)
        return timedelta(seconds=pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret


class OutboxWorker:
    """Delivers the messages of one channel. Several, in several processes, share the work."""

    def __init__(
        self,
        uow: UnitOfWork,
        *,
        channel: Channel,
        notices: Notices,
        notifiers: Mapping[str, Notifier],
        retrying: Retrying,
    ) -> None:
        self.uow = uow
        self._notices = notices
        self._notifier = notifiers[channel]
        # Decoys (to nobody) go with the emails: they are settled without being sent.
        self._channels = [channel, Channel.NONE] if channel is Channel.EMAIL else [channel]
        self._retrying = retrying
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def deliver_due(self) -> int:
        """Take one batch and settle each of its messages; how many there were."""
        messages = await self._claim()
        await asyncio.gather(*(self._settle(message) for message in messages))
        return len(messages)

    @retried
    async def _claim(self) -> list[OutboxMessage]:
        at = now()
        leased_until = at + timedelta(seconds=self._retrying.lease)
        async with self.uow() as uow:
            return await uow.outbox.claim(self._channels, at=at, leased_until=leased_until, limit=_BATCH)

    async def _settle(self, message: OutboxMessage) -> None:
        about = {"guance.channel": message.channel, "guance.template": message.template}
        async with self._room:
            with tracing.work("deliver message", **about):
                await self._deliver(message)

    async def _deliver(self, message: OutboxMessage) -> None:
        if message.expires_at is not None and message.expires_at <= now():
            await self._finish(message, Delivery.EXPIRED, None)
            return
        try:
            await self._send(message)
        except PermanentFailure as failure:
            await self._finish(message, Delivery.ABANDONED, failure.reason)
        except TemporaryFailure as failure:
            await self._try_later(message, failure.reason)
        else:
            await self._finish(message, Delivery.SENT, None)

    async def _send(self, message: OutboxMessage) -> None:
        """Raises PermanentFailure and TemporaryFailure and nothing else; never outlasts the lease."""
        if message.channel == Channel.NONE:
            return
        try:
            params = self._notices.params_of(message)
        except Unreadable:  # sealed with another secret: it will never open
            raise PermanentFailure("unreadable") from None
        letter = Message(
            id=ids.show(ids.MESSAGE, message.id),
            channel=message.channel,
            to=message.to,
            template=message.template,
            locale=message.locale,
            params=params,
        )
        try:
            with DELIVERY_SECONDS.labels(message.channel).time():
                async with asyncio.timeout(self._retrying.lease * 0.8):
                    await self._notifier.send(letter)
        except (PermanentFailure, TemporaryFailure):
            raise
        except TimeoutError:
            raise TemporaryFailure("timeout") from None
        except Exception as error:
            # A notifier's bug must not stop the others. Only the kind is kept: the text may hold an address.
            log.warning("notifier_failed", message=ids.show(ids.MESSAGE, message.id), kind=type(error).__name__)
            raise TemporaryFailure("internal") from None
        if "code" in params:
            CODES_SENT.labels(message.channel, country_of(message.to)).inc()

    async def _try_later(self, message: OutboxMessage, reason: str) -> None:
        until = now() + self._retrying.pause(message.attempts)
        if message.attempts >= self._retrying.attempts or _is_pointless(message, until):
            await self._finish(message, Delivery.ABANDONED, reason)
            return
        await self._postpone(message, until, reason)
        self._report(message, "retry", reason)

    async def _finish(self, message: OutboxMessage, state: Delivery, reason: str | None) -> None:
        await self._end(message, state, reason)
        self._report(message, state, reason)

    @retried
    async def _postpone(self, message: OutboxMessage, until: datetime, reason: str) -> None:
        async with self.uow() as uow:
            await uow.outbox.postpone(message.id, attempt=message.attempts, until=until, error=reason)

    @retried
    async def _end(self, message: OutboxMessage, state: Delivery, reason: str | None) -> None:
        async with self.uow() as uow:
            await uow.outbox.finish(message.id, attempt=message.attempts, state=state, at=now(), error=reason)

    def _report(self, message: OutboxMessage, outcome: str, reason: str | None) -> None:
        if message.channel == Channel.NONE:
            return
        MESSAGES.labels(message.channel, message.template, outcome).inc()
        level = "info" if outcome == Delivery.SENT else "warning"
        getattr(log, level)(
            "message_settled",
            message=ids.show(ids.MESSAGE, message.id),
            channel=message.channel,
            template=message.template,
            outcome=outcome,
            attempt=message.attempts,
            reason=reason,
        )


def _is_pointless(message: OutboxMessage, until: datetime) -> bool:
    """The code in it would be past its time."""
    return message.expires_at is not None and message.expires_at <= until
