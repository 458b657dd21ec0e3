"""Bodies of events and of webhook endpoints."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.api.schemas.base import AttemptId, EndpointId, EventId, EventIdIn, In, Instant, Moment, Out, text

EventType = Literal[
    "account.created",
    "account.profile_updated",
    "account.email_changed",
    "account.phone_changed",
    "account.password_changed",
    "account.suspended",
    "account.restored",
    "account.closed",
    "real_name.submitted",
    "real_name.verified",
    "real_name.rejected",
    "real_name.cancelled",
    "cloud_account.activated",
    "cloud_account.frozen",
    "cloud_account.unfrozen",
    "cloud_account.closed",
    "workspace.settlement_changed",
    "workspace.lock_requested",
    "workspace.unlock_requested",
    "webhook_endpoint.paused",
]
_EVENT_ID = "evnt_0193b5c27d3e7a41b4d2c9f1e8a60b57"
_ENDPOINT: dict[str, Any] = {
    "id": "whep_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "url": "https://invoices.example.com/hooks/accounts",
    "description": "Invoice service",
    "event_types": ["account.closed", "account.suspended"],
    "status": "active",
    "pause_reason": None,
    "paused_at": None,
    "failing_since": None,
    "previous_secret_until": None,
    "created_at": "2026-11-23T08:15:30.000Z",
    "updated_at": "2026-11-23T08:15:30.000Z",
}


class EventOut(Out):
    """CloudEvents 1.0, structured mode."""

    specversion: str = Field(description="`1.0`")
    id: EventId = Field(description="The event: the same wherever and how often it is delivered.")
    source: str = Field(description="This service.")
    type: str = Field(description="What happened, such as `account.email_changed`.")
    subject: str = Field(description="What it happened to: an account, or a webhook endpoint.")
    time: Moment = Field(description="When.")
    datacontenttype: str = Field(description="`application/json`")
    sequence: str = Field(description="Position in the feed, of fixed width: sorts as text.")
    data: dict[str, Any] = Field(description="Ids and masked values.")


class FeedOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "specversion": "1.0",
                            "id": _EVENT_ID,
                            "source": "https://account.billing.example.com",
                            "type": "account.email_changed",
                            "subject": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                            "time": "2026-11-23T08:15:30.000Z",
                            "datacontenttype": "application/json",
                            "sequence": "00000000000000000042",
                            "data": {
                                "account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                                "old": "l***@example.com",
                                "new": "l***@example.org",
                            },
                        }
                    ],
                    "next_cursor": "AAAAAAAAACpQ1v3k8sXo0A",
                }
            ]
        }
    )

    items: list[EventOut] = Field(description="In their order; empty when nothing is new.")
    next_cursor: str = Field(description="Where to go on, also when nothing is new: for `after`.")


class EndpointIn(In):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://invoices.example.com/hooks/accounts",
                    "event_types": ["account.closed", "account.suspended"],
                    "description": "Invoice service",
                }
            ]
        }
    )

    url: Annotated[str, Field(max_length=2000, pattern=r"^https?://[!-~]+$")] = Field(
        description="https, and no private, loopback or link-local address unless the operator allows its network."
    )
    event_types: Annotated[list[EventType], Field(max_length=50)] = Field(
        default=[], description="What it is sent; none means everything, also what comes to be."
    )
    description: Annotated[str, *text(1, 200)] | None = Field(None, description="For people.")


class EndpointOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [_ENDPOINT]})

    id: EndpointId = Field(description="The endpoint.")
    url: str = Field(description="Where events are posted to.")
    description: str | None = Field(description="For people.")
    event_types: list[str] = Field(description="What it is sent; none means everything.")
    status: Literal["active", "paused"] = Field(description="While paused events are kept for it.")
    pause_reason: Literal["requested", "failing", "gone", "client_disabled"] | None = Field(
        description="`failing`: nothing was taken for a day. `gone`: it answered 410."
    )
    paused_at: Moment | None = Field(description="Since when.")
    failing_since: Moment | None = Field(description="The first failure after the last success.")
    previous_secret_until: Moment | None = Field(description="How long the secret before this one signs as well.")
    created_at: Moment = Field(description="When it was made; it is sent what happened since.")
    updated_at: Moment = Field(description="When its owner last changed it.")


class EndpointWithSecretOut(EndpointOut):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_ENDPOINT, "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD5EY2CqqFHDQ="}]}
    )

    secret: str = Field(description="Signs what is sent (Standard Webhooks, `v1`). Shown here and never again.")


class EndpointsOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_ENDPOINT], "next_cursor": None}]})

    items: list[EndpointOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class EndpointStatusIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "paused"}]})

    status: Literal["active", "paused"] = Field(description="`active` resumes: all that waited is due at once.")


class RedeliveryIn(In):
    """One event, or a span of time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"event_id": _EVENT_ID},
                {"since": "2026-11-23T00:00:00.000Z", "until": "2026-11-23T12:00:00.000Z"},
            ]
        }
    )

    event_id: EventIdIn | None = Field(None, description="One event.")
    since: Instant | None = Field(None, description="Events from this instant on.")
    until: Instant | None = Field(None, description="Events before this instant; now if absent.")

    @model_validator(mode="after")
    def _one_or_span(self) -> Self:
        if (self.event_id is None) == (self.since is None) or (self.until is not None and self.since is None):
            raise PydanticCustomError("one_event_or_span", "refused")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise PydanticCustomError("empty_span", "refused")
        return self


class RedeliveryOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"queued": 12}]})

    queued: int = Field(description="How many events are sent again.")


class AttemptOut(Out):
    """One request to the endpoint."""

    id: AttemptId = Field(description="The attempt.")
    event_id: EventId = Field(description="What was sent: the `webhook-id`.")
    event_type: str = Field(description="Its type.")
    number: int = Field(description="Which attempt at this event it was.")
    outcome: Literal["delivered", "retrying", "failed"] = Field(description="`failed`: it was the last one.")
    status: int | None = Field(description="The HTTP status of the answer; null when there was none.")
    error: str | None = Field(description="Why there was none, such as `timeout` or `forbidden_address`.")
    milliseconds: int = Field(description="How long it took.")
    next_at: Moment | None = Field(description="When the next attempt is due.")
    created_at: Moment = Field(description="When it ended.")


class AttemptsOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "what_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                            "event_id": _EVENT_ID,
                            "event_type": "account.closed",
                            "number": 1,
                            "outcome": "retrying",
                            "status": 503,
                            "error": None,
                            "milliseconds": 48,
                            "next_at": "2026-11-23T08:15:35.000Z",
                            "created_at": "2026-11-23T08:15:30.000Z",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[AttemptOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")
