"""Bodies of the activity trail."""

from pydantic import ConfigDict, Field

from app.api.schemas.base import ActivityId, Moment, Out, SessionId


class EntryOut(Out):
    """One thing that happened."""

    id: ActivityId = Field(description="The entry.")
    action: str = Field(description="What happened, such as `email.changed`.")
    actor: str = Field(
        description="Who did it: `holder`, `staff` of Guance, `service` (another one of Guance's), `system`, or "
        "`unknown` for nobody who proved anything."
    )
    actor_name: str | None = Field(description="The person, where staff or a service says who it was.")
    reason: str | None = Field(description="Why, in staff's words.")
    session_id: SessionId | None = Field(description="In which session.")
    ip: str | None = Field(description="From where; null for what the service did by itself.")
    user_agent: str | None = Field(description="With what.")
    request_id: str | None = Field(description="The `X-Request-Id` of the call.")
    old_value: str | None = Field(description="What was, masked.")
    new_value: str | None = Field(description="What is, masked.")
    created_at: Moment = Field(description="When.")


class ActivityOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "actv_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                            "action": "email.changed",
                            "actor": "holder",
                            "actor_name": None,
                            "reason": None,
                            "session_id": "sess_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                            "ip": "203.0.113.7",
                            "user_agent": "Mozilla/5.0",
                            "request_id": "0193b5c27d3e7a41b4d2c9f1e8a60b58",
                            "old_value": "l***@example.com",
                            "new_value": "l***@example.org",
                            "created_at": "2026-11-23T08:15:30.000Z",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[EntryOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class AuditEntryOut(EntryOut):
    """The same for staff."""

    client: str | None = Field(description="Name of the service client through which it was done.")


class AuditOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "actv_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                            "action": "account.suspended",
                            "actor": "staff",
                            "actor_name": "han.meimei",
                            "reason": "Ticket 4711: payment fraud reported by the bank",
                            "session_id": None,
                            "ip": "10.1.2.3",
                            "user_agent": "staff-console/2.1",
                            "request_id": "0193b5c27d3e7a41b4d2c9f1e8a60b58",
                            "old_value": "active",
                            "new_value": "suspended",
                            "created_at": "2026-11-23T08:15:30.000Z",
                            "client": "staff-console",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[AuditEntryOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")
