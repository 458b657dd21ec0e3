"""Bodies of workspaces and how they settle, for holders and for the settlement service."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import AccountId, CloudAccountId, CloudAccountIdIn, In, Instant, Moment, Out, SettlementId

MethodName = Literal["billing_center", "cloud_account"]
ReasonCode = Literal[
    "workspace_unknown",
    "workspace_dissolved",
    "lock_is_over",
    "cloud_account_not_active",
    "cloud_of_another_site",
    "stays_until_cloud_account_ends",
    "changed_this_month",
]
_CLOUD_ID = "clda_0193b5c27d3e7a41b4d2c9f1e8a60b57"
_WORKSPACE: dict[str, Any] = {
    "id": "wksp_8f2c1d",
    "name": "Production",
    "site": "cn1",
    "method": "cloud_account",
    "cloud_account_id": _CLOUD_ID,
    "provider": "alibaba",
    "effective_from": "2026-11-23T08:15:30.000Z",
    "lock_ends_at": None,
}
_PAID: dict[str, Any] = {
    "workspace_id": "wksp_8f2c1d",
    "account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "site": "cn1",
    "method": "cloud_account",
    "provider": "alibaba",
    "cloud_account": {
        "id": _CLOUD_ID,
        "provider": "alibaba",
        "account_id": "1234567890123456",
        "instance_id": "122000001",
        "product": "cmgj00053362",
        "status": "active",
    },
    "locked": False,
    "effective_from": "2026-11-23T08:15:30.000Z",
    "effective_to": None,
}


class WorkspaceSettlementOut(Out):
    """A workspace and how it settles now."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WORKSPACE]})

    id: str = Field(description="As given by the workspace service.")
    name: str = Field(description="As people know it.")
    site: str = Field(description="Where it stands.")
    method: MethodName = Field(description="How it is paid for.")
    cloud_account_id: CloudAccountId | None = Field(description="By which cloud account.")
    provider: str | None = Field(description="Whose that is.")
    effective_from: Moment = Field(description="Since when.")
    lock_ends_at: Moment | None = Field(description="Until when it can be unlocked; null while it is not locked.")


class WorkspacesOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_WORKSPACE], "next_cursor": None}]})

    items: list[WorkspaceSettlementOut] = Field(description="By their ids; dissolved ones are left out.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class BindingsOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"bindings": [_WORKSPACE]}]})

    bindings: list[WorkspaceSettlementOut] = Field(description="The workspaces, as they settle now.")


class ReasonOut(Out):
    code: ReasonCode = Field(description="Why not; stable.")
    until: Moment | None = Field(description="When it ends by itself, where that is known.")
    text: str = Field(description="The same in the reader's language.")


class OptionOut(Out):
    """A way to settle the workspace."""

    method: MethodName = Field(description="How it would be paid for.")
    cloud_account_id: CloudAccountId | None = Field(description="By which cloud account.")
    provider: str | None = Field(description="Whose that is.")
    account_id: str | None = Field(description="The buyer's account there, masked.")
    instance_id: str | None = Field(description="What was bought.")
    status: Literal["pending", "active", "frozen", "ended"] | None = Field(description="How the subscription stands.")
    current: bool = Field(description="Whether it is the one in use.")
    allowed: bool = Field(description="Whether it can be chosen now.")
    reasons: list[ReasonOut] = Field(description="Every reason against it.")


class OptionsOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workspace_id": "wksp_8f2c1d",
                    "items": [
                        {
                            "method": "billing_center",
                            "cloud_account_id": None,
                            "provider": None,
                            "account_id": None,
                            "instance_id": None,
                            "status": None,
                            "current": False,
                            "allowed": False,
                            "reasons": [
                                {
                                    "code": "stays_until_cloud_account_ends",
                                    "until": None,
                                    "text": "The workspace settles by a cloud account until that has ended.",
                                }
                            ],
                        }
                    ],
                }
            ]
        }
    )

    workspace_id: str = Field(description="The workspace.")
    items: list[OptionOut] = Field(description="The Billing Center first, then the cloud accounts, newest first.")


