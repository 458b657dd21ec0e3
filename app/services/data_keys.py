"""The keys that seal personal data: made and replaced on the command line while the service runs.

A new key seals from the moment a process has loaded it; the old ones go on opening. What they sealed is sealed anew in
small transactions, by the command and, for what a process wrote with the old key meanwhile, by upkeep.
"""

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import structlog

from app.core import ids
from app.core.crypto import Seal, Unreadable
from app.core.vault import KEY_LENGTH, DataKey, UnknownKey, Vault
from app.models.real_name import DataKeyRow
from app.repositories.unit_of_work import UnitOfWork, retried

R = TypeVar("R")

_USE = "data-keys"
_BATCH = 100  # values in one transaction

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DataKeyView:
    """A key as an operator sees it: how many values it seals; `readable` is False for another GUANCE_SECRET_KEY's."""

    id: UUID
    created_at: datetime
    values: int
    readable: bool


@dataclass(frozen=True, slots=True)
class _Batch:
    """`last` is the last value that was looked at; None when there was none."""

    done: int
    last: UUID | None


class DataKeyService:
    def __init__(self, uow: UnitOfWork, vault: Vault, *, secret: bytes) -> None:
        self.uow = uow
        self.vault = vault
        self._seal = Seal(secret, _USE)

    async def reload(self) -> None:
        """Take the keys that are in the database now."""
        async with self.uow.reading() as uow:
            stored = await uow.data_keys.all()
        self.vault.load([key for row in stored if (key := self._open(row))])

    async def ensure(self) -> None:
        """Make the first key where there is none. Where there are some and none opens nothing is made: the secret is
        another one than theirs, and what is sealed now would be lost when it is mended.
        """
        async with self.uow.reading() as uow:
            none = not await uow.data_keys.all()
        if none:
            await self.rotate()
            return
        await self.reload()
        if not self.vault.ready:
            log.warning("data_keys_unreadable", why="sealed with another GUANCE_SECRET_KEY")

    async def rotate(self) -> UUID:
        """Make a key, which seals from now on; its id."""
        key_id = await self._add()
        await self.reload()  # not in what is retried: that would make another key
        return key_id

    async def adopt(self, *, old_secret: bytes) -> int:
        """Seal anew the keys themselves that another GUANCE_SECRET_KEY has sealed; how many."""
        adopted = await self._adopt(old_secret)
        await self.reload()
        return adopted

    @retried
    async def _add(self) -> UUID:
        async with self.uow() as uow:
            stored = await uow.data_keys.all()
            # The newest is the greatest, whatever the clock of this machine says.
            key_id = max([ids.new(), *(UUID(int=row.id.int + 1) for row in stored)])
            uow.data_keys.add(self._row(key_id, secrets.token_bytes(KEY_LENGTH)))
        return key_id

    @retried
    async def _adopt(self, old_secret: bytes) -> int:
        old, adopted = Seal(old_secret, _USE), 0
        async with self.uow() as uow:
            for row in await uow.data_keys.all():
                if self._open(row) is not None:
                    continue
                with contextlib.suppress(Unreadable):
                    secret = old.open(row.sealed_secret, bound=_place(row.id))
                    row.sealed_secret = self._row(row.id, secret).sealed_secret
                    adopted += 1
        return adopted

    async def all(self) -> list[DataKeyView]:
        async with self.uow.reading() as uow:
            stored = await uow.data_keys.all()
            values = await uow.real_name.values_by_key()
        return [
            DataKeyView(row.id, row.created_at, values.get(row.id, 0), self._open(row) is not None) for row in stored
        ]

    async def opened(self, read: Callable[[], R]) -> R:
        """What `read` opens; looks for a key that another process made. Raises Unreadable."""
        try:
            return read()
        except UnknownKey:
            await self.reload()
            return read()

    async def reseal(self) -> int:
        """Seal anew what older keys have sealed; how many values. One that does not open is left as it is."""
        done, after = 0, UUID(int=0)
        while self.vault.ready:
            batch = await self._reseal(after)
            done += batch.done
            if batch.last is None:
                break
            after = batch.last
        return done

    @retried
    async def _reseal(self, after: UUID) -> "_Batch":
        done = 0
        async with self.uow() as uow:
            stale = await uow.real_name.sealed_by(self.vault.older, after=after, limit=_BATCH)
            for submission in stale:
                bound = place_of(submission.id)
                with contextlib.suppress(Unreadable):
                    value = self.vault.open(submission.sealed or b"", bound=bound)
                    submission.sealed, submission.key_id = self.vault.close(value, bound=bound), self.vault.newest
                    done += 1
        return _Batch(done, stale[-1].id if stale else None)

    def _row(self, key_id: UUID, secret: bytes) -> DataKeyRow:
        return DataKeyRow(id=key_id, sealed_secret=self._seal.close(secret, bound=_place(key_id)))

    def _open(self, row: DataKeyRow) -> DataKey | None:
        """None for a key that was sealed with another secret: what it sealed is lost until that secret is back."""
        try:
            return DataKey(row.id, self._seal.open(row.sealed_secret, bound=_place(row.id)))
        except Unreadable:
            return None


def place_of(submission_id: UUID) -> str:
    """What a submission's sealed value is bound to."""
    return f"real_name_submissions.sealed:{submission_id.hex}"


def _place(key_id: UUID) -> str:
    return f"data_keys.sealed_secret:{key_id.hex}"
