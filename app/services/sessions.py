"""Logging in and out, and keeping a session going."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.core.callers import Caller, Origin
from app.core.clock import now
from app.core.crypto import digest
from app.core.errors import (
    AppError,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidTicket,
    NotFound,
    SessionEnded,
)
from app.core.passwords import PasswordHasher
from app.core.telemetry import LOGIN_FAILURES
from app.models.accounts import Account, Status
from app.models.activity import Action, Actor
from app.models.sessions import Delivery, Ending, Method, Session
from app.models.verification import Purpose
from app.repositories.accounts import Holder
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.access import Access, Grant
from app.services.activity import record
from app.services.admission import Admission, refuse_inactive
from app.services.open_codes import OpenCodes, Sent
from app.services.throttling import Throttling
from app.services.verification import Verification


@dataclass(frozen=True, slots=True)
class SessionView:
    """A live session as its holder sees it."""

    id: UUID
    current: bool
    method: str
    ip: str
    user_agent: str | None
    auth_time: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A counted password attempt: what to compare with, and what to write afterwards."""

    account: Holder | None
    password_hash: str | None


class SessionService:
    """Logins by password, code and ticket; refresh; the list of sessions and their end."""

    def __init__(
        self,
        uow: UnitOfWork,
        *,
        access: Access,
        admission: Admission,
        verification: Verification,
        codes: OpenCodes,
        throttling: Throttling,
        hasher: PasswordHasher,
        grace: timedelta,
        failure_takes: float,
    ) -> None:
        self.uow = uow
        self.access = access
        self.admission = admission
        self.verification = verification
        self.codes = codes
        self.throttling = throttling
        self.hasher = hasher
        self._grace = grace
        self._failure_takes = failure_takes  # seconds

    async def request_code(self, *, identifier: str, origin: Origin) -> Sent:
        """Send a login code to whom the identifier names; the same answer when it names nobody."""
        return await self.codes.ask(identifier=identifier, purpose=Purpose.LOGIN, template="login_code", origin=origin)

    async def log_in_by_password(self, *, identifier: str, password: str, delivery: Delivery, origin: Origin) -> Grant:
        """Raises InvalidCredentials (whatever of it was wrong), LoginSlowed, AccountSuspended and Busy.

        A refusal takes a least time: hashes of other services take longer or shorter than ours, and an account with one
        could be told by it (ASVS 5.0 6.3.8).
        """
        began = _seconds()
        try:
            with _counted(Method.PASSWORD):
                return await self._log_in_by_password(identifier, password, delivery, origin)
        except InvalidCredentials:
            await asyncio.sleep(began + self._failure_takes - _seconds())
            raise

    async def _log_in_by_password(self, identifier: str, password: str, delivery: Delivery, origin: Origin) -> Grant:
        attempt = await self._count_attempt(identifier, origin)
        account, hashed = attempt.account, attempt.password_hash
        right = await self.hasher.verify(password, hashed)
        if account is None or hashed is None or not right:
            await self._note_failure(attempt, origin)
            raise InvalidCredentials
        better = await self.hasher.hash(password) if self.hasher.is_outdated(hashed) else None
        return await self.admission.by_password(account, hashed, better=better, delivery=delivery, origin=origin)

    async def log_in_by_code(self, *, challenge_id: UUID, code: str, delivery: Delivery, origin: Origin) -> Grant:
        """Raises WrongCode, CodeUsed, CodeExpired, TooManyTries and AccountSuspended."""
        with _counted(Method.CODE):
            challenge = await self.verification.check(challenge_id, purpose=Purpose.LOGIN, code=code)
            return await self.admission.by_code(challenge, delivery=delivery, origin=origin)

    async def log_in_by_ticket(self, *, ticket: str, delivery: Delivery, origin: Origin) -> Grant:
        """Raises InvalidTicket and AccountSuspended. The ticket names who asked for it; the trail keeps the login."""
        with _counted(Method.TICKET):
            return await self._redeem(ticket, delivery, origin)

    @retried
    async def _redeem(self, ticket: str, delivery: Delivery, origin: Origin) -> Grant:
        async with self.uow() as uow:
            named = await uow.sessions.ticket(digest(ticket))
            account = await uow.accounts.hold(named.account_id) if named else None
            redeemed = await uow.sessions.redeem_ticket(digest(ticket), now())
            if redeemed is None or account is None or account.status == Status.CLOSED:
                raise InvalidTicket
            refuse_inactive(account)
            opening = self.access.prepare(
                account, method=Method.TICKET, delivery=delivery, origin=origin, name=redeemed.actor
            )
            return self.access.open(uow, opening)

    async def refresh(self, *, token: str, origin: Origin) -> Grant:
        """Exchange the refresh token for the next one and an access token.

        The same token again within the grace gets the same answer (it was lost on the way, or two tabs asked at
        once); later it means that two parties hold it, and the session ends. Raises InvalidRefreshToken.
        """
        session_id = self.access.refresh_tokens.session_of(token)
        if session_id is None:
            raise InvalidRefreshToken
        session, following = await self._rotate(session_id, token)
        if following is not None:
            return self.access.grant(session, following)
        if session.ended_at is not None:
            raise InvalidRefreshToken
        if session.previous_hash == digest(token) and session.successor and self._is_fresh(session):
            return self.access.grant(session, self.access.refresh_tokens.take_over(token, session.successor))
        await self._end_reused(session, origin)
        raise InvalidRefreshToken

    async def page(self, *, caller: Caller, cursor: UUID | None, limit: int) -> list[SessionView]:
        """The live sessions, newest first; one more than `limit` when there is more."""
        with self.uow.rows() as uow:
            rows = await uow.sessions.page(caller, cursor=cursor, limit=limit + 1)
        return [SessionView(current=row.id == caller.session_id, **row._asdict()) for row in rows]

    @retried
    async def log_out(self, *, caller: Caller) -> None:
        await self._end_one(caller, caller.session_id, Ending.LOGOUT)

    @retried
    async def end(self, *, caller: Caller, session_id: UUID) -> None:
        """End one of the caller's sessions; raises NotFound for any other."""
        reason = Ending.LOGOUT if session_id == caller.session_id else Ending.ENDED_BY_HOLDER
        await self._end_one(caller, session_id, reason)

    @retried
    async def end_others(self, *, caller: Caller) -> None:
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            await self.access.end(uow, account.id, reason=Ending.ENDED_BY_HOLDER, keep=caller.session_id)
            record(uow, Action.OTHERS_LOGGED_OUT, account.id, origin=caller.origin, session_id=caller.session_id)

    async def require_live(self, *, caller: Caller) -> None:
        """For a call that loads nothing through its session; raises SessionEnded."""
        with self.uow.rows() as uow:
            if not await uow.sessions.is_live(caller):
                raise SessionEnded

    async def _end_one(self, caller: Caller, session_id: UUID, reason: Ending) -> None:
        async with self.uow() as uow:
            account = await uow.accounts.through_session(caller, hold=True)
            if not await self.access.end(uow, account.id, reason=reason, only=session_id):
                raise SessionEnded if session_id == caller.session_id else NotFound
            record(uow, Action.LOGGED_OUT, account.id, origin=caller.origin, session_id=session_id)

    @retried
    async def _count_attempt(self, identifier: str, origin: Origin) -> _Attempt:
        typed = self.codes.read(identifier)
        async with self.uow.at_once() as uow:
            found = await uow.accounts.find(typed, ip=origin.ip, since=self.codes.known_since)
            failures = await self.throttling.count(uow, typed, found)
        account = found.account if self.throttling.takes_passwords(failures) else None
        usable = account is not None and account.has_password
        return _Attempt(account, account.password_hash if account and usable else None)

    @retried
    async def _note_failure(self, attempt: _Attempt, origin: Origin) -> None:
        """Into the account's trail, or nobody's: the same write for an identifier that nobody has."""
        async with self.uow() as uow:
            account_id = attempt.account.id if attempt.account else None
            record(uow, Action.LOGIN_FAILED, account_id, origin=origin, actor=Actor.UNKNOWN)

    @retried
    async def _rotate(self, session_id: UUID, token: str) -> tuple[Session, str | None]:
        """Exchange the token, if it is the one in force: the session and the next token, None if it was not."""
        async with self.uow() as uow:
            found = await uow.sessions.with_account(session_id)
            if found is None or not _may_refresh(*found):
                raise InvalidRefreshToken
            session, at = found[0], now()
            following = self.access.refresh_tokens.mint(session_id)
            rotated = await uow.sessions.rotate(
                session,
                old=digest(token),
                new=digest(following),
                successor=self.access.refresh_tokens.hand_over(token, following),
                at=at,
                idle_until=at + self.access.idle,
            )
            return (session, following) if rotated else (await uow.sessions.reload(session), None)

    @retried
    async def _end_reused(self, session: Session, origin: Origin) -> None:
        async with self.uow() as uow:
            await uow.accounts.hold(session.account_id)
            if await self.access.end(uow, session.account_id, reason=Ending.TOKEN_REUSED, only=session.id):
                record(
                    uow,
                    Action.TOKEN_REUSED,
                    session.account_id,
                    origin=origin,
                    session_id=session.id,
                    actor=Actor.UNKNOWN,
                )

    def _is_fresh(self, session: Session) -> bool:
        """Whether the answer to the exchange may have got lost on its way."""
        return session.rotated_at is not None and now() <= session.rotated_at + self._grace


@contextmanager
def _counted(method: Method) -> Iterator[None]:
    """Counts a login that was refused, not one that could not be tried."""
    try:
        yield
    except AppError as error:
        if error.status < 500:
            LOGIN_FAILURES.labels(method, error.code).inc()
        raise


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _may_refresh(session: Session, account: Account) -> bool:
    return session.ended_at is None and session.expires_at > now() and account.status == Status.ACTIVE
