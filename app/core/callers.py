"""Who is calling and from where, as services and repositories see it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call came from."""

    ip: str
    user_agent: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A holder whose access token was good. Whether the session still lives is asked of the database on each call."""

    account_id: UUID
    session_id: UUID
    auth_time: datetime
    origin: Origin
