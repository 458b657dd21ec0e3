"""SQL for real-name authentication."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, case, func, or_, select, update

from app.core.callers import Caller, Service
from app.core.errors import ClientDisabled, SessionEnded
from app.models.accounts import Account
from app.models.real_name import DocumentUse, ProviderCall, Submission, SubmissionStatus, SubmissionType
from app.repositories.base import Repository, after, by, of, through_client, through_session
from app.repositories.direct import Fixed

_IN_FORCE = and_(Submission.status == SubmissionStatus.VERIFIED, Submission.superseded_at.is_(None))
_PENDING = Submission.status == SubmissionStatus.PENDING
_COLUMNS = Submission.__table__.columns
_FOREMOST = (
    select(Submission.id)
    .where(Submission.account_id == bindparam("account_id"))
    .order_by(case((_IN_FORCE, 0), (_PENDING, 1), else_=2), Submission.id.desc())
    .limit(1)
    .scalar_subquery()
)
_INVOICING = Fixed(
    through_client(
        select(
            Account.id,
            Account.status,
            Submission.id.label("submission_id"),
            Submission.type,
            Submission.status.label("submission_status"),
            Submission.sealed,
            Submission.decided_at,
        )
        .outerjoin(Submission, Submission.id == _FOREMOST)
        .where(Account.id == bindparam("account_id"))
    )
)


class RealNameRepository(Repository):
    def add(self, row: Submission | ProviderCall) -> None:
        self._session.add(row)

    async def flush(self) -> None:
        """Let the "one pending" constraint speak now."""
        await self._session.flush()

    # Submissions

    async def page(self, caller: Caller, *, cursor: UUID | None, limit: int) -> list[Any]:
        """The caller's, newest first; raises SessionEnded."""
        listing = (
            select(*_COLUMNS)
            .where(Submission.account_id == caller.account_id, after(Submission.id, cursor))
            .order_by(Submission.id.desc())
            .limit(limit)
        )
        rows = (await self._session.execute(through_session(listing), of(caller))).all()
        if not rows:
            raise SessionEnded
        return sorted((row for row in rows if row.id), key=lambda row: row.id, reverse=True)

    async def get(self, submission_id: UUID, *, hold: bool = False) -> Submission | None:
        statement = select(Submission).where(Submission.id == submission_id)
        return await self._session.scalar(statement.with_for_update() if hold else statement)

    async def live_with(self, account_id: UUID, document_hash: bytes, *, but: UUID | None = None) -> Submission | None:
        """One of the account's, pending or in force, that names the document; the one that holds it first."""
        statement = select(Submission).where(
            Submission.account_id == account_id, Submission.document_hash == document_hash, or_(_PENDING, _IN_FORCE)
        )
        if but is not None:
            statement = statement.where(Submission.id != but)
        return await self._session.scalar(statement.order_by(Submission.holds_document.desc()).limit(1))

    async def of(self, account_id: UUID) -> list[Submission]:
        return list(await self._session.scalars(select(Submission).where(Submission.account_id == account_id)))

    async def in_force(self, account_id: UUID) -> Submission | None:
        return await self._session.scalar(select(Submission).where(Submission.account_id == account_id, _IN_FORCE))

    async def pending(self, account_id: UUID) -> Submission | None:
        return await self._session.scalar(select(Submission).where(Submission.account_id == account_id, _PENDING))

    async def standing(self, caller: Caller) -> tuple[str, Any, Any]:
        """The account's status, what is in force and the latest, as they are at one moment; raises SessionEnded."""
        newest = (
            select(Submission.id)
            .where(Submission.account_id == caller.account_id)
            .order_by(Submission.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        listing = (
            select(Account.real_name_status, _IN_FORCE.label("in_force"), *_COLUMNS)
            .outerjoin(Submission, and_(Submission.account_id == Account.id, or_(_IN_FORCE, Submission.id == newest)))
            .where(Account.id == caller.account_id)
        )
        rows = (await self._session.execute(through_session(listing), of(caller))).all()
        if not rows:
            raise SessionEnded
        submissions = [row for row in rows if row.id]
        in_force = next((row for row in submissions if row.in_force), None)
        return rows[0].real_name_status, in_force, max(submissions, key=lambda row: row.id, default=None)

    async def invoicing(self, service: Service, account_id: UUID) -> Any:
        """The account and what is in force or pending of it, in one statement; None for no such account."""
        rows = await self._run(_INVOICING, {**by(service), "account_id": account_id})
        if not rows:
            raise ClientDisabled
        return rows[0] if rows[0].id else None

    async def queue(
        self,
        *,
        status: SubmissionStatus | None,
        kind: SubmissionType | None,
        in_review: bool | None,
        cursor: UUID | None,
        limit: int,
    ) -> list[Submission]:
        """For staff, newest first."""
        wanted: list[ColumnElement[bool]] = [after(Submission.id, cursor)]
        if status is not None:
            wanted.append(Submission.status == status)
        if kind is not None:
            wanted.append(Submission.type == kind)
        if in_review is not None:
            wanted.append(Submission.in_review.is_(in_review))
            if in_review:  # nothing else ever is: said, so that the index of what staff looks at is used
                wanted.append(_PENDING)
        statement = select(Submission).where(*wanted).order_by(Submission.id.desc()).limit(limit)
        return list(await self._session.scalars(statement))

    # Asking providers

    async def lease(self, *, at: datetime, until: datetime, limit: int) -> list[Submission]:
        """Take pending ones that are due; several workers share them and none waits for another.

        One that nobody took yet is due whatever it says: the clock of who wrote it may be ahead.
        """
        is_due = or_(Submission.due_at <= at, Submission.attempts == 0)
        due = (
            select(Submission.id)
            .where(_PENDING, Submission.in_review.is_(False), is_due)
            .order_by(Submission.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte()  # is run once; a subquery may be run for each row, and then `limit` holds for each
        )
        leased = await self._session.scalars(
            update(Submission)
            .where(Submission.id.in_(select(due.c.id)))
            .values(due_at=until, attempts=Submission.attempts + 1, attempt_id=None)
            .returning(Submission)
            .execution_options(synchronize_session=False)
        )
        return list(leased)

    async def begin_call(self, submission: Submission, call: ProviderCall, *, until: datetime) -> bool:
        """Write the call down before it is made; False when the submission is no longer this worker's."""
        statement = update(Submission).where(
            Submission.id == submission.id,
            _PENDING,
            Submission.attempts == submission.attempts,
            Submission.in_review.is_(False),
        )
        if await self._changed(statement.values(attempt_id=call.id, due_at=until)) != 1:
            return False
        self._session.add(call)
        return True

    async def postpone(self, submission: Submission, until: datetime) -> None:
        """Ask again then, unless another worker has taken over."""
        statement = update(Submission).where(
            Submission.id == submission.id, _PENDING, Submission.attempts == submission.attempts
        )
        await self._changed(statement.values(due_at=until, attempt_id=None))

    async def erase_due(self, at: datetime, *, limit: int) -> int:
        """Erase what nobody needs any more of submissions that came to nothing; of how many."""
        due = select(Submission.id).where(Submission.erase_at <= at).order_by(Submission.erase_at).limit(limit)
        # The time is asked for again: staff may have overridden a rejection while this waited for the row.
        statement = update(Submission).where(Submission.id.in_(due.scalar_subquery()), Submission.erase_at <= at)
        return await self._changed(statement.values(sealed=None, erase_at=None))

    async def calls(self, submission_ids: Sequence[UUID]) -> list[ProviderCall]:
        statement = select(ProviderCall).where(ProviderCall.submission_id.in_(submission_ids))
        return list(await self._session.scalars(statement.order_by(ProviderCall.id)))

    async def finish_call(self, call_id: UUID, **values: object) -> None:
        await self._changed(update(ProviderCall).where(ProviderCall.id == call_id).values(**values))

    # Documents

    async def take_document(self, document_hash: bytes, *, limit: int) -> bool:
        """Count one more account for the document; False when it has as many as it may."""
        statement = (
            self._insert(DocumentUse)
            .values(document_hash=document_hash, used=1)
            .on_conflict_do_update(
                index_elements=[DocumentUse.document_hash],
                set_={"used": DocumentUse.used + 1},
                where=DocumentUse.used < limit,
            )
            .returning(DocumentUse.used)
        )
        return await self._session.scalar(statement) is not None

    async def give_document_back(self, document_hash: bytes) -> None:
        statement = update(DocumentUse).where(DocumentUse.document_hash == document_hash, DocumentUse.used > 0)
        await self._changed(statement.values(used=DocumentUse.used - 1))

    # Keys and erasure

    async def values_by_key(self) -> dict[UUID, int]:
        sealed = select(Submission.key_id, func.count()).where(Submission.sealed.is_not(None))
        rows = (await self._session.execute(sealed.group_by(Submission.key_id))).all()
        return {row[0]: row[1] for row in rows}

    async def sealed_by(self, keys: Sequence[UUID], *, after: UUID, limit: int) -> list[Submission]:
        """Values that these keys sealed, held; those that somebody else holds are left for the next time."""
        statement = (
            select(Submission)
            .where(Submission.key_id.in_(keys), Submission.sealed.is_not(None), Submission.id > after)
            .order_by(Submission.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return list(await self._session.scalars(statement))
