"""One-time codes: the one service behind registration, login, reset and credential changes.

A guess is counted and committed first, then compared in constant time, and the code is consumed with a guard in the
transaction of what it allows: so neither a rolled-back failure nor a race gives a free guess or a second use.
(NIST SP 800-63B-4 §3.1.3.2 on one-time codes, ASVS 5.0 6.5 and 6.6.)
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.core import ids, masking
from app.core.callers import Origin
from app.core.clock import now
from app.core.contacts import country_of
from app.core.crypto import Mac
from app.core.errors import AppError, CodeExpired, CodeUsed, TooManySends, TooManyTries, WrongCode, seconds_until
from app.core.limits import Limits
from app.core.telemetry import CODES_ENTERED
from app.models.verification import Challenge, Channel, Lane, Purpose
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.budgets import Budgets, refusal, refuse_sending
from app.services.notices import NOBODY, Contact, Notices

CODE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Letter:
    """The message that carries a code."""

    template: str
    locale: str
    params: dict[str, str] = field(default_factory=dict)
    with_code: bool = True  # False: its receiver is told something instead, and no code is right


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whom. One code is live in a `slot` at a time."""

    purpose: Purpose
    lane: Lane
    slot: tuple[str, ...]
    contact: Contact
    letter: Letter
    expires_at: datetime  # of the flow; the code itself may end earlier
    account_id: UUID | None = None
    asked: str | None = None  # what the caller typed, where that is not the contact itself
    decoy: bool = False  # nobody has the contact: everything happens but the delivery
    tries: int = 0  # made in this flow already
    sends: int = 0


