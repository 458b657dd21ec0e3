"""The OpenAPI documents: generated, committed in `openapi/`, compared by `python -m app openapi --check`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api.answers import example
from app.core import errors

TITLE = "Guance Billing Center: account service"
VERSION = "1.0.0"
_CONVENTIONS = """
Failures are `application/problem+json` (RFC 9457) in the language of `Accept-Language` (zh-CN or en); clients switch on
`code`. Unknown members and query parameters are refused. Lists are pages: `limit`, `cursor`, `next_cursor`.
"""


@dataclass(frozen=True, slots=True)
class Surface:
    """One of the service's documents: whom it is for, and the routers behind it."""

    title: str
    description: str
    tags: Mapping[str, str]
    routers: Sequence[APIRouter]

    def document(self) -> dict[str, Any]:
        """Made from an application of these routers alone."""
        app = FastAPI(generate_unique_id_function=operation_id)
        for router in self.routers:
            app.include_router(router)
        tags = [{"name": name, "description": description} for name, description in self.tags.items()]
        about = self.description + _CONVENTIONS
        made = get_openapi(title=self.title, version=VERSION, description=about, tags=tags, routes=app.routes)
        schemas = made["components"]["schemas"]
        schemas["Problem"] = _PROBLEM
        shown = json.dumps(made["paths"])
        if "#/components/schemas/OAuthError" in shown:
            schemas["OAuthError"] = _OAUTH_ERROR
            made["components"]["securitySchemes"]["client_secret_basic"] = {"type": "http", "scheme": "basic"}
        made["components"]["examples"] = {
            kind.code: {"value": example(kind)}
            for kind in errors.every_kind()
            if f'#/components/examples/{kind.code}"' in shown
        }
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        return made


def operation_id(route: APIRoute) -> str:
    return route.name


def public(routers: Sequence[APIRouter]) -> Surface:
    """For the frontend."""
    return Surface(TITLE, "The account that pays for Guance, for the company that holds it.\n", _PUBLIC, routers)


def internal(routers: Sequence[APIRouter]) -> Surface:
    """For the other services of Guance and its staff tools."""
    about = "Accounts for the other services of Guance, and for its staff: make, find, watch, suspend.\n"
    return Surface(f"{TITLE}, internal", about, _INTERNAL, routers)


_PUBLIC = {
    "registration": "Becoming a holder of an account.",
    "sessions": "Logging in, refreshing, logging out.",
    "account": "Who am I, and the end of it.",
    "profile": "The company that holds the account.",
    "credential change": "Changing the login email and phone.",
    "password": "Changing, setting and resetting the password.",
    "real name": "Proving who the holder is, which invoices need.",
    "cloud accounts": "Subscriptions on cloud marketplaces, by which workspaces can settle.",
    "marketplace claims": "Customers who come from a marketplace say whose the purchase is.",
    "workspaces": "What the account pays for, and how each workspace settles.",
    "activity": "What happened to the account.",
    "operations": "Health, and the keys that verify access tokens.",
}
_INTERNAL = {
    "tokens": "How a service gets in.",
    "accounts": "Making, reading and finding accounts.",
    "real name": "The gate before invoices, and staff's review of submissions.",
    "staff": "What staff does; each write says who (`X-Actor`) and why (`X-Reason`).",
    "login tickets": "Letting workspace owners in.",
    "workspaces": "Which account pays for a workspace, and by what it is settled.",
    "marketplace": "What cloud marketplaces sent.",
    "events": "What happened, in order.",
    "webhooks": "Having events sent.",
}
_OAUTH_ERROR = {
    "type": "object",
    "title": "OAuthError",
    "description": "RFC 6749 §5.2.",
    "required": ["error", "error_description"],
    "properties": {
        "error": {
            "type": "string",
            "enum": ["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"],
            "description": "What clients switch on.",
        },
        "error_description": {"type": "string", "description": "The same in words, for developers."},
    },
}
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
        "refusals": {
            "type": "array",
            "description": "For `settlement_refused`: each workspace that cannot, with every reason.",
            "items": {
                "type": "object",
                "required": ["workspace_id", "reasons"],
                "properties": {
                    "workspace_id": {"type": "string", "description": "The workspace."},
                    "reasons": {
                        "type": "array",
                        "description": "All that is against it.",
                        "items": {
                            "type": "object",
                            "required": ["code", "until", "text"],
                            "properties": {
                                "code": {"type": "string", "description": "Why not; stable."},
                                "until": {
                                    "type": ["string", "null"],
                                    "format": "date-time",
                                    "description": "When it ends by itself.",
                                },
                                "text": {"type": "string", "description": "The same in words."},
                            },
                        },
                    },
                },
            },
        },
        "tries_left": {"type": "integer", "description": "For `wrong_code`."},
        "scope": {"type": "string", "description": "For `insufficient_scope`: the one that is missing."},
        "unmet": {
            "type": "array",
            "description": "For `closing_refused`: every condition against it.",
            "items": {
                "type": "object",
                "required": ["condition", "state", "until"],
                "properties": {
                    "condition": {
                        "type": "string",
                        "enum": ["bound_workspaces", "recent_credential_change", "arrears", "unsettled_bills"],
                        "description": "What it is.",
                    },
                    "state": {
                        "type": "string",
                        "enum": ["unmet", "unknown"],
                        "description": "`unknown`: the service that knows does not answer.",
                    },
                    "until": {
                        "type": ["string", "null"],
                        "format": "date-time",
                        "description": "When it ends by itself.",
                    },
                },
            },
        },
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
