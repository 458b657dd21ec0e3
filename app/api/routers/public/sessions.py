"""Logging in and out; the sessions of an account."""

from typing import Annotated

from fastapi import APIRouter, Body, Cookie, Path, Response
from fastapi.openapi.models import Example

from app.api.answers import LIMITED, LOGGED_IN, WITH_BODY, problems
from app.api.deps import (
    REFRESH_COOKIE,
    REFRESH_PATH,
    Anonymous,
    Caller,
    Origin,
    Page,
    Sessions,
    forget_cookie,
    hand_over,
)
from app.api.logins import log_in
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.base import SessionPath
from app.api.schemas.sessions import (
    ChallengeOut,
    LoginCodeIn,
    LoginIn,
    OneSessionOut,
    RefreshIn,
    SessionOut,
    SessionsOut,
)
from app.core.errors import (
    AccountSuspended,
    Busy,
    CodeExpired,
    CodeUsed,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidTicket,
    LoginSlowed,
    MethodNotAllowed,
    NotFound,
    NotReady,
    ResendTooSoon,
    TooManySends,
    TooManyTries,
    WrongCode,
)

codes = APIRouter(tags=["sessions"], route_class=IdempotentRoute, dependencies=[Anonymous])
logins = APIRouter(tags=["sessions"], route_class=Route, dependencies=[Anonymous])
router = APIRouter(tags=["sessions"], route_class=Route)
ROUTERS = (codes, logins, router)

_EXAMPLES: dict[str, Example] = {
    "password": {
        "summary": "By password",
        "value": {"method": "password", "identifier": "acme", "password": "correct horse battery staple"},
    },
    "code": {
        "summary": "By code",
        "value": {"method": "code", "challenge_id": "chlg_0193b5c27d3e7a41b4d2c9f1e8a60b57", "code": "493027"},
    },
    "ticket": {
        "summary": "By ticket",
        "value": {"method": "ticket", "ticket": "kM3vXq0nYp9fJw2sT7uZc5bA8dE1gH4iLoRtVxNyQ6Q"},
    },
}

_REFRESH: dict[str, Example] = {
    "body": {
        "summary": "Without a cookie",
        "value": {"refresh_token": "AaIIcNwndwyUH3nvMat06kv6nkmMexUlBjNhSrXoJdUs3fxfCVqcJO0L"},
    }
}


@codes.post(
    "/v1/login-codes",
    status_code=202,
    summary="Ask for a login code",
    description="Sent to the email, or to the phone when that was typed. An identifier that nobody has is answered "
    "alike.",
    responses=problems(*WITH_BODY, *LIMITED, ResendTooSoon, TooManySends),
)
async def request_login_code(body: LoginCodeIn, sessions: Sessions, origin: Origin) -> ChallengeOut:
    sent = await sessions.request_code(identifier=body.identifier, origin=origin)
    return ChallengeOut(challenge_id=sent.id, expires_at=sent.expires_at, resend_at=sent.resend_at)


@logins.post(
    "/v1/sessions",
    status_code=201,
    summary="Log in",
    description="By password, by code or by ticket. After five failures password logins slow down; a code always "
    "works.",
    responses=problems(
        *WITH_BODY,
        *LIMITED,
        InvalidCredentials,
        InvalidTicket,
        AccountSuspended,
        LoginSlowed,
        WrongCode,
        CodeUsed,
        CodeExpired,
        TooManyTries,
        Busy,
        NotReady,
    ),
)
async def create_session(
    body: Annotated[LoginIn, Body(openapi_examples=_EXAMPLES)], sessions: Sessions, origin: Origin, response: Response
) -> SessionOut:
    return hand_over(response, await log_in(sessions, body, origin))


@logins.post(
    REFRESH_PATH,
    summary="Refresh",
    description="Exchanges the refresh token, from the cookie or the body, for the next one and an access token. "
    "A token that was exchanged before ends the session, but for a few seconds of grace.",
    responses=problems(*WITH_BODY, *LIMITED, InvalidRefreshToken, NotReady),
)
async def refresh_session(
    sessions: Sessions,
    origin: Origin,
    response: Response,
    body: Annotated[RefreshIn | None, Body(openapi_examples=_REFRESH)] = None,
    cookie: Annotated[str | None, Cookie(alias=REFRESH_COOKIE, description="Set by a login.")] = None,
) -> SessionOut:
    token = body.refresh_token if body else cookie or ""
    return hand_over(response, await sessions.refresh(token=token, origin=origin))


@router.get(
    "/v1/sessions",
    summary="Where am I logged in?",
    description="The live sessions, newest first.",
    responses=problems(*LOGGED_IN),
)
async def list_sessions(caller: Caller, sessions: Sessions, page: Page) -> SessionsOut:
    found = await sessions.page(caller=caller, cursor=page.after, limit=page.limit)
    items = [OneSessionOut.model_validate(one, from_attributes=True) for one in found[: page.limit]]
    return SessionsOut(items=items, next_cursor=page.next_cursor([one.id for one in found]))


@router.delete(
    "/v1/sessions",
    status_code=204,
    summary="Log out everywhere else",
    description="Ends every session but this one.",
    responses=problems(*LOGGED_IN),
)
async def end_other_sessions(caller: Caller, sessions: Sessions) -> None:
    await sessions.end_others(caller=caller)


@router.delete(
    "/v1/sessions/current",
    status_code=204,
    summary="Log out",
    description="Ends this session and the credential changes that it started.",
    responses=problems(*LOGGED_IN),
)
async def end_current_session(caller: Caller, sessions: Sessions, response: Response) -> None:
    await sessions.log_out(caller=caller)
    forget_cookie(response)


@router.delete(REFRESH_PATH, include_in_schema=False)
async def refuse_to_delete_refresh() -> None:
    """`refresh` is no id: without this the route below would take it for one."""
    raise MethodNotAllowed


@router.delete(
    "/v1/sessions/{id}",
    status_code=204,
    summary="Log out somewhere",
    description="Ends one of the account's sessions.",
    responses=problems(*LOGGED_IN, NotFound),
)
async def end_session(
    id: Annotated[SessionPath, Path(description="`id` of the session.")], caller: Caller, sessions: Sessions
) -> None:
    await sessions.end(caller=caller, session_id=id)
