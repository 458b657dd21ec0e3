"""Who calls, and what a handler is given. `wiring` builds the services behind these.

All of them are coroutines, though some wait for nothing: FastAPI would run a plain function in a thread.
"""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Response
from fastapi.security import HTTPBearer

from app.api.schemas.sessions import SessionOut
from app.api.wiring import Container
from app.core.callers import Caller as CallerOf
from app.core.callers import Origin as OriginOf
from app.core.errors import (
    FieldProblem,
    Invalid,
    InvalidToken,
    PreconditionFailed,
    PreconditionRequired,
    Unauthenticated,
)
from app.core.tokens import BadToken
from app.models.sessions import Delivery
from app.services.access import Grant
from app.services.accounts import AccountService
from app.services.activity import ActivityService
from app.services.claims import ClaimService
from app.services.closing import ClosingService
from app.services.cloud_accounts import CloudAccountService
from app.services.credentials import CredentialService
from app.services.password import PasswordService
from app.services.profile import ProfileService
from app.services.real_name import RealNameService
from app.services.reversals import ReversalService
from app.services.sessions import SessionService
from app.services.settlement import SettlementService

REFRESH_COOKIE = "__Secure-guance_refresh"  # RFC 6265bis §4.1.3.1; `__Host-` would need the path `/`
REFRESH_PATH = "/v1/sessions/refresh"