class Verification:
    """Opens challenges, sends codes again, checks them."""

    def __init__(self, uow: UnitOfWork, *, secret: bytes, limits: Limits, budgets: Budgets, notices: Notices) -> None:
        self.uow = uow
        self._codes = Mac(secret, "verification-codes")
        self._slots = Mac(secret, "verification-slots")
        self._limits = limits
        self._budgets = budgets
        self._notices = notices

    async def open(self, uow: Work, question: Question, origin: Origin) -> Challenge:
        """Send a code. Raises ResendTooSoon and TooManySends; inside the caller's transaction."""
        if question.sends >= self._limits.flow_sends:
            raise self._flow_is_spent(question.expires_at)
        contact = await self._pay(uow, question, origin)
        at, slot = now(), self._slots.of(*question.slot)
        await uow.challenges.close_slot(slot, at)
        challenge = Challenge(
            id=ids.new(),
            purpose=question.purpose,
            lane=question.lane,
            slot=slot,
            account_id=question.account_id,
            channel=contact.channel,
            target=contact.address,
            code_sent_at=at,
            code_expires_at=min(at + self._limits.code_life, question.expires_at),
            tries=question.tries,
            code_tries=0,
            sends=question.sends + 1,
            expires_at=question.expires_at,
        )
        challenge.code_mac = self._write(uow, challenge, contact, question.letter, challenge.code_expires_at)
        await uow.challenges.add(challenge)
        return challenge

    async def send_again(self, uow: Work, challenge: Challenge, letter: Letter, origin: Origin) -> Challenge:
        """Another code in the place of the last. Raises ResendTooSoon, TooManySends, CodeUsed, CodeExpired."""
        at = now()
        if challenge.closed_at is not None:
            raise CodeUsed
        if challenge.expires_at <= at:
            raise CodeExpired
        contact = Contact(Channel(challenge.channel), challenge.target)
        purpose, lane = Purpose(challenge.purpose), Lane(challenge.lane)
        charges = self._budgets.sending(
            purpose=purpose,
            lane=lane,
            asked=contact.address,
            target=contact.address,
            channel=contact.channel,
            ip=origin.ip,
        )
        refuse_sending(await uow.budgets.take(charges), silent=False)
        expires_at = min(at + self._limits.code_life, challenge.expires_at)
        mac = self._write(uow, challenge, contact, letter, expires_at)
        sent = await uow.challenges.replace_code(
            challenge, mac=mac, at=at, expires_at=expires_at, sends=self._limits.flow_sends
        )
        if sent is None:
            raise self._flow_is_spent(challenge.expires_at)
        return sent

    @retried
    async def check(
        self, challenge_id: UUID, *, purpose: Purpose, code: str, account_id: UUID | None = None
    ) -> Challenge:
        """The challenge that `code` answers, still to be consumed.

        Raises WrongCode, TooManyTries, CodeExpired (also for what is none of `account_id`) and CodeUsed.
        """
        at, limits = now(), self._limits
        async with self.uow() as uow:
            challenge = await uow.challenges.count_try(
                challenge_id, purpose=purpose, at=at, code_tries=limits.code_tries, flow_tries=limits.flow_tries
            )
            if challenge is None or account_id not in (None, challenge.account_id):
                found = await uow.challenges.get(challenge_id)
                reason = self._reason(found, purpose, account_id, at)
                _count(found, reason.code)
                raise reason
            overdrawn = await uow.budgets.take(self._budgets.trying(challenge))
        if overdrawn:
            _count(challenge, TooManyTries.code)
            raise refusal(TooManyTries, overdrawn)
        if not self._codes.matches(challenge.code_mac, *_bound_to(challenge), code):
            _count(challenge, WrongCode.code)
            raise WrongCode(tries_left=self.tries_left(challenge))
        _count(challenge, "right")
        return challenge

    async def consume(self, uow: Work, challenge: Challenge) -> None:
        """Use the code up, in the transaction of what it allows. Raises CodeUsed when another did."""
        if not await uow.challenges.consume(challenge, now()):
            raise CodeUsed
        await uow.budgets.give_back(self.counters(challenge))

    def counters(self, challenge: Challenge) -> list[bytes]:
        """The budgets that a guess is charged to."""
        return [charge.key for charge in self._budgets.trying(challenge)]

    @retried
    async def release(self, challenge: Challenge) -> None:
        """The code was right but what came with it was not: give the try back, so that the holder can correct it."""
        async with self.uow() as uow:
            await uow.challenges.give_back(challenge.id)
            await uow.budgets.give_back(self.counters(challenge))

    def tries_left(self, challenge: Challenge) -> int:
        limits = self._limits
        return max(0, min(limits.code_tries - challenge.code_tries, limits.flow_tries - challenge.tries))

    def resend_at(self, challenge: Challenge) -> datetime:
        return challenge.code_sent_at + self._limits.resend_gap

    async def _pay(self, uow: Work, question: Question, origin: Origin) -> Contact:
        """Charge the budgets; where the code really goes. A decoy costs the same."""
        contact = question.contact
        charges = self._budgets.sending(
            purpose=question.purpose,
            lane=question.lane,
            asked=question.asked or contact.address,
            target=contact.address,
            channel=contact.channel,
            ip=origin.ip,
        )
        unheard = refuse_sending(await uow.budgets.take(charges), silent=question.asked is not None)
        return NOBODY if unheard or question.decoy else contact

    def _write(self, uow: Work, challenge: Challenge, contact: Contact, letter: Letter, expires_at: datetime) -> bytes:
        """Put the message in the outbox; the HMAC of its code. A code for nobody is made and forgotten."""
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        params = {
            "target": masking.contact(contact.address) or "",
            "minutes": str(self._limits.code_life_seconds // 60),
        }
        self._notices.write(
            uow,
            contact,
            letter.template,
            letter.locale,
            params | letter.params,
            secrets={"code": code} if letter.with_code else None,
            expires_at=expires_at,
        )
        return self._codes.of(*_bound_to(challenge), code)

    def _reason(self, challenge: Challenge | None, purpose: Purpose, account_id: UUID | None, at: datetime) -> AppError:
        if challenge is None or challenge.purpose != purpose or account_id not in (None, challenge.account_id):
            return CodeExpired()  # or forgotten long ago, which cannot be told apart
        if challenge.closed_at is not None:
            return CodeUsed()
        if challenge.code_expires_at <= at:
            return CodeExpired()
        return TooManyTries(
            retry_after=seconds_until(challenge.code_expires_at, at),
            limit=self._limits.code_tries,
            window=self._limits.code_life_seconds,
            policy="code-tries",
        )

    def _flow_is_spent(self, ends_at: datetime) -> TooManySends:
        limits = self._limits
        return TooManySends(
            retry_after=seconds_until(ends_at, now()),
            limit=limits.flow_sends,
            window=limits.flow_life_seconds,
            policy="flow-sends",
        )


def _count(challenge: Challenge | None, outcome: str) -> None:
    """A code that somebody entered; without a challenge it is nobody's."""
    channel, target = (challenge.channel, challenge.target) if challenge else (Channel.NONE, "")
    CODES_ENTERED.labels(channel, country_of(target), outcome).inc()


def _bound_to(challenge: Challenge) -> tuple[str, str, str, str]:
    """What a code is good for and nothing else: this challenge, purpose, account and target."""
    account = challenge.account_id.hex if challenge.account_id else ""
    return challenge.id.hex, challenge.purpose, account, challenge.target
