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
class Service:
    """Another service of Guance whose token was good. Whether the client still lives is asked of the database."""

    client_id: UUID
    secret_id: UUID  # the one that the token was got with
    scopes: frozenset[str]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Staff:
    """A person at Guance, by the word of the staff tool that calls: who, and why."""

    service: Service
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A holder whose access token was good. Whether the session still lives is asked of the database on each call."""

    account_id: UUID
    session_id: UUID
    auth_time: datetime
    origin: Origin
