"""Slowing down password guessing without locking anybody out (NIST SP 800-63B-4 §3.2.2).

Two counts. What was typed, whether anybody has it or not, is slowed down after a few failures: 1, 2, 4 … seconds.
The account counts consecutive failures over all its identifiers and past the limit takes no password at all, which
looks like a wrong one. A code or a reset proves the holder and clears both. Calls from an address that the account
has logged in from are counted apart, so that a stranger does not slow the holder down.
"""

from datetime import timedelta

from app.core.clock import now
from app.core.contacts import Identifier, Kind
from app.core.crypto import Mac
from app.core.errors import LoginSlowed, seconds_until
from app.core.limits import Limits
from app.models.accounts import Account
from app.models.verification import Lane
from app.repositories.accounts import Found, Holder
from app.repositories.throttles import Attempt, Counted
from app.repositories.unit_of_work import Work

_MEMORY = timedelta(days=1)  # without a failure for so long, what was typed is forgotten
_LONG_MEMORY = timedelta(days=3650)  # consecutive failures of an account do not wear off by time
_LANES = (Lane.OPEN, Lane.KNOWN)


class Throttling:
    def __init__(self, secret: bytes, limits: Limits) -> None:
        self._mac = Mac(secret, "login-throttle")
        self._limits = limits
        free, longest = limits.login_free_failures, limits.login_delay_max_seconds
        delays = [min(2**doublings, longest) for doublings in range(longest.bit_length() + 1)]
        self._waits = [timedelta(seconds=seconds) for seconds in (*[0] * (free - 1), *delays)]

    async def count(self, uow: Work, identifier: Identifier, found: Found) -> int:
        """Count the attempt as a failure before it is looked at; how many the account has in a row.

        An identifier that nobody has is counted in the same two places. Raises LoginSlowed when it comes too early.
        """
        attempt = Attempt(
            typed=self._key(identifier, lane_of(found)),
            typed_memory=_MEMORY,
            account=self._overall(identifier, found.account),
            account_memory=_LONG_MEMORY if found.account else _MEMORY,
        )
        failures = await uow.throttles.attempt(attempt, waits=self._waits)
        if failures is None:
            raise await self._slowed(uow, attempt.typed)
        return failures[1]

    def takes_passwords(self, failures: int) -> bool:
        """Whether an account with so many consecutive failures still takes a password."""
        return failures <= self._limits.login_max_failures

    async def forgive(self, uow: Work, account: Account | Holder) -> None:
        """The holder is in: all that was counted against the account is forgotten."""
        await uow.throttles.forget(self.counted(account))

    def counted(self, account: Account | Holder) -> Counted:
        """What everything is counted under that is counted against the account."""
        identifiers = _identifiers_of(account)
        typed = [self._key(identifier, lane) for identifier in identifiers for lane in _LANES]
        return Counted(sorted(typed), self._overall(identifiers[0], account))

    async def _slowed(self, uow: Work, key: bytes) -> LoginSlowed:
        at = now()
        until = await uow.throttles.next_at(key) or at
        limits = self._limits
        return LoginSlowed(
            retry_after=seconds_until(until, at),
            limit=limits.login_free_failures,
            window=limits.login_delay_max_seconds,
            policy="login-failures",
        )

    def _overall(self, identifier: Identifier, account: Account | Holder | None) -> bytes:
        """Of the account; of what was typed where there is none."""
        return self._mac.of("account", account.id.hex if account else f"{identifier.kind}:{identifier.key}")

    def _key(self, identifier: Identifier, lane: Lane) -> bytes:
        return self._mac.of(identifier.kind, identifier.key, lane)


def lane_of(found: Found) -> Lane:
    return Lane.KNOWN if found.known_address else Lane.OPEN


def _identifiers_of(account: Account | Holder) -> list[Identifier]:
    identifiers = [Identifier(Kind.USERNAME, account.username_key), Identifier(Kind.EMAIL, account.email_key)]
    return [*identifiers, Identifier(Kind.PHONE, account.phone)] if account.phone else identifiers
