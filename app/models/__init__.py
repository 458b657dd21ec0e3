"""Tables. Importing this package imports them all, which is what alembic compares with the database."""

from app.models import accounts, activity, credentials, idempotency, outbox, sessions, throttles, verification

__all__ = [
    "accounts",
    "activity",
    "credentials",
    "idempotency",
    "outbox",
    "sessions",
    "throttles",
    "verification",
]
