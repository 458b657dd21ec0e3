"""Bodies of registration and of "who am I"."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import (
    AccountId,
    Code,
    CompanyName,
    ContactName,
    Description,
    Email,
    In,
    Industry,
    Moment,
    NewPassword,
    Out,
    Phone,
    Region,
    RegistrationId,
    Username,
)
from app.api.schemas.credentials import ChangeOut

Locale = Literal["zh-CN", "en"]
_DELIVERED = "Hand the refresh token over in an HttpOnly cookie, or in the answer's body."
Delivery = Annotated[Literal["cookie", "body"], Field(description=_DELIVERED)]
_COMPANY = {
    "company_name": "Acme Observability Ltd.",
    "industry": "I",
    "region": "CN-ZJ",
    "company_description": "Monitors everything.",
    "contact_name": "Li Lei",
    "locale": "en",
}


class RegistrationIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "username": "acme",
                    "email": "li.lei@example.com",
                    "phone": "+8613800138000",
                    "password": "correct horse battery staple",
                    **_COMPANY,
                }
            ]
        }
    )

    username: Username = Field(
        description="4–32 of letters, digits, `.`, `_`, `-`, the first a letter. Unique without regard to case; "
        "never changeable."
    )
    email: Email = Field(description="Proven by a code before the account exists.")
    phone: Phone | None = Field(None, description="E.164, or national in the region. Proven by a code of its own.")
    password: NewPassword | None = Field(None, description="8–128 characters. Without one, log in by code.")
    company_name: CompanyName = Field(description="2–128 characters.")
    industry: Industry | None = Field(None, description="A code of `GET /v1/industries`.")
    region: Region | None = Field(None, description="A code of `GET /v1/regions`.")
    company_description: Description | None = Field(None, description="Up to 1,000 characters.")
    contact_name: ContactName | None = Field(None, description="Whom we may ask for.")
    locale: Locale | None = Field(None, description="Language of messages; `Accept-Language` if absent.")


class SentOut(Out):
    """A code is on its way."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "regn_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                    "sent_to": "l***@example.com",
                    "expires_at": "2026-11-23T08:45:30.000Z",
                    "resend_at": "2026-11-23T08:16:30.000Z",
                }
            ]
        }
    )

    id: RegistrationId = Field(description="The registration.")
    sent_to: str = Field(description="Where the code went, masked.")
    expires_at: Moment = Field(description="When the registration ends unless confirmed.")
    resend_at: Moment = Field(description="When another code may be asked for.")


class ConfirmRegistrationIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "493027", "refresh_token_delivery": "body"}]})

    code: Code = Field(description="The six digits of the message.")
    refresh_token_delivery: Delivery = "cookie"


class UsernameOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"username": "acme", "available": False}]})

    username: str = Field(description="As asked for.")
    available: bool = Field(description="Whether it is free.")


class AccountOut(Out):
    """Who am I."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                    "username": "acme",
                    "email": "l***@example.com",
                    "phone": "+86*******8000",
                    "has_password": True,
                    "real_name_status": "none",
                    "status": "active",
                    "locale": "en",
                    "time_zone": "Asia/Shanghai",
                    "created_at": "2026-11-23T08:15:30.000Z",
                    "credential_changes": [],
                }
            ]
        }
    )

    id: AccountId = Field(description="The account.")
    username: str = Field(description="As registered.")
    email: str = Field(description="Masked.")
    phone: str | None = Field(description="Masked; null when there is none.")
    has_password: bool = Field(description="Whether a password logs in.")
    real_name_status: Literal["none", "pending", "verified", "rejected"] = Field(
        description="How far real-name authentication is."
    )
    status: Literal["active", "suspended", "closed"] = Field(description="Whether the account may act.")
    locale: Locale = Field(description="Language of messages.")
    time_zone: str = Field(description="IANA name.")
    created_at: Moment = Field(description="When it was registered.")
    credential_changes: list[ChangeOut] = Field(description="Open changes of email and phone.")
