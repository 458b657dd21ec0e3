"""The keys that sign access tokens: kept sealed in the database, so that one command rotates them everywhere.

A new key is published before it signs, for as long as other services may keep the key set (`jwks_ahead`), and an old
one stays published until the last token that it signed has expired.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from app.core.clock import now
from app.core.crypto import Seal, Unreadable
from app.core.errors import NotFound
from app.core.telemetry import SIGNING_KEY_SINCE
from app.core.tokens import BadToken, Claims, ServiceClaims, SigningKey, Tokens
from app.models.sessions import StoredKey
from app.repositories.unit_of_work import UnitOfWork, retried

C = TypeVar("C")

_CLOCK_SKEW = timedelta(minutes=2)
_CLOCK_STEP = timedelta(days=1)  # a first key has begun so long ago, lest a clock that is set back unmake it
_LOOK_AGAIN = 5.0  # seconds between looks for a key that a token names and we lack


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as an operator sees it.

    `state` is next, signing, verifying, retired, revoked, or unreadable: sealed with another secret than ours.
    """

    kid: str
    state: str
    active_from: datetime


class SigningKeyService:
    def __init__(self, uow: UnitOfWork, tokens: Tokens, *, secret: bytes, jwks_ahead: timedelta) -> None:
        self.uow = uow
        self.tokens = tokens
        self._seal = Seal(secret, "signing-keys")
        self._ahead = jwks_ahead
        self._linger = timedelta(seconds=tokens.life_seconds) + _CLOCK_SKEW
        self._looked = float("-inf")

    async def reload(self) -> None:
        """Take the keys that are in the database now."""
        async with self.uow.reading() as uow:
            stored = await uow.signing_keys.all()
        states = self._states(stored)
        for key in (key for key, state in states if state == "signing"):
            SIGNING_KEY_SINCE.set(key.active_from.timestamp())
        shown = [key for key, state in states if state in ("next", "signing", "verifying")]
        self.tokens.load([opened for key in shown if (opened := self._open(key))])

    async def ensure(self) -> None:
        """Make the first key where there is none: development only."""
        await self.reload()
        if not self.tokens.ready:
            await self.rotate(at_once=True)

    async def rotate(self, *, at_once: bool = False) -> str:
        """Make a key; its kid. It signs after the time that others may keep the old set, or at once."""
        at = now()
        key = SigningKey.generate((at if self.tokens.ready else at - _CLOCK_STEP) if at_once else at + self._ahead)
        sealed = self._seal.close(key.pem, bound=_place(key.kid))
        await self._add(StoredKey(kid=key.kid, sealed_pem=sealed, active_from=key.active_from, created_at=at))
        await self.reload()
        return key.kid

    async def revoke(self, *, kid: str) -> None:
        """Take a key out at once: tokens that it signed stop. Raises NotFound."""
        await self._revoke(kid)
        await self.reload()

    async def all(self) -> list[KeyView]:
        async with self.uow.reading() as uow:
            stored = await uow.signing_keys.all()
        return [KeyView(key.kid, state, key.active_from) for key, state in self._states(stored)]

    async def verify(self, token: str) -> Claims:
        """The claims of a holder's token. Raises BadToken."""
        return await self._verified(self.tokens.verify, token)

    async def verify_service(self, token: str) -> ServiceClaims:
        """The claims of a service's token. Raises BadToken."""
        return await self._verified(self.tokens.verify_service, token)

    @retried
    async def _add(self, key: StoredKey) -> None:
        async with self.uow() as uow:
            uow.signing_keys.add(key)

    @retried
    async def _revoke(self, kid: str) -> None:
        async with self.uow() as uow:
            if not await uow.signing_keys.revoke(kid, now()):
                raise NotFound

    async def _verified(self, verify: Callable[[str], C], token: str) -> C:
        """Looks for a key that another process made."""
        try:
            return verify(token)
        except BadToken:
            if self.tokens.knows(token) or time.monotonic() - self._looked < _LOOK_AGAIN:
                raise
        self._looked = time.monotonic()
        await self.reload()
        return verify(token)

    def _states(self, stored: list[StoredKey]) -> list[tuple[StoredKey, str]]:
        """Each key with what it does now. The signing one is the latest that has begun."""
        at = now()
        live = [key for key in stored if key.revoked_at is None and self._open(key)]
        begun = [key for key in live if key.active_from <= at]
        states: dict[str, str] = {key.kid: "next" for key in live} | {
            key.kid: "verifying" if successor.active_from + self._linger > at else "retired"
            for key, successor in pairwise(begun)
        }
        if begun:
            states[begun[-1].kid] = "signing"
        return [(key, states.get(key.kid, "unreadable" if key.revoked_at is None else "revoked")) for key in stored]

    def _open(self, key: StoredKey) -> SigningKey | None:
        """None for a key that was sealed with another secret: it can only be replaced."""
        try:
            pem = self._seal.open(key.sealed_pem, bound=_place(key.kid))
        except Unreadable:
            return None
        return SigningKey(key.kid, pem, key.active_from)


def _place(kid: str) -> str:
    return f"signing_keys.sealed_pem:{kid}"
