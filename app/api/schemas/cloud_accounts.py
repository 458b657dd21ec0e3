"""Bodies of cloud accounts, and of the claims with which they come from a marketplace."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import (
    AccountId,
    ChallengeId,
    ChallengeIdIn,
    CloudAccountId,
    Code,
    In,
    Moment,
    Out,
    Username,
    WorkspaceId,
)

Status = Literal["pending", "active", "frozen", "ended"]
Typed = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:/-]+$")]
_ID = "clda_0193b5c27d3e7a41b4d2c9f1e8a60b57"
_CLOUD_ACCOUNT: dict[str, Any] = {
    "id": _ID,
    "provider": "alibaba",
    "account_id": "********3456",
    "instance_id": "122000001",
    "status": "active",
    "since": "2026-11-23T08:15:30.000Z",
    "claimed_at": "2026-11-23T08:20:00.000Z",
    "workspaces": [{"id": "wksp_8f2c1d", "name": "Production", "site": "cn1", "lock_ends_at": None}],
}


class CloudAccountIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"provider": "alibaba", "account_id": "1234567890123456", "instance_id": "122000001"}]
        }
    )

    provider: Annotated[str, Field(pattern="^[a-z]{1,16}$")] = Field(
        description="`alibaba` or `huawei`: of AWS nothing is typed, customers come from its marketplace."
    )
    account_id: Typed = Field(description="The buyer's account at the provider; of Alibaba Cloud the main account's.")
    instance_id: Typed = Field(description="The instance that was bought, as the provider's console shows it.")


class BoundWorkspaceOut(Out):
    id: str = Field(description="The workspace.")
    name: str = Field(description="As people know it.")
    site: str = Field(description="Where it stands.")
    lock_ends_at: Moment | None = Field(description="Until when it can be unlocked; null while it is not locked.")


class CloudAccountOut(Out):
    """A subscription to Guance on a cloud marketplace."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CLOUD_ACCOUNT]})

    id: CloudAccountId = Field(description="The cloud account.")
    provider: str = Field(description="Whose marketplace it is.")
    account_id: str | None = Field(description="The buyer's account at the provider, masked.")
    instance_id: str = Field(description="What was bought, as the provider calls it.")
    status: Status = Field(description="Only an `active` one pays; an `ended` one does not come back by itself.")
    since: Moment = Field(description="Since when, by the provider's word.")
    claimed_at: Moment = Field(description="When it became the account's.")
    workspaces: list[BoundWorkspaceOut] = Field(description="Those that settle by it.")


class CloudAccountsOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_CLOUD_ACCOUNT], "next_cursor": None}]})

    items: list[CloudAccountOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class BindingsIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"workspace_ids": ["wksp_8f2c1d", "wksp_77aa01"]}]})

    workspace_ids: Annotated[list[WorkspaceId], Field(min_length=1, max_length=100)] = Field(
        description="All of them settle by the cloud account then, or none does."
    )


class ClaimOut(Out):
    """A purchase that nobody has taken yet."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "provider": "aws",
                    "account_id": "********9012",
                    "status": "active",
                    "expires_at": "2026-11-24T08:15:30.000Z",
                }
            ]
        }
    )

    provider: str = Field(description="Where it was bought.")
    account_id: str | None = Field(description="The buyer's account there, masked.")
    status: Status = Field(description="How the subscription stands.")
    expires_at: Moment = Field(
        description="Until when it can be taken. Coming from the marketplace again makes another."
    )


class ClaimCodeIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"username": "acme"}]})

    username: Username = Field(description="Of the account that shall have the purchase.")


class ClaimCodeOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "challenge_id": "chlg_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                    "expires_at": "2026-11-23T08:25:30.000Z",
                    "resend_at": "2026-11-23T08:16:30.000Z",
                }
            ]
        }
    )

    challenge_id: ChallengeId = Field(description="For accepting with the code.")
    expires_at: Moment = Field(description="Until when the code is good.")
    resend_at: Moment = Field(description="When another one may be asked for.")


class ClaimWithCodeIn(In):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"challenge_id": "chlg_0193b5c27d3e7a41b4d2c9f1e8a60b57", "code": "493027"}]}
    )

    challenge_id: ChallengeIdIn = Field(description="Of the answer to `account-codes`.")
    code: Code = Field(description="From the email.")


class AcceptedOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57", "cloud_account_id": _ID}]
        }
    )

    account_id: AccountId = Field(description="Whose it is now.")
    cloud_account_id: CloudAccountId = Field(description="The cloud account.")
