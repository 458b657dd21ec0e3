"""How the floor keeps a code."""

import hashlib
from uuid import UUID


def mac(challenge: UUID, code: str) -> bytes:
    return hashlib.sha256(challenge.bytes + code.encode()).digest()
