"""The token check of the floors: the signature once for each token, as the service does it."""

import json
import os
import time
from typing import Any
from uuid import UUID

from jose import jwt

_KEY = json.loads(os.environ["FLOOR_KEY"])
_ISSUER = os.environ["FLOOR_ISSUER"]
_AUDIENCE = os.environ["FLOOR_AUDIENCE"]
_known: dict[str, tuple[UUID, UUID, int]] = {}


class Refused(Exception):
    """No live token."""


def check(authorization: str | None) -> tuple[UUID, UUID]:
    """Account and session, or client and secret, of a bearer token; raises Refused."""
    if authorization is None or not authorization.startswith("Bearer "):
        raise Refused
    token = authorization[7:]
    known = _known.get(token)
    if known is None:
        known = _known[token] = _verified(token)
    subject, session, expires = known
    if expires <= time.time():
        raise Refused
    return subject, session


def _verified(token: str) -> tuple[UUID, UUID, int]:
    unverified = jwt.get_unverified_claims(token)
    audience = unverified["aud"]
    if audience not in (_AUDIENCE, f"{_AUDIENCE}-internal"):
        raise Refused
    claims: dict[str, Any] = jwt.decode(token, _KEY, algorithms=["ES256"], audience=audience, issuer=_ISSUER)
    return UUID(claims["sub"][5:]), UUID(claims["sid"][5:]), claims["exp"]
