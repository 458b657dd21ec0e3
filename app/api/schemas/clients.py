"""The answer of the token endpoint."""

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import Out


class TokenOut(Out):
    """RFC 6749 §5.1."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6Ij…",
                    "token_type": "Bearer",
                    "expires_in": 600,
                    "scope": "accounts:read events:read",
                }
            ]
        }
    )

    access_token: str = Field(description="JWT ES256 (RFC 9068), `sub` being the client.")
    token_type: Literal["Bearer"] = Field(description="How it is used (RFC 6750).")
    expires_in: int = Field(description="Seconds.")
    scope: str = Field(description="What it is good for, separated by blanks.")
