"""Codes for somebody who is not logged in: by login code and by password reset alike.

An identifier that nobody has gets the same answer, writes the same rows and takes the same time; its code goes
nowhere (ASVS 5.0 6.3.8).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.core.callers import Origin
from app.core.clock import now
from app.core.contacts import Identifier, Kind, read_identifier
from app.core.limits import Limits
from app.models.accounts import Locale
from app.models.verification import Challenge, Channel, Purpose
from app.repositories.accounts import Found, Holder
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.notices import Contact
from app.services.throttling import lane_of
from app.services.verification import Letter, Question, Verification


@dataclass(frozen=True, slots=True)
class Sent:
    """A code is on its way. `sent_to` is masked, and only there when the caller may know."""

    id: UUID
    expires_at: datetime
    resend_at: datetime
    sent_to: str | None = None


class OpenCodes:
    def __init__(self, uow: UnitOfWork, verification: Verification, *, limits: Limits, region: str) -> None:
        self.uow = uow
        self.verification = verification
        self._known_for = timedelta(days=limits.known_address_days)
        self._flow_life = limits.flow_life
        self._region = region

    def read(self, identifier: str) -> Identifier:
        return read_identifier(identifier, region=self._region)

    @property
    def known_since(self) -> datetime:
        """An address counts as known when a session began from it after this."""
        return now() - self._known_for

    @retried
    async def ask(self, *, identifier: str, purpose: Purpose, template: str, origin: Origin) -> Sent:
        """Send a code to whom the identifier names. Raises ResendTooSoon and TooManySends, known or not."""
        typed = self.read(identifier)
        async with self.uow() as uow:
            found = await uow.accounts.find(typed, ip=origin.ip, since=self.known_since)
            question = self._question(typed, found, purpose, template)
            # When nobody has the identifier the same statement touches nothing.
            await uow.challenges.close_all(question.account_id or _NOBODY, now(), purpose=purpose, lane=question.lane)
            challenge = await self.verification.open(uow, question, origin)
        return self.sent(challenge)

    def sent(self, challenge: Challenge) -> Sent:
        return Sent(challenge.id, challenge.code_expires_at, self.verification.resend_at(challenge))

    def _question(self, typed: Identifier, found: Found, purpose: Purpose, template: str) -> Question:
        account, lane = found.account, lane_of(found)
        return Question(
            purpose=purpose,
            lane=lane,
            slot=(purpose, lane, typed.kind, typed.key),
            contact=_contact(typed, account),
            letter=Letter(template, account.locale if account else Locale.EN),
            expires_at=now() + self._flow_life,
            account_id=account.id if account else None,
            asked=f"{typed.kind}:{typed.key}",
            decoy=account is None,
        )


_NOBODY = UUID(int=0)


def _contact(typed: Identifier, account: Holder | None) -> Contact:
    """The phone when a phone was typed, else the email; a stand-in when nobody has the identifier."""
    if typed.kind is Kind.PHONE:
        return Contact(Channel.SMS, typed.key)
    return Contact(Channel.EMAIL, account.email if account else typed.key)
