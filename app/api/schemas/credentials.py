"""Bodies of credential changes."""

from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from app.api.schemas.base import ChangeId, Code, Contact, In, Moment, Out, Token

Credential = Literal["email", "phone"]
_CHANGE: JsonDict = {
    "id": "cchg_0193b5c27d3e7a41b4d2c9f1e8a60b57",
    "credential": "email",
    "proof": "current",
    "state": "verify_current",
    "new_value": None,
    "sent_to": "l***@example.com",
    "tries_left": 5,
    "expires_at": "2026-11-23T08:45:30.000Z",
    "resend_at": "2026-11-23T08:16:30.000Z",
    "effective_at": None,
    "created_at": "2026-11-23T08:15:30.000Z",
}


class StartChangeIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"credential": "email", "proof": "current"}]})

    credential: Credential = Field(description="What to change.")
    proof: Literal["current", "other"] = Field(
        "current",
        description="Prove through the current value, or, when that is lost, through the other credential.",
    )


class CodeIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "493027"}]})

    code: Code = Field(description="The six digits of the message.")


class NewValueIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"value": "li.lei@example.org"}]})

    value: Contact = Field(description="The new email, or the new phone: E.164 or national in the account's region.")


class ChangeOut(Out):
    """A credential change. Contacts are masked."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CHANGE]})

    id: ChangeId = Field(description="The change.")
    credential: Credential = Field(description="What is changed.")
    proof: Literal["current", "other"] = Field(description="What proves the holder.")
    state: Literal[
        "verify_current", "propose", "verify_new", "waiting", "completed", "cancelled", "undone", "expired"
    ] = Field(description="Which step comes next, or how it ended.")
    new_value: str | None = Field(description="The proposed value, masked.")
    sent_to: str | None = Field(description="Where the live code went, masked.")
    tries_left: int | None = Field(description="How many more codes may be tried on the live one.")
    expires_at: Moment | None = Field(description="When this step ends.")
    resend_at: Moment | None = Field(description="When another code may be asked for.")
    effective_at: Moment | None = Field(description="When it took or takes effect.")
    created_at: Moment = Field(description="When it was started.")


class ChangesOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_CHANGE], "next_cursor": None}]})

    items: list[ChangeOut] = Field(description="At most one for each credential.")
    next_cursor: str | None = Field(description="Always null: there are never more.")


class ReversalIn(In):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token": "kM3vXq0nYp9fJw2sT7uZc5bA8dE1gH4iLoRtVxNyQ6Q"}]}
    )

    token: Token = Field(description="The token of the link in the notice.")


class ReversalOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"credential": "email", "outcome": "undone"}]})

    credential: Credential = Field(description="What was to change.")
    outcome: Literal["undone", "cancelled"] = Field(
        description="The old value is back, or the waiting change will not happen."
    )
