"""Letting in who has shown the right password or code: at once where it can be, else in steps that say why not."""

from app.core.callers import Origin
from app.core.errors import AccountSuspended, InvalidCredentials
from app.models.accounts import Account, Status
from app.models.sessions import Delivery, Method
from app.models.verification import Challenge
from app.repositories.accounts import Holder
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.access import Access, Grant, Opening
from app.services.throttling import Throttling
from app.services.verification import Verification


class Admission:
    """Either way the failures that were counted against the account are forgotten."""

    def __init__(self, uow: UnitOfWork, *, access: Access, verification: Verification, throttling: Throttling) -> None:
        self.uow = uow
        self.access = access
        self.verification = verification
        self.throttling = throttling

    async def by_password(
        self, account: Holder, hashed: str, *, better: str | None, delivery: Delivery, origin: Origin
    ) -> Grant:
        """`hashed` is what the password was compared with, `better` what takes its place.

        Raises AccountSuspended, and InvalidCredentials when the password was changed meanwhile.
        """
        opening = self.access.prepare(account, method=Method.PASSWORD, delivery=delivery, origin=origin)
        if better is None and await self._by_password_at_once(account, hashed, opening):
            return self.access.opened(opening)
        return await self._by_password(account, hashed, better, opening)

    async def by_code(self, challenge: Challenge, *, delivery: Delivery, origin: Origin) -> Grant:
        """Raises AccountSuspended, CodeUsed, and InvalidCredentials when nobody has the account."""
        if grant := await self._by_code_at_once(challenge, delivery, origin):
            return grant
        return await self._by_code(challenge, delivery, origin)

    @retried
    async def _by_password_at_once(self, account: Holder, hashed: str, opening: Opening) -> bool:
        with self.uow.rows() as uow:  # one statement is a transaction of its own
            return await uow.admission.by_password(
                opening.session, opening.entry, hashed=hashed, counted=self.throttling.counted(account)
            )

    @retried
    async def _by_password(self, account: Holder, hashed: str, better: str | None, opening: Opening) -> Grant:
        refuse_inactive(account)
        async with self.uow() as uow:
            if not await uow.accounts.has_hash(account.id, hashed):
                refuse_inactive(await uow.accounts.get_one(account.id))
                raise InvalidCredentials  # changed while we compared
            if better:
                await uow.accounts.upgrade_hash(account.id, old=hashed, new=better)
            await self.throttling.forgive(uow, account)
            return self.access.open(uow, opening)

    @retried
    async def _by_code_at_once(self, challenge: Challenge, delivery: Delivery, origin: Origin) -> Grant | None:
        if challenge.account_id is None:
            return None
        with self.uow.rows() as uow:
            account = await uow.accounts.holder_of(challenge.account_id)
        if account is None:
            return None
        opening = self.access.prepare(account, method=Method.CODE, delivery=delivery, origin=origin)
        with self.uow.rows() as uow:
            begun = await uow.admission.by_code(
                opening.session,
                opening.entry,
                challenge=challenge,
                budgets=self.verification.counters(challenge),
                counted=self.throttling.counted(account),
            )
        return self.access.opened(opening) if begun else None

    @retried
    async def _by_code(self, challenge: Challenge, delivery: Delivery, origin: Origin) -> Grant:
        async with self.uow() as uow:
            account = await uow.accounts.hold_holder(challenge.account_id) if challenge.account_id else None
            await self.verification.consume(uow, challenge)
            if account is None:
                raise InvalidCredentials
            refuse_inactive(account)
            await self.throttling.forgive(uow, account)
            opening = self.access.prepare(account, method=Method.CODE, delivery=delivery, origin=origin)
            return self.access.open(uow, opening)


def refuse_inactive(account: Account | Holder) -> None:
    """Told only to who proved to be the holder."""
    if account.status == Status.SUSPENDED:
        raise AccountSuspended
    if account.status == Status.CLOSED:
        raise InvalidCredentials
