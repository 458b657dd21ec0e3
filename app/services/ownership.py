"""A cloud account becomes an account's: once, and for good."""

from uuid import UUID

from app.core import ids, masking
from app.core.callers import Origin
from app.core.clock import instant
from app.core.errors import CloudAccountTaken
from app.models.accounts import Account
from app.models.activity import Action
from app.models.cloud_accounts import CloudStatus
from app.repositories.unit_of_work import Work
from app.services.activity import record
from app.services.notices import Contact, Notices
from app.services.settlement_effects import SettlementEffects


class Ownership:
    """Shared by claims of customers who came from a marketplace, and by holders who type what they bought."""

    def __init__(self, notices: Notices, *, settlement: SettlementEffects) -> None:
        self.notices = notices
        self.settlement = settlement

    async def take(
        self, uow: Work, account: Account, cloud_account_id: UUID, *, origin: Origin, session_id: UUID | None
    ) -> None:
        """Give it to the account, which is held; what is its own already stays so. Raises CloudAccountTaken."""
        cloud_account = await uow.cloud_accounts.hold(cloud_account_id)
        if cloud_account.account_id not in (None, account.id):
            raise CloudAccountTaken
        at = instant()
        await uow.marketplace.use_claims(cloud_account_id, at)
        if cloud_account.account_id == account.id:
            return
        cloud_account.account_id, cloud_account.claimed_at = account.id, at
        await uow.cloud_accounts.flush()
        told = ids.show(ids.CLOUD_ACCOUNT, cloud_account_id)
        record(uow, Action.CLOUD_ACCOUNT_ADDED, account.id, origin=origin, session_id=session_id, new=told)
        params = {
            "username": account.username,
            "provider": cloud_account.provider,
            "number": masking.number(cloud_account.account_number) or "-",
        }
        self.notices.write(uow, Contact.of(account.email), "cloud_account_added", account.locale, params)
        if cloud_account.status != CloudStatus.PENDING:
            self.settlement.tell(uow, account, cloud_account, before=CloudStatus.PENDING)
        if cloud_account.status == CloudStatus.ACTIVE:
            await self.settlement.resubscribe(uow, account, cloud_account, at=at)
