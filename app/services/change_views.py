"""Credential changes as their holder sees them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import masking
from app.core.clock import now
from app.core.limits import Limits
from app.models.credentials import OPEN, CredentialChange, State
from app.models.verification import Challenge
from app.repositories.credentials import Step
from app.services.verification import Verification

EXPIRED = "expired"  # shown for a flow whose time or tries are used up
_ASKING = (State.VERIFY_CURRENT, State.VERIFY_NEW)


@dataclass(frozen=True, slots=True)
class ChangeView:
    """A change as its holder sees it; contacts are masked. `sent_to` and what follows it belong to the live code."""

    id: UUID
    credential: str
    proof: str
    state: str
    new_value: str | None
    sent_to: str | None
    tries_left: int | None
    resend_at: datetime | None
    expires_at: datetime | None
    effective_at: datetime | None
    created_at: datetime


class ChangeViews:
    def __init__(self, verification: Verification, limits: Limits) -> None:
        self._verification = verification
        self._limits = limits

    def of(self, change: CredentialChange, challenge: Challenge) -> ChangeView:
        """`challenge` is the change's own: the one that asks now, or asked last."""
        asking, is_open = change.state in _ASKING, change.state in OPEN
        return ChangeView(
            id=change.id,
            credential=change.credential,
            proof=change.proof,
            state=EXPIRED if self.is_over(change, challenge) else change.state,
            new_value=masking.contact(change.new_value),
            sent_to=masking.contact(challenge.target) if asking else None,
            tries_left=self._verification.tries_left(challenge) if asking else None,
            resend_at=self._verification.resend_at(challenge) if asking else None,
            expires_at=change.expires_at if is_open else None,
            effective_at=change.effective_at,
            created_at=change.created_at,
        )

    def open_ones(self, steps: Iterable[Step]) -> list[ChangeView]:
        return [self.of(change, challenge) for change, challenge in steps if not self.is_over(change, challenge)]

    def is_over(self, change: CredentialChange, challenge: Challenge) -> bool:
        """Still written down as open, but its time or its tries are used up."""
        if change.state not in OPEN or change.state == State.WAITING:
            return False
        return change.expires_at <= now() or challenge.tries >= self._limits.flow_tries
