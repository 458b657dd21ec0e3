"""The gate that the invoice service asks: may the account have invoices, and under which name?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.callers import Service
from app.core.errors import NotFound, NotReady
from app.models.accounts import Status
from app.models.real_name import SubmissionStatus, SubmissionType
from app.repositories.unit_of_work import UnitOfWork
from app.services.real_name import ClaimBox, missing


@dataclass(frozen=True, slots=True)
class Invoicing:
    """`reason` is verified, account_suspended, account_closed, not_submitted, pending, rejected or
    enterprise_required. The name and number are for the invoice's header; `since` is when they were verified.
    """

    allowed: bool
    reason: str
    missing: Sequence[str]
    verified_name: str | None
    taxpayer_number: str | None
    since: datetime | None


class InvoicingGate:
    def __init__(self, uow: UnitOfWork, *, box: ClaimBox) -> None:
        self.uow = uow
        self.box = box

    async def ask(self, *, service: Service, account_id: UUID) -> Invoicing:
        """One statement. Raises NotFound, ClientDisabled, and NotReady for a name that another secret has sealed."""
        with self.uow.rows() as uow:
            row = await uow.real_name.invoicing(service, account_id)
        if row is None:
            raise NotFound
        verified = row.submission_status == SubmissionStatus.VERIFIED
        enterprise = verified and row.type == SubmissionType.ENTERPRISE
        claim = await self.box.open(row.submission_id, row.sealed) if enterprise else None
        if enterprise and claim is None and row.sealed is not None:
            raise NotReady({"data_key": False})  # a header that cannot be read is no ground for an invoice
        reason = _reason(row, verified=verified, enterprise=enterprise)
        return Invoicing(
            allowed=reason == "verified",
            reason=reason,
            missing=missing(row.type if verified else None),
            verified_name=claim.name if claim else None,
            taxpayer_number=claim.number if claim else None,
            since=row.decided_at if enterprise else None,
        )


def _reason(row: Any, *, verified: bool, enterprise: bool) -> str:
    if row.status != Status.ACTIVE:
        return f"account_{row.status}"
    if enterprise:
        return "verified"
    if verified:
        return "enterprise_required"
    return {SubmissionStatus.PENDING: "pending", SubmissionStatus.REJECTED: "rejected"}.get(
        row.submission_status, "not_submitted"
    )
