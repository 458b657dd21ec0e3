"""The one clock. Times come from here, never from the database, so that a test can move them."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, timezone-aware, in UTC."""
    return datetime.now(UTC)


def instant() -> datetime:
    """The current time as it is shown, to the millisecond: what others are told of and may ask for again."""
    at = now()
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def shown(moment: datetime) -> str:
    """RFC 3339 with `Z`, to the millisecond: how every instant goes out."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
