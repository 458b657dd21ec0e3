"""The password: change, set the first one, reset."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from fastapi.openapi.models import Example
from pydantic import Discriminator, Tag

from app.api.answers import LIMITED, LOGGED_IN, WITH_BODY, problems
from app.api.deps import Anonymous, Caller, Origin, Passwords
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.base import ResetPath
from app.api.schemas.password import (
    ChangePasswordIn,
    ConfirmResetIn,
    FirstPasswordIn,
    PasswordCodeIn,
    PasswordCodeOut,
    ResetIn,
    ResetOut,
    SecurityOut,
)
from app.core.errors import (
    Busy,
    CodeExpired,
    CodeUsed,
    CredentialsMoved,
    NoOtherCredential,
    NoPassword,
    NotFound,
    PasswordExists,
    PasswordRefused,
    ResendTooSoon,
    TooManySends,
    TooManyTries,
    WrongCode,
    WrongPassword,
)
from app.models.credentials import Credential

router = APIRouter(tags=["password"], route_class=Route)
codes = APIRouter(tags=["password"], route_class=IdempotentRoute)
resets = APIRouter(tags=["password"], route_class=IdempotentRoute, dependencies=[Anonymous])
ROUTERS = (router, codes, resets)

_CODE = (WrongCode, CodeUsed, CodeExpired, TooManyTries)


def _which(body: Any) -> str:
    is_first = "challenge_id" in body if isinstance(body, dict) else isinstance(body, FirstPasswordIn)
    return "first" if is_first else "current"


PasswordIn = Annotated[
    Annotated[ChangePasswordIn, Tag("current")] | Annotated[FirstPasswordIn, Tag("first")], Discriminator(_which)
]

_EXAMPLES: dict[str, Example] = {
    "change": {
        "summary": "Change it",
        "value": {"current_password": "correct horse battery staple", "new_password": "trombone giraffe sandbox"},
    },
    "first": {
        "summary": "Set the first one",
        "value": {
            "challenge_id": "chlg_0193b5c27d3e7a41b4d2c9f1e8a60b57",
            "code": "493027",
            "new_password": "trombone giraffe sandbox",
        },
    },
}


@router.get(
    "/v1/account/security",
    summary="The security page",
    description="Whether there is a password, since when, and the contacts that can prove the holder.",
    responses=problems(*LOGGED_IN),
)
async def get_security(caller: Caller, passwords: Passwords) -> SecurityOut:
    return SecurityOut.model_validate(await passwords.security(caller=caller), from_attributes=True)


@codes.post(
    "/v1/account/password-codes",
    status_code=202,
    summary="Ask for a code to set the first password",
    description="For an account without a password; sent to its email or phone.",
    responses=problems(*WITH_BODY, *LOGGED_IN, PasswordExists, NoOtherCredential, ResendTooSoon, TooManySends),
)
async def request_first_password_code(body: PasswordCodeIn, caller: Caller, passwords: Passwords) -> PasswordCodeOut:
    sent = await passwords.request_first(caller=caller, credential=Credential(body.credential))
    return PasswordCodeOut(
        challenge_id=sent.id, expires_at=sent.expires_at, resend_at=sent.resend_at, sent_to=sent.sent_to or ""
    )


@router.put(
    "/v1/account/password",
    status_code=204,
    summary="Set the password",
    description="With the current one; or, for an account that has none, with a code of "
    "`POST /v1/account/password-codes`. Every other session ends and the holder is told.",
    responses=problems(
        *WITH_BODY,
        *LOGGED_IN,
        *_CODE,
        WrongPassword,
        PasswordRefused,
        NoPassword,
        PasswordExists,
        CredentialsMoved,
        Busy,
    ),
)
async def set_password(
    body: Annotated[PasswordIn, Body(openapi_examples=_EXAMPLES)], caller: Caller, passwords: Passwords
) -> None:
    if isinstance(body, ChangePasswordIn):
        await passwords.change(caller=caller, current=body.current_password, new=body.new_password)
    else:
        await passwords.set_first(caller=caller, challenge_id=body.challenge_id, code=body.code, new=body.new_password)


@resets.post(
    "/v1/password-resets",
    status_code=202,
    summary="I forgot my password",
    description="Sends a code to the email, or to the phone when that was typed. An identifier that nobody has is "
    "answered alike.",
    responses=problems(*WITH_BODY, *LIMITED, ResendTooSoon, TooManySends),
)
async def request_password_reset(body: ResetIn, passwords: Passwords, origin: Origin) -> ResetOut:
    sent = await passwords.request_reset(identifier=body.identifier, origin=origin)
    return ResetOut(id=sent.id, expires_at=sent.expires_at, resend_at=sent.resend_at)


@resets.post(
    "/v1/password-resets/{id}/confirm",
    status_code=204,
    summary="Set a new password with the code",
    description="Every session ends and the holder is told.",
    responses=problems(*WITH_BODY, *LIMITED, *_CODE, NotFound, PasswordRefused, CredentialsMoved, Busy),
)
async def confirm_password_reset(
    id: Annotated[ResetPath, Path(description="`id` of the reset.")],
    body: ConfirmResetIn,
    passwords: Passwords,
    origin: Origin,
) -> None:
    await passwords.reset(reset_id=id, code=body.code, new=body.new_password, origin=origin)
