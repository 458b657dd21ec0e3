"""Changing the login email and phone."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.answers import LIMITED, LOGGED_IN, WITH_BODY, problems
from app.api.deps import Anonymous, Caller, Credentials, Origin, Reversals
from app.api.routes import IdempotentRoute
from app.api.schemas.base import ChangePath
from app.api.schemas.credentials import (
    ChangeOut,
    ChangesOut,
    CodeIn,
    NewValueIn,
    ReversalIn,
    ReversalOut,
    StartChangeIn,
)
from app.core.errors import (
    ChangeExpired,
    ChangeHeld,
    ChangeOpen,
    CodeExpired,
    CodeUsed,
    CredentialsMoved,
    EmailTaken,
    NoOtherCredential,
    NotFound,
    OtherSession,
    PhoneTaken,
    ResendTooSoon,
    ReversalExpired,
    TooManySends,
    TooManyTries,
    WrongCode,
    WrongState,
)
from app.models.credentials import Credential, Proof

router = APIRouter(tags=["credential change"], route_class=IdempotentRoute)
ROUTERS = (router,)

ChangeId = Annotated[ChangePath, Path(description="`id` of the change.")]
_STEP = (*LOGGED_IN, NotFound, WrongState, OtherSession, ChangeExpired)
_SENDING = (ResendTooSoon, TooManySends)
_CODE = (*WITH_BODY, WrongCode, CodeUsed, CodeExpired, TooManyTries)


@router.post(
    "/v1/account/credential-changes",
    status_code=201,
    summary="Start to change the email or phone",
    description="Sends a code to the contact that proves the holder. An account without a phone proves itself by its "
    "email. With `proof: other` (the current contact is lost) the change waits before it takes effect.",
    responses=problems(*WITH_BODY, *LOGGED_IN, ChangeOpen, ChangeHeld, NoOtherCredential, *_SENDING),
)
async def start_credential_change(body: StartChangeIn, caller: Caller, credentials: Credentials) -> ChangeOut:
    change = await credentials.start(caller=caller, credential=Credential(body.credential), proof=Proof(body.proof))
    return ChangeOut.model_validate(change, from_attributes=True)


@router.get(
    "/v1/account/credential-changes",
    summary="Open changes",
    description="At most one for each credential.",
    responses=problems(*LOGGED_IN),
)
async def list_credential_changes(caller: Caller, credentials: Credentials) -> ChangesOut:
    changes = await credentials.open_ones(caller=caller)
    items = [ChangeOut.model_validate(change, from_attributes=True) for change in changes]
    return ChangesOut(items=items, next_cursor=None)


@router.get(
    "/v1/account/credential-changes/{id}",
    summary="One change",
    description="Whatever its state.",
    responses=problems(*LOGGED_IN, NotFound),
)
async def get_credential_change(id: ChangeId, caller: Caller, credentials: Credentials) -> ChangeOut:
    return ChangeOut.model_validate(await credentials.get(caller=caller, change_id=id), from_attributes=True)


@router.post(
    "/v1/account/credential-changes/{id}/verify-current",
    summary="Prove the current contact",
    description="`verify_current` → `propose`. The proof is good for ten minutes.",
    responses=problems(*_STEP, *_CODE),
)
async def verify_current_credential(id: ChangeId, body: CodeIn, caller: Caller, credentials: Credentials) -> ChangeOut:
    change = await credentials.verify_current(caller=caller, change_id=id, code=body.code)
    return ChangeOut.model_validate(change, from_attributes=True)


@router.put(
    "/v1/account/credential-changes/{id}/new-value",
    summary="Say the new value",
    description="`propose` → `verify_new`: sends a code to it. Again for another value while the proof is fresh. "
    "Whether somebody else has the value is told only to who proves it.",
    responses=problems(*_STEP, *WITH_BODY, *_SENDING),
)
async def propose_new_credential(id: ChangeId, body: NewValueIn, caller: Caller, credentials: Credentials) -> ChangeOut:
    change = await credentials.propose(caller=caller, change_id=id, value=body.value)
    return ChangeOut.model_validate(change, from_attributes=True)


@router.post(
    "/v1/account/credential-changes/{id}/confirm",
    summary="Prove the new value",
    description="`verify_new` → `completed`: it is the login now, every other session ends, both contacts are told. "
    "With `proof: other` → `waiting`: the old contact is told and may cancel.",
    responses=problems(*_STEP, *_CODE, EmailTaken, PhoneTaken, CredentialsMoved),
)
async def confirm_credential_change(id: ChangeId, body: CodeIn, caller: Caller, credentials: Credentials) -> ChangeOut:
    change = await credentials.confirm(caller=caller, change_id=id, code=body.code)
    return ChangeOut.model_validate(change, from_attributes=True)


@router.post(
    "/v1/account/credential-changes/{id}/resend",
    summary="Send the code again",
    description="Another code takes the place of the last one of this step.",
    responses=problems(*_STEP, *_SENDING, CodeUsed, CodeExpired),
)
async def resend_credential_code(id: ChangeId, caller: Caller, credentials: Credentials) -> ChangeOut:
    change = await credentials.send_again(caller=caller, change_id=id)
    return ChangeOut.model_validate(change, from_attributes=True)


@router.delete(
    "/v1/account/credential-changes/{id}",
    status_code=204,
    summary="Cancel a change",
    description="Any session of the account may. A waiting change's old contact is told.",
    responses=problems(*LOGGED_IN, NotFound, WrongState),
)
async def cancel_credential_change(id: ChangeId, caller: Caller, credentials: Credentials) -> None:
    await credentials.cancel(caller=caller, change_id=id)


@router.post(
    "/v1/credential-change-reversals",
    dependencies=[Anonymous],
    summary="Undo a change",
    description="With the token of the notice to the old contact: restores it, ends all sessions and takes the "
    "password out of use; or cancels a waiting change. Needs no login.",
    responses=problems(*WITH_BODY, *LIMITED, ReversalExpired, EmailTaken, PhoneTaken),
)
async def undo_credential_change(body: ReversalIn, reversals: Reversals, origin: Origin) -> ReversalOut:
    return ReversalOut.model_validate(await reversals.undo(token=body.token, origin=origin), from_attributes=True)
