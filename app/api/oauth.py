"""What a request for a token says (RFC 6749 §2.3.1, §4.4.2), and how it is refused (§5.2)."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request, Response

from app.core.errors import TokenRefused

_FORM = "application/x-www-form-urlencoded"
_LONGEST = 4096  # bytes of a body; a real one has about 200
_PARAMETERS = ("grant_type", "scope", "client_id", "client_secret")

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"], "description": "The grant."},
                        "scope": {
                            "type": "string",
                            "description": "Separated by blanks; all of the client's if absent.",
                        },
                        "client_id": {"type": "string", "description": "Unless by Basic authentication."},
                        "client_secret": {"type": "string", "description": "Unless by Basic authentication."},
                    },
                },
                "example": {"grant_type": "client_credentials", "scope": "accounts:read events:read"},
            }
        },
    },
    "security": [{"client_secret_basic": []}, {}],
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": f"RFC 6749 §5.2: {codes}.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}, "example": example}},
    }
    for status, codes, example in (
        (
            400,
            "`invalid_request`, `unsupported_grant_type`, `invalid_scope`",
            {"error": "invalid_scope", "error_description": "the client does not have: staff:audit"},
        ),
        (
            401,
            "`invalid_client`",
            {
                "error": "invalid_client",
                "error_description": "unknown client, wrong secret, or the client is disabled",
            },
        ),
    )
}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    grant_type: str
    client_id: str
    secret: str
    scope: str | None


async def read_token_request(request: Request) -> TokenRequest:
    """The client by Basic authentication or in the body, never both. Raises TokenRefused."""
    form = await _form(request)
    by_header = _basic(request.headers.get("authorization"))
    if by_header and "client_secret" in form:
        raise TokenRefused("invalid_request", "the client authenticates in two ways")
    if by_header and form.get("client_id", by_header[0]) != by_header[0]:
        raise TokenRefused("invalid_request", "two clients are named")
    client_id, secret = by_header or (form.get("client_id", ""), form.get("client_secret", ""))
    if not client_id or not secret:
        raise TokenRefused("invalid_client", "the client does not say who it is")
    if "grant_type" not in form:
        raise TokenRefused("invalid_request", "grant_type is missing")
    return TokenRequest(form["grant_type"], client_id, secret, form.get("scope"))


def refused(error: TokenRefused) -> Response:
    """The body of RFC 6749 §5.2, 401 for a client that is not known and 400 for all else."""
    unknown = error.error == "invalid_client"
    return Response(
        json.dumps({"error": error.error, "error_description": error.description}),
        status_code=401 if unknown else 400,
        media_type="application/json",
        headers={"Pragma": "no-cache"} | ({"WWW-Authenticate": 'Basic realm="guance"'} if unknown else {}),
    )


async def _form(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise TokenRefused("invalid_request", f"the body must be {_FORM}")
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise TokenRefused("invalid_request", "the body cannot be read") from None
    known = [(name, value) for name, value in pairs if name in _PARAMETERS and value]  # §3.2: others are ignored
    if len(body) > _LONGEST or len({name for name, _ in known}) != len(known):
        raise TokenRefused("invalid_request", "the body is too long, or a parameter stands twice")
    return dict(known)


def _basic(header: str | None) -> tuple[str, str] | None:
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise TokenRefused("invalid_client", "the Authorization header cannot be read") from None
    return unquote_plus(client_id), unquote_plus(secret) if colon else ""
