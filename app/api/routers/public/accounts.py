"""Registration, and who am I."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.api.answers import LIMITED, LOGGED_IN, WITH_BODY, problems
from app.api.deps import Accounts, Anonymous, Caller, Closing, Origin, forget_cookie, hand_over
from app.api.routes import IdempotentRoute, Route
from app.api.schemas.accounts import AccountOut, ConfirmRegistrationIn, RegistrationIn, SentOut, UsernameOut
from app.api.schemas.base import RegistrationPath, Username
from app.api.schemas.sessions import SessionOut
from app.api.texts import choose_locale
from app.core.errors import (
    Busy,
    ClosingRefused,
    ClosingUndecided,
    CodeExpired,
    CodeUsed,
    EmailTaken,
    FreshLoginRequired,
    NotFound,
    NotReady,
    PasswordRefused,
    RegistrationExpired,
    ResendTooSoon,
    TooManySends,
    TooManyTries,
    UsernameTaken,
    WrongCode,
)
from app.models.sessions import Delivery

router = APIRouter(tags=["registration"], route_class=IdempotentRoute, dependencies=[Anonymous])
confirming = APIRouter(tags=["registration"], route_class=Route, dependencies=[Anonymous])
account = APIRouter(tags=["account"], route_class=Route)
ROUTERS = (router, confirming, account)

_CONTACTS = {"username", "email", "phone"}
_PROFILE = {"company_name", "industry", "region", "company_description", "contact_name"}
RegistrationId = Annotated[RegistrationPath, Path(description="`id` of the registration.")]


@router.post(
    "/v1/registrations",
    status_code=202,
    summary="Register",
    description="Sends a code to the email; the account is made when it comes back. An email that has an account "
    "already is answered alike, and its owner is told. A phone is asked for its own code after the registration, "
    "as an open credential change of the new account.",
    responses=problems(*WITH_BODY, *LIMITED, UsernameTaken, PasswordRefused, ResendTooSoon, TooManySends, Busy),
)
async def register(body: RegistrationIn, request: Request, accounts: Accounts, origin: Origin) -> SentOut:
    locale = body.locale or choose_locale(request.headers.get("accept-language"))
    contacts = body.model_dump(include=_CONTACTS)
    profile = body.model_dump(include=_PROFILE) | {"locale": locale}
    sent = await accounts.register(**contacts, password=body.password, profile=profile, origin=origin)
    return SentOut.model_validate(sent, from_attributes=True)


@router.post(
    "/v1/registrations/{id}/resend",
    status_code=202,
    summary="Send the registration's code again",
    description="Another code takes the place of the last one.",
    responses=problems(*LIMITED, NotFound, CodeUsed, CodeExpired, RegistrationExpired, ResendTooSoon, TooManySends),
)
async def resend_registration(id: RegistrationId, accounts: Accounts, origin: Origin) -> SentOut:
    sent = await accounts.send_again(registration_id=id, origin=origin)
    return SentOut.model_validate(sent, from_attributes=True)


@router.get(
    "/v1/usernames/{username}",
    summary="Is this username free?",
    description="Without regard to case.",
    responses=problems(*LIMITED),
)
async def get_username(
    username: Annotated[Username, Path(description="As it would be registered.")], accounts: Accounts
) -> UsernameOut:
    return UsernameOut(username=username, available=await accounts.is_username_free(username=username))


@confirming.post(
    "/v1/registrations/{id}/confirm",
    status_code=201,
    summary="Prove the email and log in",
    description="Makes the account and its first session.",
    responses=problems(
        *WITH_BODY,
        *LIMITED,
        NotFound,
        WrongCode,
        CodeUsed,
        CodeExpired,
        TooManyTries,
        RegistrationExpired,
        UsernameTaken,
        EmailTaken,
        NotReady,
    ),
)
async def confirm_registration(
    id: RegistrationId, body: ConfirmRegistrationIn, accounts: Accounts, origin: Origin, response: Response
) -> SessionOut:
    delivery = Delivery(body.refresh_token_delivery)
    grant = await accounts.confirm(registration_id=id, code=body.code, delivery=delivery, origin=origin)
    return hand_over(response, grant)


@account.post(
    "/v1/account/closure",
    status_code=204,
    summary="Close the account for good",
    description="Needs a login of the last 10 minutes. Refused with every condition against it: `bound_workspaces`, "
    "`arrears`, `unsettled_bills`, `recent_credential_change`. The login stops, and what is personal is erased.",
    responses=problems(*LOGGED_IN, FreshLoginRequired, ClosingRefused, ClosingUndecided),
)
async def close_account(caller: Caller, closing: Closing, response: Response) -> None:
    await closing.close(caller=caller)
    forget_cookie(response)


@account.get(
    "/v1/account",
    summary="Who am I?",
    description="The account with masked contacts, and its open credential changes.",
    responses=problems(*LOGGED_IN),
)
async def get_account(caller: Caller, accounts: Accounts) -> AccountOut:
    return AccountOut.model_validate(await accounts.who_am_i(caller=caller), from_attributes=True)
