"""What becomes of a submission: in force, refused, looked at by staff.

Works inside the caller's transaction, which holds the account first and then the submission.
"""

from datetime import datetime, timedelta
from uuid import UUID

from app.core import ids
from app.core.callers import Staff
from app.core.clock import now
from app.core.errors import DocumentUsedUp
from app.core.limits import Limits
from app.models.accounts import Account, RealNameStatus
from app.models.activity import Action, Actor
from app.models.events import EventType
from app.models.real_name import Reason, Submission, SubmissionStatus, SubmissionType
from app.repositories.unit_of_work import Work
from app.services.activity import record, record_staff
from app.services.events import publish
from app.services.notices import Contact, Notices


class RealNameEffects:
    def __init__(self, notices: Notices, *, limits: Limits, retention: timedelta) -> None:
        self._notices = notices
        self._retention = retention
        self._caps = {
            SubmissionType.ENTERPRISE: limits.real_name_accounts_per_enterprise,
            SubmissionType.INDIVIDUAL: limits.real_name_accounts_per_individual,
        }

    async def take_document(self, uow: Work, account_id: UUID, kind: SubmissionType, document_hash: bytes) -> bool:
        """Count the account for the document; False when it is counted already. Raises DocumentUsedUp.

        An account holds a document while one of its submissions that is pending or in force names it.
        """
        live = await uow.real_name.live_with(account_id, document_hash)
        if live is not None and live.holds_document:
            return False
        if not await uow.real_name.take_document(document_hash, limit=self._caps[kind]):
            raise DocumentUsedUp
        return True

    async def verify(self, uow: Work, account: Account, submission: Submission, *, staff: Staff | None = None) -> None:
        """It is in force from now on; what was before it is not."""
        at = now()
        before = await uow.real_name.in_force(account.id)
        if before is not None:
            before.superseded_at, before.erase_at = at, at + self._retention
            await uow.real_name.flush()  # before another one is in force
        submission.status, submission.in_review = SubmissionStatus.VERIFIED, False
        submission.decided_at, submission.reason, submission.field = at, None, None
        account.real_name_status = RealNameStatus.VERIFIED
        if before is not None:
            await self._release(uow, before)
        self._tell(uow, account, submission, staff)

    async def reject(
        self,
        uow: Work,
        account: Account,
        submission: Submission,
        *,
        reason: Reason,
        field: str | None = None,
        staff: Staff | None = None,
    ) -> None:
        await self.drop(uow, account, submission, status=SubmissionStatus.REJECTED)
        submission.reason, submission.field = reason, field
        self._tell(uow, account, submission, staff)

    def review(self, uow: Work, submission: Submission, reason: Reason, field: str | None = None) -> None:
        """Only staff can tell."""
        submission.in_review, submission.reason, submission.field = True, reason, field
        record(uow, Action.REAL_NAME_REVIEWED, submission.account_id, actor=Actor.SYSTEM, new=reason)

    async def drop(self, uow: Work, account: Account, submission: Submission, *, status: SubmissionStatus) -> None:
        """It comes to nothing: the document is free again, and what was written is erased in time."""
        at = now()
        submission.status, submission.in_review = status, False
        submission.decided_at, submission.erase_at = at, at + self._retention
        await self._release(uow, submission)
        in_force = await uow.real_name.in_force(account.id)
        fallen = RealNameStatus.REJECTED if status is SubmissionStatus.REJECTED else RealNameStatus.NONE
        account.real_name_status = RealNameStatus.VERIFIED if in_force else fallen

    async def close(self, uow: Work, account: Account, *, erase_at: datetime) -> None:
        """The account is closed: its documents are free, and only what was in force is kept, until `erase_at`."""
        if account.real_name_status != RealNameStatus.VERIFIED:
            account.real_name_status = RealNameStatus.NONE
        for submission in await uow.real_name.of(account.id):
            if submission.holds_document:
                submission.holds_document = False
                await uow.real_name.give_document_back(submission.document_hash)
            if submission.status == SubmissionStatus.PENDING:
                submission.status, submission.in_review = SubmissionStatus.CANCELLED, False
                submission.decided_at = now()
            in_force = submission.status == SubmissionStatus.VERIFIED and submission.superseded_at is None
            submission.sealed = submission.sealed if in_force else None
            submission.erase_at = erase_at if in_force else None

    async def _release(self, uow: Work, submission: Submission) -> None:
        """It no longer counts for its document; another of the account's that names it does instead."""
        if not submission.holds_document:
            return
        submission.holds_document = False
        await uow.real_name.flush()
        heir = await uow.real_name.live_with(submission.account_id, submission.document_hash, but=submission.id)
        if heir is not None:
            heir.holds_document = True
        else:
            await uow.real_name.give_document_back(submission.document_hash)

    def _tell(self, uow: Work, account: Account, submission: Submission, staff: Staff | None) -> None:
        verified = submission.status == SubmissionStatus.VERIFIED
        action = Action.REAL_NAME_VERIFIED if verified else Action.REAL_NAME_REJECTED
        event = EventType.REAL_NAME_VERIFIED if verified else EventType.REAL_NAME_REJECTED
        shown = ids.show(ids.REAL_NAME, submission.id)
        if staff is not None:
            record_staff(uow, action, account.id, staff, old=shown, new=submission.reason)
        else:
            record(uow, action, account.id, actor=Actor.SYSTEM, old=shown, new=submission.reason)
        why = {} if verified else {"reason": submission.reason}
        publish(uow, event, account.id, submission_id=shown, type=submission.type, **why)
        template = "real_name_verified" if verified else "real_name_rejected"
        self._notices.write(uow, Contact.of(account.email), template, account.locale, {"username": account.username})