class ByBillingCenterIn(In):
    method: Literal["billing_center"] = Field(description="The Billing Center account pays.")


class ByCloudAccountIn(In):
    method: Literal["cloud_account"] = Field(description="A cloud account pays.")
    cloud_account_id: CloudAccountIdIn = Field(description="Which one.")


SettlementIn = Annotated[ByBillingCenterIn | ByCloudAccountIn, Field(discriminator="method")]


class SettledOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workspace_id": "wksp_8f2c1d",
                    "method": "cloud_account",
                    "cloud_account_id": _CLOUD_ID,
                    "effective_from": "2026-11-23T08:15:30.000Z",
                }
            ]
        }
    )

    workspace_id: str = Field(description="The workspace.")
    method: MethodName = Field(description="How it is paid for.")
    cloud_account_id: CloudAccountId | None = Field(description="By which cloud account.")
    effective_from: Moment = Field(description="Since when.")


class SpanOut(Out):
    """A time in which the workspace settled in one way, from its start up to its end."""

    id: SettlementId = Field(description="The record.")
    method: MethodName = Field(description="How it was paid for.")
    cloud_account_id: CloudAccountId | None = Field(description="By which cloud account.")
    provider: str | None = Field(description="Whose that is.")
    account_id: str | None = Field(description="The buyer's account there, masked.")
    cause: Literal["created", "chosen", "unlocked", "locked", "fell_back", "resumed", "resubscribed"] = Field(
        description="Why it began."
    )
    lock_ends_at: Moment | None = Field(description="It was locked in this time, and could be unlocked until then.")
    effective_from: Moment = Field(description="From this instant on.")
    effective_to: Moment | None = Field(description="Up to this instant, which is not part of it; null while it lasts.")


class HistoryOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "setl_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                            "method": "billing_center",
                            "cloud_account_id": None,
                            "provider": None,
                            "account_id": None,
                            "cause": "created",
                            "lock_ends_at": None,
                            "effective_from": "2026-11-01T00:00:00.000Z",
                            "effective_to": "2026-11-23T08:15:30.000Z",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[SpanOut] = Field(description="Newest first, without gaps.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class CloudAccountRefOut(Out):
    id: CloudAccountId = Field(description="The cloud account.")
    provider: str = Field(description="Whose marketplace it is.")
    account_id: str | None = Field(description="The buyer's account there.")
    instance_id: str = Field(description="What was bought: of AWS the licence's ARN.")
    product: str | None = Field(description="The provider's product code.")
    status: Literal["pending", "active", "frozen", "ended"] = Field(description="How the subscription stands now.")


class PaidOut(Out):
    """What paid for a workspace at an instant."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAID]})

    workspace_id: str = Field(description="The workspace.")
    account_id: AccountId = Field(description="The account that pays for it.")
    site: str = Field(description="Where it stands.")
    method: MethodName = Field(description="How it was paid for.")
    provider: str | None = Field(description="Whose the cloud account is.")
    cloud_account: CloudAccountRefOut | None = Field(description="The cloud account that paid.")
    locked: bool = Field(description="Whether it was locked then.")
    effective_from: Moment = Field(description="This was so from here on.")
    effective_to: Moment | None = Field(description="Up to here, which is not part of it; null while it lasts.")


class SettlementsIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"workspace_ids": ["wksp_8f2c1d", "wksp_77aa01"], "at": "2026-11-23T08:15:30.000Z"}]
        }
    )

    workspace_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1000)] = Field(
        description="As given by the workspace service."
    )
    at: Instant | None = Field(None, description="Any instant up to now; now if absent.")


class FoundSettlementOut(Out):
    workspace_id: str = Field(description="As asked for.")
    found: bool = Field(description="Whether anything paid for it then.")
    settlement: PaidOut | None = Field(description="What did.")


class SettlementsOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"workspace_id": "wksp_8f2c1d", "found": True, "settlement": _PAID},
                        {"workspace_id": "wksp_77aa01", "found": False, "settlement": None},
                    ]
                }
            ]
        }
    )

    items: list[FoundSettlementOut] = Field(description="One for each workspace, in the order asked for.")