def container_of(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


def origin_of(request: Request) -> OriginOf:
    """Where the call comes from; behind a proxy the server has put the client's address in place of its own."""
    agent = request.headers.get("user-agent")
    printable = "".join(letter for letter in agent if letter.isprintable())[:256] if agent else None
    return OriginOf(
        ip=request.client.host if request.client else "unknown",
        user_agent=printable,
        request_id=request.state.request_id,
    )


def bearer_of(request: Request) -> str:
    """The token of the request; raises Unauthenticated."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token.strip()


async def caller_of(request: Request) -> CallerOf:
    """The holder behind the access token. Raises Unauthenticated and InvalidToken."""
    try:
        claims = await container_of(request).keys.verify(bearer_of(request))
    except BadToken:
        raise InvalidToken from None
    return CallerOf(claims.account_id, claims.session_id, claims.auth_time, origin_of(request))


class _Holder(HTTPBearer):
    """What the document says of the token, and who it is, in one dependency."""

    async def __call__(self, request: Request) -> CallerOf:  # type: ignore[override]
        return await caller_of(request)


holder = _Holder(scheme_name="HTTPBearer", bearerFormat="JWT", description="Access token of `POST /v1/sessions`.")


async def count_request(request: Request) -> None:
    """Once a request, whoever asks first. Raises TooMany."""
    if not getattr(request.state, "counted", False):
        request.state.counted = True
        await container_of(request).limiting.count(ip=origin_of(request).ip)


async def _origin(request: Request) -> OriginOf:
    return origin_of(request)


Caller = Annotated[CallerOf, Depends(holder)]
Origin = Annotated[OriginOf, Depends(_origin)]
Anonymous = Depends(count_request)  # for a route that needs no login: so many calls an address and minute


async def _accounts(request: Request) -> AccountService:
    return container_of(request).accounts


async def _activity(request: Request) -> ActivityService:
    return container_of(request).activity


async def _claims(request: Request) -> ClaimService:
    return container_of(request).claims


async def _cloud_accounts(request: Request) -> CloudAccountService:
    return container_of(request).cloud_accounts


async def _closing(request: Request) -> ClosingService:
    return container_of(request).closing


async def _credentials(request: Request) -> CredentialService:
    return container_of(request).credentials


async def _password(request: Request) -> PasswordService:
    return container_of(request).password


async def _profile(request: Request) -> ProfileService:
    return container_of(request).profile


async def _real_names(request: Request) -> RealNameService:
    return container_of(request).real_name


async def _reversals(request: Request) -> ReversalService:
    return container_of(request).reversals


async def _sessions(request: Request) -> SessionService:
    return container_of(request).sessions


async def _settlements(request: Request) -> SettlementService:
    return container_of(request).settlement


Accounts = Annotated[AccountService, Depends(_accounts)]
Activity = Annotated[ActivityService, Depends(_activity)]
Claims = Annotated[ClaimService, Depends(_claims)]
CloudAccounts = Annotated[CloudAccountService, Depends(_cloud_accounts)]
Closing = Annotated[ClosingService, Depends(_closing)]
Credentials = Annotated[CredentialService, Depends(_credentials)]
Passwords = Annotated[PasswordService, Depends(_password)]
Profiles = Annotated[ProfileService, Depends(_profile)]
RealNames = Annotated[RealNameService, Depends(_real_names)]
Reversals = Annotated[ReversalService, Depends(_reversals)]
Sessions = Annotated[SessionService, Depends(_sessions)]
Settlements = Annotated[SettlementService, Depends(_settlements)]


class _Pages:
    """One page of a list: `limit` and `cursor` of the request, and what the answer says of the next page."""

    def __init__(self, request: Request, reader: UUID, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self._cursors = container_of(request).cursors
        self._listing = request.url.path
        self._reader = reader
        self._last = self._read(cursor) if cursor is not None else None

    def _read(self, cursor: str) -> bytes:
        last = self._cursors.read(self._listing, self._reader, cursor)
        if last is None:
            raise Invalid(FieldProblem("cursor", "invalid_cursor"))
        return last

    def _next(self, last: bytes) -> str:
        return self._cursors.write(self._listing, self._reader, last)


class Pager(_Pages):
    """Of a list by ids of our own."""

    @property
    def after(self) -> UUID | None:
        return UUID(bytes=self._last) if self._last is not None else None

    def next_cursor(self, ids: list[UUID]) -> str | None:
        """Services give one row more than asked for when there is another page."""
        return self._next(ids[self.limit - 1].bytes) if len(ids) > self.limit else None


class NamePager(_Pages):
    """Of a list by names that others gave."""

    @property
    def after(self) -> str | None:
        return self._last.decode() if self._last is not None else None

    def next_cursor(self, names: list[str]) -> str | None:
        """The same."""
        return self._next(names[self.limit - 1].encode()) if len(names) > self.limit else None


Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=120, description="`next_cursor` of the page before.", examples=[None])]


async def _page(request: Request, caller: Caller, limit: Limit = 20, cursor: Cursor = None) -> Pager:
    return Pager(request, caller.account_id, limit, cursor)


async def _name_page(request: Request, caller: Caller, limit: Limit = 20, cursor: Cursor = None) -> NamePager:
    return NamePager(request, caller.account_id, limit, cursor)


Page = Annotated[Pager, Depends(_page)]
NamePage = Annotated[NamePager, Depends(_name_page)]


async def _versions(
    if_match: Annotated[
        str | None,
        Header(max_length=1000, description="The `ETag` that was edited (RFC 9110 §13.1.1).", examples=['"1"']),
    ] = None,
) -> frozenset[int] | None:
    """The versions that If-Match allows; None for `*`. Raises PreconditionRequired and PreconditionFailed."""
    if if_match is None:
        raise PreconditionRequired
    if if_match.strip() == "*":
        return None
    tags = [tag.strip() for tag in if_match.split(",")]
    versions = {
        int(tag[1:-1]) for tag in tags if tag[:1] == tag[-1:] == '"' and re.fullmatch(r"[1-9][0-9]{0,17}", tag[1:-1])
    }
    if not versions:
        raise PreconditionFailed  # a weak or foreign tag never matches
    return frozenset(versions)


Versions = Annotated[frozenset[int] | None, Depends(_versions)]


def hand_over(response: Response, grant: Grant) -> SessionOut:
    """The answer to a login; the refresh token goes in a cookie that scripts cannot read, unless asked otherwise."""
    in_cookie = grant.delivery is Delivery.COOKIE
    if in_cookie:
        response.set_cookie(
            REFRESH_COOKIE,
            grant.refresh_token,
            max_age=grant.refresh_life,
            path=REFRESH_PATH,
            secure=True,
            httponly=True,
            samesite="strict",
        )
    return SessionOut(
        account_id=grant.account_id,
        session_id=grant.session_id,
        access_token=grant.access_token,
        token_type="Bearer",
        expires_in=grant.expires_in,
        refresh_token=None if in_cookie else grant.refresh_token,
    )


def forget_cookie(response: Response) -> None:
    response.delete_cookie(REFRESH_COOKIE, path=REFRESH_PATH, secure=True, httponly=True, samesite="strict")
