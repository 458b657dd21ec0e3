"""Tables. Importing this package imports them all, which is what alembic compares with the database."""

from app.models import (
    accounts,
    activity,
    clients,
    cloud_accounts,
    credentials,
    events,
    idempotency,
    outbox,
    real_name,
    sessions,
    settlements,
    throttles,
    verification,
    webhooks,
    workspaces,
)

__all__ = [
    "accounts",
    "activity",
    "clients",
    "cloud_accounts",
    "credentials",
    "events",
    "idempotency",
    "outbox",
    "real_name",
    "sessions",
    "settlements",
    "throttles",
    "verification",
    "webhooks",
    "workspaces",
]
