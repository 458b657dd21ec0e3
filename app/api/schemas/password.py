"""Bodies of the password."""

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import ChallengeIdIn, Code, Identifier, In, Moment, NewPassword, Out, Password, ResetId
from app.api.schemas.sessions import ChallengeOut

_CHALLENGE = "chlg_0193b5c27d3e7a41b4d2c9f1e8a60b57"
_NEW = "correct horse battery staple"


class SecurityOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "has_password": True,
                    "password_changed_at": "2026-11-23T08:15:30.000Z",
                    "email": "l***@example.com",
                    "phone": None,
                }
            ]
        }
    )

    has_password: bool = Field(description="Whether a password logs in.")
    password_changed_at: Moment | None = Field(description="When it was last set.")
    email: str = Field(description="Masked.")
    phone: str | None = Field(description="Masked; null when there is none.")


class ChangePasswordIn(In):
    model_config = ConfigDict(
        title="ChangePassword",
        json_schema_extra={"examples": [{"current_password": "my old password 7", "new_password": _NEW}]},
    )

    current_password: Password = Field(description="The one in force.")
    new_password: NewPassword = Field(description="8–128 characters; not common, not about you, not the old one.")


class FirstPasswordIn(In):
    model_config = ConfigDict(
        title="FirstPassword",
        json_schema_extra={"examples": [{"challenge_id": _CHALLENGE, "code": "493027", "new_password": _NEW}]},
    )

    challenge_id: ChallengeIdIn = Field(description="Of `POST /v1/account/password-codes`.")
    code: Code = Field(description="The six digits of the message.")
    new_password: NewPassword = Field(description="8–128 characters; not common, not about you.")


class PasswordCodeIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"credential": "email"}]})

    credential: Literal["email", "phone"] = Field("email", description="Which contact to send the code to.")


class PasswordCodeOut(ChallengeOut):
    """A code is on its way to a contact of the account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "challenge_id": _CHALLENGE,
                    "expires_at": "2026-11-23T08:25:30.000Z",
                    "resend_at": "2026-11-23T08:16:30.000Z",
                    "sent_to": "l***@example.com",
                }
            ]
        }
    )

    sent_to: str = Field(description="Where, masked.")


class ResetIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"identifier": "li.lei@example.com"}]})

    identifier: Identifier = Field(description="Username, email or phone.")


class ResetOut(Out):
    """A code is on its way, if the identifier is anybody's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "pwrs_0193b5c27d3e7a41b4d2c9f1e8a60b57",
                    "expires_at": "2026-11-23T08:25:30.000Z",
                    "resend_at": "2026-11-23T08:16:30.000Z",
                }
            ]
        }
    )

    id: ResetId = Field(description="The reset.")
    expires_at: Moment = Field(description="When the code ends.")
    resend_at: Moment = Field(description="When another may be asked for.")


class ConfirmResetIn(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "493027", "new_password": _NEW}]})

    code: Code = Field(description="The six digits of the message.")
    new_password: NewPassword = Field(description="8–128 characters; not common, not about you, not the old one.")
