"""Identifiers: UUIDv7 inside, a prefix and 32 hex digits outside (`acnt_0193…`)."""

import re
from uuid import UUID

from uuid_utils.compat import uuid7

ACCOUNT = "acnt"
SESSION = "sess"
REGISTRATION = "regn"
CHALLENGE = "chlg"
CREDENTIAL_CHANGE = "cchg"
PASSWORD_RESET = "pwrs"
ACTIVITY = "actv"
MESSAGE = "mesg"
CLIENT = "clnt"
CLIENT_SECRET = "scrt"
EVENT = "evnt"
WEBHOOK_ENDPOINT = "whep"
WEBHOOK_ATTEMPT = "what"
REAL_NAME = "rnam"
DATA_KEY = "dkey"
CLOUD_ACCOUNT = "clda"
CLOUD_NOTICE = "cldn"
SETTLEMENT = "setl"

_HEX = re.compile(r"[0-9a-f]{32}")


def new() -> UUID:
    """A UUIDv7: unique, and sorted by the time of its making (RFC 9562 §5.7)."""
    return uuid7()


def show(prefix: str, value: UUID) -> str:
    return f"{prefix}_{value.hex}"


def read(prefix: str, text: str) -> UUID | None:
    """The UUID behind `text`, or None when it is not an id of this kind."""
    head, _, digits = text.partition("_")
    return UUID(digits) if head == prefix and _HEX.fullmatch(digits) else None
