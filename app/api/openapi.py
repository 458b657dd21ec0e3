"""The OpenAPI documents: generated, committed in `openapi/`, compared by `python -m app openapi --check`."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.answers import example
from app.core import errors

TITLE = "Guance Billing Center: account service"
VERSION = "1.0.0"
TAGS = [
    {"name": "registration", "description": "Becoming a holder of an account."},
    {"name": "sessions", "description": "Logging in, refreshing, logging out."},
    {"name": "account", "description": "Who am I."},
    {"name": "profile", "description": "The company that holds the account."},
    {"name": "credential change", "description": "Changing the login email and phone."},
    {"name": "password", "description": "Changing, setting and resetting the password."},
    {"name": "activity", "description": "What happened to the account."},
    {"name": "operations", "description": "Health, and the keys that verify access tokens."},
]
DESCRIPTION = """\
The account that pays for Guance, for the company that holds it.

Failures are `application/problem+json` (RFC 9457) in the language of `Accept-Language` (zh-CN or en); clients switch on
`code`. Unknown members and query parameters are refused. Lists are pages: `limit`, `cursor`, `next_cursor`.
"""
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "trace_id"],
    "properties": {
        "type": {"type": "string", "description": "`urn:guance:problem:` and the code."},
        "title": {"type": "string", "description": "What kind of failure, in the reader's language."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened and what to do."},
        "code": {"type": "string", "description": "What clients switch on; never changes."},
        "trace_id": {"type": "string", "description": "For support: finds the request in the logs."},
        "errors": {
            "type": "array",
            "description": "For `validation_failed`: what is wrong, field by field.",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer of a member, or a parameter's name."},
                    "code": {"type": "string", "description": "What is wrong; stable."},
                    "detail": {"type": "string", "description": "The same in words."},
                },
            },
        },
        "tries_left": {"type": "integer", "description": "For `wrong_code`."},
        "held_until": {"type": "string", "format": "date-time", "description": "For `change_held`."},
        "checks": {
            "type": "object",
            "description": "For `not_ready`: which checks hold.",
            "additionalProperties": {"type": "boolean"},
        },
        "reason": {
            "type": "string",
            "enum": ["common", "context", "same"],
            "description": "For `password_refused`.",
        },
    },
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of the application's routes."""
    made = get_openapi(title=TITLE, version=VERSION, description=DESCRIPTION, tags=TAGS, routes=app.routes)
    schemas = made["components"]["schemas"]
    schemas["Problem"] = _PROBLEM
    made["components"]["examples"] = {kind.code: {"value": example(kind)} for kind in errors.every_kind()}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return made


def cached_document(app: FastAPI) -> dict[str, Any]:
    """Made once: what `/openapi.json` answers."""
    if app.openapi_schema is None:
        app.openapi_schema = document(app)
    return app.openapi_schema
