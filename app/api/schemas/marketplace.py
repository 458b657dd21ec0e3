"""Bodies of what marketplaces sent, for staff."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import CloudAccountId, Moment, NoticeId, Out

State = Literal["received", "applied", "waiting", "ambiguous", "ignored", "doubtful"]

_NOTICE: dict[str, Any] = {
    "id": "cldn_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "provider": "alibaba",
    "channel": "",
    "type": "expiredInstance",
    "effect": "frozen",
    "state": "applied",
    "cloud_account_id": "clda_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "event_at": "2026-11-23T08:15:30.000Z",
    "repeats": 0,
    "body": {"action": "expiredInstance", "instanceId": "122000001"},
    "created_at": "2026-11-23T08:15:30.000Z",
    "applied_at": "2026-11-23T08:15:30.000Z",
}


class NoticeOut(Out):
    """One message of a provider."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NOTICE]})

    id: NoticeId = Field(description="The message.")
    provider: str = Field(description="Who sent it.")
    channel: str = Field(description="Where it came in.")
    type: str = Field(description="What the provider calls it.")
    effect: str = Field(description="What it means here.")
    state: State = Field(
        description="`waiting`: its subscription is not known yet. `ambiguous`: several could be meant. `doubtful`: "
        "the same words were acted on before, and the provider did not confirm that they are news."
    )
    cloud_account_id: CloudAccountId | None = Field(description="The cloud account that it was applied to.")
    event_at: Moment = Field(description="When it happened, by the provider's word.")
    repeats: int = Field(description="How often it was sent again.")
    body: dict[str, Any] = Field(description="What it said; secrets are left out.")
    created_at: Moment = Field(description="When it came.")
    applied_at: Moment | None = Field(description="When it was acted on.")


class NoticesOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [_NOTICE],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[NoticeOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")
