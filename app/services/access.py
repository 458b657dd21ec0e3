"""Who is in: opening sessions, ending them, and shutting everything else when credentials move."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.core import ids
from app.core.callers import Origin
from app.core.clock import now
from app.core.crypto import digest
from app.core.telemetry import SESSIONS
from app.core.tokens import RefreshTokens, Tokens
from app.models.accounts import Account
from app.models.activity import Action, Activity
from app.models.sessions import Delivery, Ending, Method, Session
from app.repositories.accounts import Holder
from app.repositories.unit_of_work import Work
from app.services.activity import entry
from app.services.change_notices import ChangeNotices


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login gives. `refresh_life` in seconds."""

    account_id: UUID
    session_id: UUID
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_life: int
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Opening:
    """A session that is about to begin: its rows, and what its holder will get."""

    session: Session
    entry: Activity
    grant: Grant


class Access:
    """Shared by every service that lets somebody in or puts somebody out."""

    def __init__(
        self,
        tokens: Tokens,
        refresh_tokens: RefreshTokens,
        notices: ChangeNotices,
        *,
        idle: timedelta,
        longest: timedelta,
    ) -> None:
        self.tokens = tokens
        self.refresh_tokens = refresh_tokens
        self.notices = notices
        self.idle = idle
        self._longest = longest

    def open(self, uow: Work, opening: Opening) -> Grant:
        """Begin the session, and write down that it began, with the transaction."""
        uow.sessions.add(opening.session)
        uow.activity.add(opening.entry)
        uow.after.append(SESSIONS.labels(opening.session.method).inc)
        return opening.grant

    def opened(self, opening: Opening) -> Grant:
        """It has begun already."""
        SESSIONS.labels(opening.session.method).inc()
        return opening.grant

    def prepare(
        self,
        account: Account | Holder,
        *,
        method: Method,
        delivery: Delivery,
        origin: Origin,
        action: Action = Action.LOGGED_IN,
        name: str | None = None,
    ) -> Opening:
        """A session that may begin, and its line in the trail; `name` is the person, where a service said who it is."""
        at, session_id = now(), ids.new()
        refresh_token = self.refresh_tokens.mint(session_id)
        session = Session(
            id=session_id,
            account_id=account.id,
            method=method,
            delivery=delivery,
            ip=origin.ip,
            user_agent=origin.user_agent,
            auth_time=at,
            last_used_at=at,
            expires_at=at + min(self.idle, self._longest),
            final_at=at + self._longest,
            refresh_hash=digest(refresh_token),
        )
        written = entry(action, account.id, origin=origin, session_id=session_id, new=method, name=name)
        return Opening(session, written, self.grant(session, refresh_token))

    def grant(self, session: Session, refresh_token: str) -> Grant:
        """A fresh access token beside the refresh token now in force."""
        at = now()
        return Grant(
            account_id=session.account_id,
            session_id=session.id,
            access_token=self.tokens.sign(
                account_id=session.account_id, session_id=session.id, auth_time=session.auth_time
            ),
            expires_in=self.tokens.life_seconds,
            refresh_token=refresh_token,
            refresh_life=int((min(at + self.idle, session.final_at) - at).total_seconds()),
            delivery=Delivery(session.delivery),
        )

    async def end(
        self, uow: Work, account_id: UUID, *, reason: Ending, only: UUID | None = None, keep: UUID | None = None
    ) -> list[UUID]:
        """End sessions (one, or all but one); which those were. The credential changes that they started end too.

        A change that only waits was proven to its end already: its holder may log out meanwhile.
        """
        ended = await uow.sessions.end(account_id, reason=reason, at=now(), only=only, keep=keep)
        if ended:
            cancelled = await uow.changes.cancel_of_sessions(ended, waiting=reason is not Ending.LOGOUT)
            await self.notices.waiting_cancelled(uow, cancelled)
        return ended

    async def shut(self, uow: Work, account_id: UUID, *, reason: Ending, keep: UUID | None) -> None:
        """Credentials moved: every other session ends, and so do all open codes, tickets and credential changes."""
        await self.end(uow, account_id, reason=reason, keep=keep)
        await self.notices.waiting_cancelled(uow, await uow.changes.cancel_all(account_id))
        await uow.challenges.close_all(account_id, now())
        await uow.sessions.void_tickets(account_id, now())
