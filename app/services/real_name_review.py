"""Staff's part of real-name authentication: the queue, and the decision where no provider can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import documents, ids
from app.core.callers import Staff
from app.core.errors import NotFound, NotReady, SecondActorNeeded, WrongState
from app.models.accounts import Account
from app.models.activity import Action
from app.models.real_name import ProviderCall, Reason, Submission, SubmissionStatus, SubmissionType
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.activity import record_staff
from app.services.real_name import ClaimBox
from app.services.real_name_effects import RealNameEffects

_OVERRIDABLE = {Reason.MISMATCHED, Reason.INVALID_DOCUMENT}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the queue; None: whatever it is."""

    status: SubmissionStatus | None = None
    kind: SubmissionType | None = None
    in_review: bool | None = None


@dataclass(frozen=True, slots=True)
class CallView:
    """One question to a provider; no outcome: it is under way, or who asked died."""

    provider: str
    outcome: str | None
    detail: str | None
    request_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewView:
    """A submission as staff needs it: in clear. What was erased is null."""

    id: UUID
    account_id: UUID
    type: str
    status: str
    country: str
    name: str | None
    number: str | None
    legal_representative: str | None
    legal_id_number: str | None
    phone: str | None
    in_review: bool
    reason: str | None
    field: str | None
    proposed_by: str | None
    created_at: datetime
    decided_at: datetime | None
    calls: Sequence[CallView]


class RealNameReviews:
    def __init__(self, uow: UnitOfWork, *, box: ClaimBox, effects: RealNameEffects) -> None:
        self.uow = uow
        self.box = box
        self.effects = effects

    async def queue(self, *, wanted: Wanted, cursor: UUID | None, limit: int) -> list[ReviewView]:
        """Newest first; one more than `limit` when there is more."""
        async with self.uow.reading() as uow:
            rows = await uow.real_name.queue(
                status=wanted.status, kind=wanted.kind, in_review=wanted.in_review, cursor=cursor, limit=limit + 1
            )
        async with self.uow.reading() as uow:
            calls = await uow.real_name.calls([row.id for row in rows])
        return [await self._view(row, [call for call in calls if call.submission_id == row.id]) for row in rows]

    async def decide(self, *, staff: Staff, submission_id: UUID, approve: bool, reason: Reason | None) -> ReviewView:
        """Approve or reject what is in review; approve what a provider refused, which takes two people.

        Raises NotFound, WrongState for anything else, SecondActorNeeded when the same one approves again,
        and DocumentUsedUp.
        """
        await self._decide(staff, submission_id, approve, reason)
        async with self.uow.reading() as uow:
            row = await uow.real_name.get(submission_id)
        async with self.uow.reading() as uow:
            calls = await uow.real_name.calls([submission_id])
        if row is None:
            raise NotFound
        return await self._view(row, calls)

    @retried
    async def _decide(self, staff: Staff, submission_id: UUID, approve: bool, reason: Reason | None) -> None:
        async with self.uow.reading() as uow:
            named = await uow.real_name.get(submission_id)
        if named is None:
            raise NotFound
        # Before the transaction: it may have to ask for a key. What was submitted never changes.
        readable = await self.box.open(named.id, named.sealed) is not None
        async with self.uow() as uow:
            account = await uow.accounts.hold(named.account_id)
            submission = await uow.real_name.get(submission_id, hold=True)
            if account is None or submission is None:
                raise NotFound
            if approve and submission.sealed and not readable:
                raise NotReady({"data_key": False})  # nobody can have looked at it
            if submission.status == SubmissionStatus.PENDING and submission.in_review:
                if approve:
                    await self.effects.verify(uow, account, submission, staff=staff)
                else:
                    await self.effects.reject(uow, account, submission, reason=reason or Reason.OTHER, staff=staff)
                return
            if not approve or not _may_override(submission):
                raise WrongState
            await self._override(uow, staff, account, submission)

    async def _override(self, uow: Work, staff: Staff, account: Account, submission: Submission) -> None:
        """The first one proposes, another one does it. Not past a newer word of the holder's."""
        in_force = await uow.real_name.in_force(account.id)
        if await uow.real_name.pending(account.id) is not None or _is_past(submission, in_force):
            raise WrongState
        if submission.proposed_by is None:
            submission.proposed_by = staff.name
            shown = ids.show(ids.REAL_NAME, submission.id)
            record_staff(uow, Action.REAL_NAME_PROPOSED, account.id, staff, new=shown)
            return
        if _person(submission.proposed_by) == _person(staff.name):
            raise SecondActorNeeded
        kind = SubmissionType(submission.type)
        submission.holds_document = await self.effects.take_document(uow, account.id, kind, submission.document_hash)
        submission.erase_at = None
        await self.effects.verify(uow, account, submission, staff=staff)

    async def _view(self, row: Submission, calls: Sequence[ProviderCall]) -> ReviewView:
        claim = await self.box.open(row.id, row.sealed)
        return ReviewView(
            id=row.id,
            account_id=row.account_id,
            type=row.type,
            status=row.status,
            country=row.country,
            name=claim.name if claim else None,
            number=claim.number if claim else None,
            legal_representative=claim.legal_name if claim else None,
            legal_id_number=claim.legal_number if claim else None,
            phone=claim.phone if claim else None,
            in_review=row.in_review,
            reason=row.reason,
            field=row.field,
            proposed_by=row.proposed_by,
            created_at=row.created_at,
            decided_at=row.decided_at,
            calls=[CallView(one.provider, one.outcome, one.detail, one.request_id, one.created_at) for one in calls],
        )


def _is_past(submission: Submission, in_force: Submission | None) -> bool:
    """What is in force came after it, or is an enterprise where it is a person."""
    if in_force is None:
        return False
    enterprise = in_force.type == SubmissionType.ENTERPRISE
    return in_force.id > submission.id or (enterprise and submission.type == SubmissionType.INDIVIDUAL)


def _person(name: str) -> str:
    """However it is written: `Han Meimei` is `han　meimei`."""
    return documents.plain(name).casefold()


def _may_override(submission: Submission) -> bool:
    """A provider refused it, and it was not erased yet."""
    refused = submission.status == SubmissionStatus.REJECTED and submission.reason in _OVERRIDABLE
    return refused and submission.sealed is not None
