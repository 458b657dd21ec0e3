"""Bodies of real-name authentication, for holders, staff and the invoice service."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import (
    AccountId,
    In,
    LegalName,
    Moment,
    Out,
    PersonName,
    Phone,
    SubmissionId,
    known_region,
    text,
)

Type = Literal["enterprise", "individual"]
State = Literal["pending", "verified", "rejected", "cancelled"]
WhyNot = Literal[
    "mismatched",
    "invalid_document",
    "not_operating",
    "not_found",
    "review_needed",
    "unclear_document",
    "forged_document",
    "other",
]
RejectedFor = Literal["not_operating", "not_found", "unclear_document", "forged_document", "other"]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$"), known_region()]
Number = Annotated[str, *text(2, 64)]
_SUBMISSION: dict[str, Any] = {
    "id": "rnam_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "type": "enterprise",
    "status": "pending",
    "country": "CN",
    "name": "Acme Observability Ltd.",
    "registration_number": "913***********00Y43",
    "legal_representative": None,
    "phone": None,
    "in_review": False,
    "reason": None,
    "field": None,
    "created_at": "2026-11-23T08:15:30.000Z",
    "decided_at": None,
    "reason_text": None,
}


class RepresentativeIn(In):
    name: PersonName = Field(description="As in the register.")
    id_number: Number | None = Field(None, description="Resident identity number.")


class EnterpriseIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "enterprise",
                    "name": "Acme Observability Ltd.",
                    "registration_number": "91350100M000100Y43",
                    "legal_representative": {"name": "Li Lei"},
                }
            ]
        }
    )

    type: Literal["enterprise"] = Field(description="A company or another organisation.")
    name: LegalName = Field(description="As on the licence: the invoice header.")
    registration_number: Number = Field(description="Unified Social Credit Code; abroad, what the register gave.")
    country: Country = Field("CN", description="ISO 3166-1. Other than CN is looked at by staff.")
    legal_representative: RepresentativeIn | None = Field(
        None, description="Makes the proof stronger; abroad staff looks at it."
    )

    def claim(self) -> dict[str, Any]:
        legal = self.legal_representative
        return {
            "name": self.name,
            "number": self.registration_number,
            "country": self.country,
            "legal_name": legal.name if legal else None,
            "legal_number": legal.id_number if legal else None,
        }


class IndividualIn(In):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "individual", "name": "张三", "id_number": "11010519491231002X"}]}
    )

    type: Literal["individual"] = Field(description="A person.")
    name: PersonName = Field(description="As on the identity card.")
    id_number: Number = Field(description="Resident identity number, 18 places.")
    phone: Phone | None = Field(None, description="Registered to the same person; mainland China.")

    def claim(self) -> dict[str, Any]:
        return {"name": self.name, "number": self.id_number, "country": "CN", "phone": self.phone}


SubmissionIn = Annotated[
    EnterpriseIn | IndividualIn,
    Field(discriminator="type"),
]


class SubmissionOut(Out):
    """One submission. What was erased is null."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SUBMISSION]})

    id: SubmissionId = Field(description="The submission.")
    type: Type = Field(description="Whom it is about.")
    status: State = Field(description="How it stands.")
    country: str = Field(description="ISO 3166-1.")
    name: str | None = Field(description="As submitted; a person's is masked.")
    registration_number: str | None = Field(description="The document's number, masked.")
    legal_representative: str | None = Field(description="Masked.")
    phone: str | None = Field(description="Masked.")
    in_review: bool = Field(description="Whether staff looks at it.")
    reason: WhyNot | None = Field(description="Why it was rejected.")
    field: str | None = Field(description="The member that was wrong, where that is known.")
    reason_text: str | None = Field(description="The reason in the reader's language.")
    created_at: Moment = Field(description="When it was submitted.")
    decided_at: Moment | None = Field(description="When it was decided or withdrawn.")


class SubmissionsOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_SUBMISSION], "next_cursor": None}]})

    items: list[SubmissionOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class RealNameOut(Out):
    """How far real-name authentication is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "verified",
                    "type": "enterprise",
                    "verified_name": "Acme Observability Ltd.",
                    "registration_number": "913***********00Y43",
                    "verified_at": "2026-11-23T08:15:31.000Z",
                    "missing": [],
                    "latest": {**_SUBMISSION, "status": "verified"},
                }
            ]
        }
    )

    status: Literal["none", "pending", "verified", "rejected"] = Field(
        description="`verified` as long as one is in force, whatever was submitted since."
    )
    type: Type | None = Field(description="What is in force.")
    verified_name: str | None = Field(description="In force: for an enterprise the invoice header.")
    registration_number: str | None = Field(description="Of what is in force, masked.")
    verified_at: Moment | None = Field(description="Since when.")
    missing: list[Literal["enterprise"]] = Field(description="What invoices still need.")
    latest: SubmissionOut | None = Field(description="The newest submission.")


class InvoicingOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "allowed": True,
                    "reason": "verified",
                    "missing": [],
                    "verified_name": "Acme Observability Ltd.",
                    "taxpayer_number": "91350100M000100Y43",
                    "since": "2026-11-23T08:15:31.000Z",
                }
            ]
        }
    )

    allowed: bool = Field(description="Whether invoices may be asked for.")
    reason: Literal[
        "verified",
        "not_submitted",
        "pending",
        "rejected",
        "enterprise_required",
        "account_suspended",
        "account_closed",
    ] = Field(description="Why, or why not.")
    missing: list[Literal["enterprise"]] = Field(description="What has to be submitted.")
    verified_name: str | None = Field(description="What the invoice header must say.")
    taxpayer_number: str | None = Field(description="For the invoice.")
    since: Moment | None = Field(description="When the name was verified.")


class CallOut(Out):
    """One question to a provider."""

    provider: str = Field(description="Who was asked.")
    outcome: str | None = Field(description="What the answer means; null when there is none.")
    detail: str | None = Field(description="The provider's own code.")
    request_id: str | None = Field(description="What the provider's support asks for.")
    created_at: Moment = Field(description="When.")


_REVIEW: dict[str, Any] = {
    "id": "rnam_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "type": "enterprise",
    "status": "pending",
    "country": "SG",
    "name": "Acme Pte. Ltd.",
    "number": "201912345K",
    "legal_representative": None,
    "legal_id_number": None,
    "phone": None,
    "in_review": True,
    "reason": "review_needed",
    "field": None,
    "proposed_by": None,
    "created_at": "2026-11-23T08:15:30.000Z",
    "decided_at": None,
    "calls": [],
}


class ReviewOut(Out):
    """A submission in clear, for staff. What was erased is null."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REVIEW]})

    id: SubmissionId = Field(description="The submission.")
    account_id: AccountId = Field(description="Whose.")
    type: Type = Field(description="Whom it is about.")
    status: State = Field(description="How it stands.")
    country: str = Field(description="ISO 3166-1.")
    name: str | None = Field(description="As submitted.")
    number: str | None = Field(description="The document's.")
    legal_representative: str | None = Field(description="As submitted.")
    legal_id_number: str | None = Field(description="As submitted.")
    phone: str | None = Field(description="As submitted.")
    in_review: bool = Field(description="Whether a decision is waited for.")
    reason: WhyNot | None = Field(description="Why it was rejected, or why staff looks at it.")
    field: str | None = Field(description="The member that was wrong, where that is known.")
    proposed_by: str | None = Field(description="Who proposed to override a mismatch; somebody else has to do it.")
    created_at: Moment = Field(description="When it was submitted.")
    decided_at: Moment | None = Field(description="When it was decided.")
    calls: list[CallOut] = Field(description="Who was asked, and what they said.")


class ReviewsOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_REVIEW], "next_cursor": None}]})

    items: list[ReviewOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class DecisionIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"decision": "reject", "reason": "unclear_document"}]})

    decision: Literal["approve", "reject"] = Field(description="What is done with it.")
    reason: RejectedFor | None = Field(None, description="For a rejection: what the holder is told.")
