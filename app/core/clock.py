"""The one clock. Times come from here, never from the database, so that a test can move them."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, timezone-aware, in UTC."""
    return datetime.now(UTC)
