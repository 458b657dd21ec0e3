"""Bodies of accounts as other services see them."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.api.schemas.accounts import Locale
from app.api.schemas.base import (
    AccountId,
    AccountIdIn,
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
    Site,
    TimeZone,
    Username,
    WorkspaceId,
    text,
)

_ACCOUNT: dict[str, Any] = {
    "id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "username": "acme",
    "email": "l***@example.com",
    "phone": "+86*******8000",
    "status": "active",
    "real_name_status": "none",
    "arbitrary_settlement": False,
    "company_name": "Acme Observability Ltd.",
    "industry": "I",
    "region": "CN-ZJ",
    "contact_name": "L***",
    "locale": "en",
    "time_zone": "Asia/Shanghai",
    "created_at": "2026-11-23T08:15:30.000Z",
    "updated_at": "2026-11-23T08:15:30.000Z",
    "closed_at": None,
}
_HASH = "$2b$12$C6UzMDM.H6dfI/f/IKcEeO7J9GkP0gD8qyJv7lWzqf1n1m5s0ZQ3K"
_IN_CLEAR = "In clear with the scope `accounts:contacts`, else masked."


class NewAccountIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "username": "acme",
                    "email": "li.lei@example.com",
                    "phone": "+8613800138000",
                    "password_hash": _HASH,
                    "company_name": "Acme Observability Ltd.",
                    "region": "CN-ZJ",
                    "locale": "zh-CN",
                    "reference": "registration-20261123-000042",
                }
            ]
        }
    )

    username: Username = Field(description="4–32 of letters, digits, `.`, `_`, `-`, the first a letter.")
    email: Email = Field(description="That the caller has verified.")
    phone: Phone | None = Field(None, description="That the caller has verified. E.164, or national in the region.")
    password: NewPassword | None = Field(None, description="8–128 characters.")
    password_hash: Annotated[str, Field(max_length=256)] | None = Field(
        None,
        description="Instead of the password: an argon2id hash in PHC form (at most 128 MiB, and 256 MiB of memory "
        "times passes) or a bcrypt one (cost at most 13). At the next login one of ours takes its place, unless it is "
        "stronger.",
    )
    company_name: CompanyName = Field(description="2–128 characters.")
    industry: Industry | None = Field(None, description="A code of `GET /v1/industries`.")
    region: Region | None = Field(None, description="A code of `GET /v1/regions`.")
    company_description: Description | None = Field(None, description="Up to 1,000 characters.")
    contact_name: ContactName | None = Field(None, description="Whom we may ask for.")
    locale: Locale = Field("zh-CN", description="Language of messages.")
    time_zone: TimeZone | None = Field(None, description="IANA name; the service's default if absent.")
    reference: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")] | None = Field(
        None,
        description="The caller's own name for this registration. The same one again, with the same content (a "
        "password aside), gets the same account; it never expires.",
    )

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_hash is not None:
            raise PydanticCustomError("password_twice", "refused")
        return self


class DirectoryEntryOut(Out):
    """An account as another service sees it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ACCOUNT]})

    id: AccountId = Field(description="The account.")
    username: str = Field(description="As registered; never changes.")
    email: str | None = Field(description=f"{_IN_CLEAR} Null once the account is closed.")
    phone: str | None = Field(description=f"{_IN_CLEAR} Null when there is none.")
    status: Literal["active", "suspended", "closed"] = Field(description="Whether the account may act.")
    real_name_status: Literal["none", "pending", "verified", "rejected"] = Field(
        description="How far real-name authentication is."
    )
    arbitrary_settlement: bool = Field(description="Whether any cloud may settle any site's workspaces.")
    company_name: str = Field(description="As the holder wrote it; what is verified is the real name.")
    industry: str | None = Field(description="A code of `GET /v1/industries`.")
    region: str | None = Field(description="A code of `GET /v1/regions`.")
    contact_name: str | None = Field(description=_IN_CLEAR)
    locale: Locale = Field(description="Language of messages.")
    time_zone: str = Field(description="IANA name.")
    created_at: Moment = Field(description="When it was made.")
    updated_at: Moment = Field(description="When profile, contacts or status last changed.")
    closed_at: Moment | None = Field(description="When it was closed.")


class LookupIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ids": ["acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57", "acnt_00000000000000000000000000000000"]}]
        }
    )

    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1000)] = Field(
        description="Up to 1,000; one may stand more than once."
    )


class FoundOut(Out):
    """The answer for one id."""

    id: str = Field(description="As asked for.")
    found: bool = Field(description="Whether there is such an account.")
    account: DirectoryEntryOut | None = Field(description="Null when there is none.")


class LookupOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"id": _ACCOUNT["id"], "found": True, "account": _ACCOUNT},
                        {"id": "acnt_00000000000000000000000000000000", "found": False, "account": None},
                    ]
                }
            ]
        }
    )

    items: list[FoundOut] = Field(description="One for each id, in the order asked for.")


class StatusIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "suspended"}]})

    status: Literal["active", "suspended"] = Field(description="`suspended` shuts the holder out, `active` restores.")


class ArbitrarySettlementIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    enabled: bool = Field(strict=True, description="Whether any cloud may settle any site's workspaces.")


class TicketIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                    "workspace_id": "wksp_8f2c1d",
                    "actor": "user_5b1e (li.lei@example.com)",
                }
            ]
        }
    )

    account_id: AccountIdIn = Field(description="The account that pays for the workspace.")
    workspace_id: WorkspaceId = Field(description="Where the person comes from.")
    actor: Annotated[str, *text(1, 128)] = Field(
        description="Who it is, in the caller's words. By asking the caller says that they own the workspace; the "
        "trail keeps who."
    )


class TicketOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ticket": "Zq3vK8nY2wR5tB7mX1cL9sD4fG6hJ0pAeUiOyTrEwQs",
                    "expires_at": "2026-11-23T08:16:30.000Z",
                }
            ]
        }
    )

    ticket: str = Field(description="For one `POST /v1/sessions` with `method: ticket`.")
    expires_at: Moment = Field(description="60 seconds from now.")


class WorkspaceIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57", "site": "cn1", "name": "Production"}]
        }
    )

    account_id: AccountIdIn = Field(description="The account that pays for it; fixed once said.")
    site: Site = Field(description="The deployment on which it stands, such as `cn1`; fixed once said.")
    name: Annotated[str, *text(1, 128)] = Field(description="As people know it; may change.")


class WorkspaceOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "wksp_8f2c1d",
                    "account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                    "site": "cn1",
                    "name": "Production",
                    "created_at": "2026-11-23T08:15:30.000Z",
                    "dissolved_at": None,
                }
            ]
        }
    )

    id: str = Field(description="As given by the workspace service.")
    account_id: AccountId = Field(description="The account that pays for it.")
    site: str = Field(description="Where it stands.")
    name: str = Field(description="As people know it.")
    created_at: Moment = Field(description="When it was made known here.")
    dissolved_at: Moment | None = Field(description="When it was dissolved.")
