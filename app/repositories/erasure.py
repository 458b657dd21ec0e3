"""SQL that erases what is personal of a closed account."""

import secrets
from datetime import datetime

from sqlalchemy import delete, select, update

from app.models.accounts import Account, AccountReference, Status
from app.models.activity import Activity
from app.models.credentials import CredentialChange
from app.models.sessions import LoginTicket, Session
from app.models.verification import Challenge
from app.repositories.base import Repository


class ErasureRepository(Repository):
    async def close(self, account: Account, *, at: datetime, erase_at: datetime) -> None:
        """Make the account a name that nobody can log in with. Its email and phone may register anew.

        The registration goes with its challenge.
        """
        for table in (CredentialChange, Challenge, LoginTicket):
            await self._changed(delete(table).where(table.account_id == account.id))
        # The reference stays taken; what it was made of could be guessed from the fingerprint.
        references = update(AccountReference).where(AccountReference.account_id == account.id)
        await self._changed(references.values(fingerprint=secrets.token_bytes(32)))
        await self._changed(
            update(Account)
            .where(Account.id == account.id)
            .values(
                status=Status.CLOSED,
                closed_at=at,
                erase_at=erase_at,
                updated_at=at,
                email="",
                email_key=f"closed:{account.id.hex}",  # unique, and like no address
                phone=None,
                password_hash=None,
                contact_name=None,
                company_description=None,
                credentials_version=Account.credentials_version + 1,
                profile_version=Account.profile_version + 1,
            )
        )

    async def erase_trails(self, at: datetime, *, limit: int) -> int:
        """Delete the trail and the sessions of accounts that were closed long enough ago; of how many."""
        due = list(
            await self._session.scalars(
                select(Account.id).where(Account.erase_at <= at).order_by(Account.erase_at).limit(limit)
            )
        )
        if due:
            for table in (Activity, Session):
                await self._changed(delete(table).where(table.account_id.in_(due)))
            await self._changed(update(Account).where(Account.id.in_(due)).values(erase_at=None))
        return len(due)
