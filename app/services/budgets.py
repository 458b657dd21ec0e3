"""Which budgets an act is charged to. `docs/configuration.md` gives the figures and where they come from."""

from collections.abc import Sequence
from datetime import timedelta

from app.core import masking
from app.core.clock import now
from app.core.crypto import Mac
from app.core.errors import ResendTooSoon, TooMany, TooManySends, seconds_until
from app.core.limits import Limits
from app.core.telemetry import REFUSALS
from app.models.verification import Challenge, Channel, Lane, Purpose
from app.repositories.budgets import Charge, Overdrawn
from app.repositories.unit_of_work import Work

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_TARGET = "target-sends"


class Budgets:
    """Keys are HMACs, so that the table of counters names nobody."""

    def __init__(self, secret: bytes, limits: Limits) -> None:
        self._mac = Mac(secret, "budgets")
        self._limits = limits

    def sending(
        self, *, purpose: Purpose, lane: Lane, asked: str, target: str, channel: Channel, ip: str
    ) -> list[Charge]:
        """What one message costs. `asked` is what the caller typed, `target` where the message goes."""
        limits = self._limits
        charges = [
            self._charge("gap", purpose, lane, asked, limit=1, window=limits.resend_gap),
            self._charge("sends", lane, asked, limit=limits.daily_sends_per_target, window=_DAY),
            self._charge(_TARGET, lane, target, limit=limits.daily_sends_per_target, window=_DAY),
            self._charge("ip-sends", ip, limit=limits.hourly_sends_per_ip, window=_HOUR),
        ]
        if channel is Channel.SMS:
            dial_code = masking.dial_code(target)
            charges.append(self._charge("ip-sms", ip, limit=limits.hourly_sms_per_ip, window=_HOUR))
            charges.append(self._charge("dial-code", dial_code, limit=limits.daily_sms_per_dial_code, window=_DAY))
        return charges

    def trying(self, challenge: Challenge) -> list[Charge]:
        """What one guess costs, whatever challenge or flow it is made in."""
        limit, lane = self._limits.daily_tries, challenge.lane
        whose = challenge.account_id.hex if challenge.account_id else challenge.slot.hex()
        return [
            self._charge("account-tries", lane, whose, limit=limit, window=_DAY),
            self._charge("target-tries", lane, challenge.target or whose, limit=limit, window=_DAY),
        ]

    def password_tries(self, account_id: str) -> Charge:
        """A logged-in caller guessing the current password."""
        return self._charge("password-tries", account_id, limit=self._limits.flow_tries, window=_HOUR)

    def typed_instances(self, account_id: str) -> Charge:
        """A holder typing what was bought on a marketplace."""
        return self._charge("typed-instances", account_id, limit=self._limits.daily_typed_instances, window=_DAY)

    def mismatches(self, account_id: str, document_hash: bytes) -> list[Charge]:
        """A submission that a provider may find to be wrong: each may be paid for."""
        limits = self._limits
        return [
            self._charge("account-mismatches", account_id, limit=limits.daily_mismatches_per_account, window=_DAY),
            self._charge(
                "document-mismatches", document_hash.hex(), limit=limits.daily_mismatches_per_document, window=_DAY
            ),
        ]

    async def give_mismatches_back(self, uow: Work, account_id: str, document_hash: bytes) -> None:
        """A submission that was counted beforehand is no mismatch."""
        await uow.budgets.give_back([charge.key for charge in self.mismatches(account_id, document_hash)])

    def requests(self, ip: str) -> Charge:
        """A call without a login."""
        minute = timedelta(minutes=1)
        return self._charge("requests", ip, limit=self._limits.anonymous_requests_per_minute, window=minute)

    def _charge(self, name: str, *subject: str, limit: int, window: timedelta) -> Charge:
        return Charge(name, self._mac.of(name, *subject), limit, window)


def refuse_sending(overdrawn: Sequence[Overdrawn], *, silent: bool) -> bool:
    """Raise for a send that is over a budget; True when it must go to nobody instead.

    `silent`: the caller typed an identifier and may not learn that two of them lead to the same contact, so the
    budget of the contact itself is never told.
    """
    told = [over for over in overdrawn if not (silent and over.charge.name == _TARGET)]
    if told:
        longest = max(told, key=lambda over: over.until)
        raise refusal(ResendTooSoon if longest.charge.name == "gap" else TooManySends, told)
    if overdrawn:
        REFUSALS.labels(_TARGET, "no").inc()
    return bool(overdrawn)


def refusal(kind: type[TooMany], overdrawn: Sequence[Overdrawn]) -> TooMany:
    """The 429 for what is overdrawn: of several, the one that lasts longest."""
    longest = max(overdrawn, key=lambda over: over.until)
    return kind(
        retry_after=seconds_until(longest.until, now()),
        limit=longest.charge.limit,
        window=int(longest.charge.window.total_seconds()),
        policy=longest.charge.name,
    )
