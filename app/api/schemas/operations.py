"""Bodies of health and keys."""

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import Out


class LiveOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = Field(description="The process answers.")


class ReadyOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ready": True,
                    "checks": {
                        "database": True,
                        "schema": True,
                        "clock": True,
                        "signing_key": True,
                        "data_key": True,
                    },
                }
            ]
        }
    )

    ready: Literal[True] = Field(description="Requests can be served; otherwise the answer is a problem.")
    checks: dict[str, bool] = Field(
        description="database, schema (at the code's revision, or one to come), clock, signing_key and data_key."
    )


class KeyOut(Out):
    """A public key (RFC 7517)."""

    kty: Literal["EC"] = Field(description="Elliptic curve.")
    crv: Literal["P-256"] = Field(description="The curve.")
    x: str = Field(description="base64url.")
    y: str = Field(description="base64url.")
    kid: str = Field(description="Named in the header of each token that it signed.")
    use: Literal["sig"] = Field(description="Signatures.")
    alg: Literal["ES256"] = Field(description="RFC 7518 §3.4.")


class KeySetOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "keys": [
                        {
                            "kty": "EC",
                            "crv": "P-256",
                            "x": "AFIelhmWPX7h_KPkSqfwlwwFR81m_KeDXEL_edvc95I",
                            "y": "L5_LKI2IE5Q1qTdQShfDryyMhbqWIO-Tw1p7TYcxbWQ",
                            "kid": "qbXuls4h6xW5lQne",
                            "use": "sig",
                            "alg": "ES256",
                        }
                    ]
                }
            ]
        }
    )

    keys: list[KeyOut] = Field(description="Those that sign, will sign, or signed tokens that still live.")
