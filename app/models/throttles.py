"""How failed logins slow down the next ones."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class LoginThrottle(Base):
    """Consecutive failures: of what was typed in a lane, and of the account behind it (or of what stands in for one).

    `key` is an HMAC: it names nobody.
    """

    __tablename__ = "login_throttles"
    __table_args__ = (Index("ix_login_throttles_expires_at", "expires_at"),)

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    failures: Mapped[int]
    next_at: Mapped[datetime]  # no attempt is looked at before
    expires_at: Mapped[datetime]
