"""Real-name authentication as its holder sees it: submit, look, withdraw, and what is still missing."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from app.core import documents, ids, masking
from app.core.callers import Caller
from app.core.clock import now
from app.core.contacts import ContactRefused, read_phone
from app.core.crypto import Mac, Unreadable
from app.core.documents import DocumentRefused
from app.core.errors import Invalid, NotFound, SubmissionPending, TooManyMismatches, WrongState
from app.gateways.real_name.base import Claim, Kind
from app.models.accounts import Account, RealNameStatus
from app.models.activity import Action
from app.models.events import EventType
from app.models.real_name import Submission, SubmissionStatus, SubmissionType
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.activity import record
from app.services.budgets import Budgets, refusal
from app.services.data_keys import DataKeyService, place_of
from app.services.events import publish
from app.services.real_name_effects import RealNameEffects

log = structlog.get_logger()

HOME = "CN"  # whose document numbers can be checked here


@dataclass(frozen=True, slots=True)
class SubmissionView:
    """A submission; numbers are masked, and names of people. What was erased is null."""

    id: UUID
    type: str
    status: str
    country: str
    name: str | None
    registration_number: str | None
    legal_representative: str | None
    phone: str | None
    in_review: bool
    reason: str | None
    field: str | None
    created_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class RealName:
    """How far real-name authentication is; `missing` is what invoices still need."""

    status: str
    type: str | None
    verified_name: str | None
    registration_number: str | None
    verified_at: datetime | None
    missing: Sequence[str]
    latest: SubmissionView | None


class ClaimBox:
    """Claims, sealed at rest."""

    def __init__(self, keys: DataKeyService) -> None:
        self.keys = keys

    def close(self, submission_id: UUID, claim: Claim) -> tuple[UUID, bytes]:
        """The key's id, and the sealed claim."""
        value = json.dumps(asdict(claim), ensure_ascii=False).encode()
        return self.keys.vault.newest, self.keys.vault.close(value, bound=place_of(submission_id))

    async def open(self, submission_id: UUID, sealed: bytes | None) -> Claim | None:
        """None for one that was erased, or that another GUANCE_SECRET_KEY has sealed: it waits for that one."""
        if sealed is None:
            return None
        try:
            value = await self.keys.opened(lambda: self.keys.vault.open(sealed, bound=place_of(submission_id)))
        except Unreadable:
            log.warning("real_name_unreadable", submission=ids.show(ids.REAL_NAME, submission_id))
            return None
        members = json.loads(value)
        return Claim(**{**members, "kind": Kind(members["kind"])})


