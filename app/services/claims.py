"""Claims: a customer who came from a marketplace says which account the purchase belongs to."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import masking
from app.core.callers import Caller, Origin
from app.core.clock import now
from app.core.crypto import digest
from app.core.errors import AccountSuspended, ClaimGone, CodeExpired
from app.models.accounts import Account, Status
from app.models.cloud_accounts import CloudAccount
from app.models.verification import Purpose
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.open_codes import OpenCodes, Sent
from app.services.ownership import Ownership
from app.services.verification import Verification


@dataclass(frozen=True, slots=True)
class ClaimView:
    """What was brought from the marketplace; the buyer's number is masked."""

    provider: str
    account_id: str | None
    status: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """`cloud_account_id` belongs to the account now."""

    account_id: UUID
    cloud_account_id: UUID


class ClaimService:
    def __init__(self, uow: UnitOfWork, *, codes: OpenCodes, verification: Verification, ownership: Ownership) -> None:
        self.uow = uow
        self.codes = codes
        self.verification = verification
        self.ownership = ownership

    async def view(self, *, token: str) -> ClaimView:
        """Raises ClaimGone."""
        async with self.uow.reading() as uow:
            cloud_account, expires_at = await _open(uow, token)
        return ClaimView(
            provider=cloud_account.provider,
            account_id=masking.number(cloud_account.account_number),
            status=cloud_account.status,
            expires_at=expires_at,
        )

    @retried
    async def accept(self, *, caller: Caller, token: str) -> Accepted:
        """For the caller's account. Raises ClaimGone, CloudAccountTaken and SessionEnded."""
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            return await self._accept(uow, account, token, origin=caller.origin, session_id=caller.session_id)

    async def ask(self, *, token: str, username: str, origin: Origin) -> Sent:
        """Send a code to the email of the account, if there is one. Raises ClaimGone, ResendTooSoon, TooManySends."""
        async with self.uow.reading() as uow:
            await _open(uow, token)
        return await self.codes.ask(
            identifier=username, purpose=Purpose.CLOUD_CLAIM, template="cloud_claim_code", origin=origin
        )

    async def accept_with_code(self, *, token: str, challenge_id: UUID, code: str, origin: Origin) -> Accepted:
        """For the account that the code was sent to.

        Raises ClaimGone, CloudAccountTaken, AccountSuspended, WrongCode, TooManyTries, CodeExpired and CodeUsed.
        """
        async with self.uow.reading() as uow:
            await _open(uow, token)  # a claim that is gone costs no try
        challenge = await self.verification.check(challenge_id, purpose=Purpose.CLOUD_CLAIM, code=code)
        if challenge.account_id is None:
            raise CodeExpired  # nobody's
        return await self._accept_for(challenge.account_id, challenge_id, token, origin)

    @retried
    async def _accept_for(self, account_id: UUID, challenge_id: UUID, token: str, origin: Origin) -> Accepted:
        async with self.uow() as uow:
            account = await uow.accounts.hold(account_id)
            if account is None or account.status == Status.CLOSED:
                raise CodeExpired
            if account.status == Status.SUSPENDED:
                raise AccountSuspended
            challenge = await uow.challenges.get(challenge_id)
            if challenge is None:
                raise CodeExpired
            await self.verification.consume(uow, challenge)
            return await self._accept(uow, account, token, origin=origin, session_id=None)

    async def _accept(
        self, uow: Work, account: Account, token: str, *, origin: Origin, session_id: UUID | None
    ) -> Accepted:
        claim = await uow.marketplace.claim(digest(token))
        if claim is None or claim.expires_at <= now():
            raise ClaimGone
        cloud_account = await uow.cloud_accounts.hold(claim.cloud_account_id)  # whoever uses its claims does
        claim = await uow.marketplace.claim(digest(token))
        if claim is None or (claim.used_at is not None and cloud_account.account_id != account.id):
            raise ClaimGone
        await self.ownership.take(uow, account, claim.cloud_account_id, origin=origin, session_id=session_id)
        return Accepted(account.id, claim.cloud_account_id)


async def _open(uow: Work, token: str) -> tuple[CloudAccount, datetime]:
    """The subscription of a claim that may still be accepted; raises ClaimGone."""
    claim = await uow.marketplace.claim(digest(token))
    if claim is None or claim.used_at is not None or claim.expires_at <= now():
        raise ClaimGone
    cloud_account = await uow.cloud_accounts.get(claim.cloud_account_id)
    if cloud_account is None:
        raise ClaimGone
    return cloud_account, claim.expires_at
