"""SQL that forgets what is no longer needed."""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, or_

from app.models.accounts import Registration
from app.models.activity import Activity
from app.models.cloud_accounts import MarketplaceClaim, MarketplaceNonce
from app.models.credentials import CredentialChange
from app.models.idempotency import IdempotentAnswer
from app.models.outbox import OutboxMessage
from app.models.sessions import LoginTicket, Session
from app.models.throttles import LoginThrottle
from app.models.verification import Budget, Challenge
from app.models.webhooks import WebhookDelivery
from app.repositories.base import Repository

_UNCONFIRMED = timedelta(days=1)  # who did not confirm is no customer: nothing of them is kept longer
_NOBODYS = timedelta(days=1)  # failed logins for identifiers that nobody has


class CleanupRepository(Repository):
    async def forget(self, *, at: datetime, before: datetime, sessions_before: datetime) -> dict[str, int]:
        """Delete what expired: counters at `at`, finished flows and messages `before`, sessions `sessions_before`."""
        in_use = exists().where(CredentialChange.challenge_id == Challenge.id)
        over = or_(CredentialChange.completed_at < before, CredentialChange.completed_at.is_(None))
        deletions = {
            "budgets": delete(Budget).where(Budget.expires_at <= at),
            "login_throttles": delete(LoginThrottle).where(LoginThrottle.expires_at <= at),
            "idempotent_answers": delete(IdempotentAnswer).where(IdempotentAnswer.expires_at <= at),
            "registrations": delete(Registration).where(Registration.expires_at < at - _UNCONFIRMED),
            "credential_changes": delete(CredentialChange).where(
                CredentialChange.expires_at < before, CredentialChange.state != "waiting", over
            ),
            "challenges": delete(Challenge).where(Challenge.expires_at < before, ~in_use),
            "outbox_messages": delete(OutboxMessage).where(OutboxMessage.finished_at < before),
            "login_tickets": delete(LoginTicket).where(LoginTicket.expires_at < before),
            "activity": delete(Activity).where(Activity.account_id.is_(None), Activity.created_at < at - _NOBODYS),
            "marketplace_nonces": delete(MarketplaceNonce).where(MarketplaceNonce.expires_at < at),
            "marketplace_claims": delete(MarketplaceClaim).where(MarketplaceClaim.expires_at < before),
            "webhook_deliveries": delete(WebhookDelivery).where(WebhookDelivery.finished_at < before),
            "sessions": delete(Session).where(Session.expires_at < sessions_before),
        }
        return {table: await self._changed(statement) for table, statement in deletions.items()}