class RealNameService:
    def __init__(
        self,
        uow: UnitOfWork,
        *,
        secret: bytes,
        box: ClaimBox,
        budgets: Budgets,
        effects: RealNameEffects,
    ) -> None:
        self.uow = uow
        self.box = box
        self.budgets = budgets
        self.effects = effects
        self._mac = Mac(secret, "real-name-documents")

    async def status(self, *, caller: Caller) -> RealName:
        """Raises SessionEnded."""
        async with self.uow.reading() as uow:
            status, in_force, latest = await uow.real_name.standing(caller)
        claim = await self.box.open(in_force.id, in_force.sealed) if in_force else None
        return RealName(
            status=status,
            type=in_force.type if in_force else None,
            verified_name=_shown_name(claim),
            registration_number=documents.masked(claim.number) if claim else None,
            verified_at=in_force.decided_at if in_force else None,
            missing=missing(in_force.type if in_force else None),
            latest=await self.view(latest) if latest else None,
        )

    async def page(self, *, caller: Caller, cursor: UUID | None, limit: int) -> list[SubmissionView]:
        """Newest first; one more than `limit` when there is more. Raises SessionEnded."""
        async with self.uow.reading() as uow:
            rows = await uow.real_name.page(caller, cursor=cursor, limit=limit + 1)
        return [await self.view(row) for row in rows]

    async def submit(
        self,
        *,
        caller: Caller,
        kind: str,
        name: str,
        number: str,
        country: str,
        legal_name: str | None = None,
        legal_number: str | None = None,
        phone: str | None = None,
    ) -> SubmissionView:
        """Raises Invalid for what cannot be right, SubmissionPending, DocumentUsedUp, TooManyMismatches, and WrongState
        for an individual where an enterprise is in force.
        """
        claim = Claim(Kind(kind), name, number, legal_name, legal_number, phone)
        if country == HOME:
            claim = _checked(claim)
        submission = await self._submit(caller, claim, country)
        return await self.view(submission)

    @retried
    async def withdraw(self, *, caller: Caller, submission_id: UUID) -> None:
        """Raises NotFound, and WrongState for one that is not pending."""
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            submission = await uow.real_name.get(submission_id, hold=True)
            if submission is None or submission.account_id != account.id:
                raise NotFound
            if submission.status != SubmissionStatus.PENDING:
                raise WrongState
            unasked = not submission.in_review and submission.attempt_id is None
            await self.effects.drop(uow, account, submission, status=SubmissionStatus.CANCELLED)
            if unasked:  # nobody is asked now: it is no mismatch
                await self.budgets.give_mismatches_back(uow, account.id.hex, submission.document_hash)
            shown = ids.show(ids.REAL_NAME, submission.id)
            publish(uow, EventType.REAL_NAME_CANCELLED, account.id, submission_id=shown, type=submission.type)
            record(
                uow,
                Action.REAL_NAME_CANCELLED,
                account.id,
                origin=caller.origin,
                session_id=caller.session_id,
                old=shown,
            )

    async def view(self, row: Any) -> SubmissionView:
        claim = await self.box.open(row.id, row.sealed)
        return SubmissionView(
            id=row.id,
            type=row.type,
            status=row.status,
            country=row.country,
            name=_shown_name(claim),
            registration_number=documents.masked(claim.number) if claim else None,
            legal_representative=masking.name(claim.legal_name) if claim else None,
            phone=masking.contact(claim.phone) if claim else None,
            in_review=row.in_review,
            reason=row.reason if row.status == SubmissionStatus.REJECTED else None,
            field=row.field if row.status == SubmissionStatus.REJECTED else None,
            created_at=row.created_at,
            decided_at=row.decided_at,
        )

    @retried
    async def _submit(self, caller: Caller, claim: Claim, country: str) -> Submission:
        document_hash = self._mac.of(claim.kind, country, documents.plain(claim.number))
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            if await uow.real_name.pending(account.id) is not None:
                raise SubmissionPending
            await _refuse_a_step_back(uow, account, claim)
            holds = await self.effects.take_document(uow, account.id, SubmissionType(claim.kind), document_hash)
            submission = self._new(account, claim, country, document_hash, holds=holds)
            uow.real_name.add(submission)
            await uow.real_name.flush()
            if account.real_name_status != RealNameStatus.VERIFIED:
                account.real_name_status = RealNameStatus.PENDING
            await self._charge(uow, submission)
            self._tell(uow, caller, submission)
        return submission

    def _new(self, account: Account, claim: Claim, country: str, document_hash: bytes, *, holds: bool) -> Submission:
        submission_id = ids.new()
        key_id, sealed = self.box.close(submission_id, claim)
        return Submission(
            id=submission_id,
            account_id=account.id,
            type=SubmissionType(claim.kind),
            country=country,
            status=SubmissionStatus.PENDING,
            key_id=key_id,
            sealed=sealed,
            document_hash=document_hash,
            holds_document=holds,
            in_review=False,
            attempts=0,
            due_at=now(),
            created_at=now(),
        )

    async def _charge(self, uow: Work, submission: Submission) -> None:
        """Each submission counts as a mismatch until a provider says otherwise: see RealNameWorker."""
        charges = self.budgets.mismatches(submission.account_id.hex, submission.document_hash)
        if overdrawn := await uow.budgets.take(charges):
            raise refusal(TooManyMismatches, overdrawn)

    def _tell(self, uow: Work, caller: Caller, submission: Submission) -> None:
        shown = ids.show(ids.REAL_NAME, submission.id)
        record(
            uow,
            Action.REAL_NAME_SUBMITTED,
            submission.account_id,
            origin=caller.origin,
            session_id=caller.session_id,
            new=shown,
        )
        publish(uow, EventType.REAL_NAME_SUBMITTED, submission.account_id, submission_id=shown, type=submission.type)


async def _refuse_a_step_back(uow: Work, account: Account, claim: Claim) -> None:
    """An enterprise does not become an individual: its invoices would lose their header."""
    if claim.kind is Kind.ENTERPRISE:
        return
    in_force = await uow.real_name.in_force(account.id)
    if in_force is not None and in_force.type == SubmissionType.ENTERPRISE:
        raise WrongState


def missing(kind: str | None) -> list[str]:
    """What an account still needs for invoices: the header names an enterprise and its taxpayer number."""
    return [] if kind == SubmissionType.ENTERPRISE else ["enterprise"]


def _checked(claim: Claim) -> Claim:
    """Numbers in their one form. Raises Invalid before anybody is paid for saying so."""
    if claim.kind is Kind.ENTERPRISE:
        number = _read(documents.social_credit_code, claim.number, "registration_number")
        legal_number = claim.legal_number
        if legal_number is not None:
            legal_number = _read(documents.resident_number, legal_number, "legal_representative/id_number")
        return replace(claim, number=number, legal_number=legal_number)
    phone = _read(_mobile, claim.phone, "phone") if claim.phone else None
    return replace(claim, number=_read(documents.resident_number, claim.number, "id_number"), phone=phone)


def _mobile(text: str) -> str:
    """What providers know: a mobile number of mainland China."""
    return read_phone(text, region=HOME, countries=(HOME,))


def _read(read: Any, text: str, member: str) -> str:
    try:
        number: str = read(text)
    except (DocumentRefused, ContactRefused) as refused:
        raise Invalid.member(member, refused.code) from None
    return number


def _shown_name(claim: Claim | None) -> str | None:
    """An enterprise's is public; a person's is masked."""
    if claim is None or claim.kind is Kind.ENTERPRISE:
        return claim.name if claim else None
    return masking.name(claim.name)
