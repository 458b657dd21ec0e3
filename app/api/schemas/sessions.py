"""Bodies of logging in and of sessions."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.accounts import Delivery
from app.api.schemas.base import (
    AccountId,
    ChallengeId,
    ChallengeIdIn,
    Code,
    Identifier,
    In,
    Moment,
    Out,
    Password,
    SessionId,
    Token,
)

_CHALLENGE = "chlg_0193b5c27d3e7a41b4d2c9f1e8a60b57"
_SESSION = "sess_0193b5c27d3e7a41b4d2c9f1e8a60b57"


class LoginCodeIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"identifier": "acme"}]})

    identifier: Identifier = Field(description="Username, email or phone.")


class ChallengeOut(Out):
    """A code is on its way, if the identifier is anybody's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "challenge_id": _CHALLENGE,
                    "expires_at": "2026-11-23T08:25:30.000Z",
                    "resend_at": "2026-11-23T08:16:30.000Z",
                }
            ]
        }
    )

    challenge_id: ChallengeId = Field(description="Goes back with the code.")
    expires_at: Moment = Field(description="When the code ends.")
    resend_at: Moment = Field(description="When another may be asked for.")


class PasswordLoginIn(In):
    method: Literal["password"] = Field(description="By password.")
    identifier: Identifier = Field(description="Username, email or phone.")
    password: Password = Field(description="The password.")
    refresh_token_delivery: Delivery = "cookie"


class CodeLoginIn(In):
    method: Literal["code"] = Field(description="By the code of `POST /v1/login-codes`.")
    challenge_id: ChallengeIdIn = Field(description="Of `POST /v1/login-codes`.")
    code: Code = Field(description="The six digits of the message.")
    refresh_token_delivery: Delivery = "cookie"


class TicketLoginIn(In):
    method: Literal["ticket"] = Field(description="By the ticket that the workspace service got for an owner.")
    ticket: Token = Field(description="Single use, for a minute.")
    refresh_token_delivery: Delivery = "cookie"


LoginIn = Annotated[PasswordLoginIn | CodeLoginIn | TicketLoginIn, Field(discriminator="method")]


class RefreshIn(In):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "AZO1wn0-ekG00snx6KYLVyWq8mJx0c2fB7uKpQ3vT9zE5hLsN1dRgYi4"}]}
    )

    refresh_token: Token = Field(description="The newest one of the session.")


class SessionOut(Out):
    """Logged in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "account_id": "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                    "session_id": _SESSION,
                    "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6…",
                    "token_type": "Bearer",
                    "expires_in": 600,
                    "refresh_token": None,
                }
            ]
        }
    )

    account_id: AccountId = Field(description="The account.")
    session_id: SessionId = Field(description="The session that began or goes on.")
    access_token: str = Field(
        description="JWT ES256 for `Authorization: Bearer`; verified by `/.well-known/jwks.json`."
    )
    token_type: Literal["Bearer"] = Field(description="RFC 6750.")
    expires_in: int = Field(description="Seconds until the access token ends.")
    refresh_token: str | None = Field(description="Null when it went into the cookie.")


class OneSessionOut(Out):
    """A live session."""

    id: SessionId = Field(description="The session.")
    current: bool = Field(description="Whether it is the one that asks.")
    method: Literal["password", "code", "ticket", "registration"] = Field(description="How it began.")
    ip: str = Field(description="From where.")
    user_agent: str | None = Field(description="With what.")
    auth_time: Moment = Field(description="When the holder logged in.")
    last_used_at: Moment = Field(description="When it was last refreshed.")
    expires_at: Moment = Field(description="When it ends unless refreshed.")


class SessionsOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": _SESSION,
                            "current": True,
                            "method": "password",
                            "ip": "203.0.113.7",
                            "user_agent": "Mozilla/5.0",
                            "auth_time": "2026-11-23T08:15:30.000Z",
                            "last_used_at": "2026-11-23T08:15:30.000Z",
                            "expires_at": "2026-12-07T08:15:30.000Z",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[OneSessionOut] = Field(description="Newest first.")
    next_cursor: str | None = Field(description="For the next page; null on the last one.")
