"""Tables. Importing this package imports them all, which is what alembic compares with the database."""

from app.models import (
    accounts,
    activity,
    clients,
    credentials,
    events,
    idempotency,
    outbox,
    real_name,
    sessions,
    throttles,
    verification,
    webhooks,
    workspaces,
)

__all__ = [
    "accounts",
    "activity",
    "clients",
    "credentials",
    "events",
    "idempotency",
    "outbox",
    "real_name",
    "sessions",
    "throttles",
    "verification",
    "webhooks",
    "workspaces",
]
