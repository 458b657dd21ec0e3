"""What must be readable again but lie sealed at rest: AES-256-GCM under keys that change while the service runs.

A sealed value names its key and is bound to its row and column, so that one moved elsewhere does not open
(NIST SP 800-38D; ASVS 5.0 §11.3, §11.2.2). The keys themselves lie sealed in the database (services/data_keys.py).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.crypto import Unreadable
from app.core.errors import NotReady

_VERSION = b"\x02"  # the form of a sealed value
_NONCE = 12  # bytes, NIST SP 800-38D §8.2.2
_SHORTEST = 1 + 16 + _NONCE + 16  # bytes: version, key, nonce, tag
KEY_LENGTH = 32  # bytes


class UnknownKey(Unreadable):
    """Sealed with a key that this process has not loaded: another one may have made it a moment ago."""


@dataclass(frozen=True, slots=True)
class DataKey:
    id: UUID
    secret: bytes = field(repr=False)


class Vault:
    """Seals with the newest key, opens with any that it was given. One object in each process."""

    def __init__(self) -> None:
        self._keys: dict[UUID, AESGCM] = {}
        self._newest: UUID | None = None

    def load(self, keys: Iterable[DataKey]) -> None:
        """Take the keys, the oldest first."""
        self._keys = {key.id: AESGCM(key.secret) for key in keys}
        self._newest = next(reversed(self._keys), None)

    @property
    def ready(self) -> bool:
        return self._newest is not None

    @property
    def older(self) -> list[UUID]:
        """The keys that open and no longer seal."""
        return [key for key in self._keys if key != self._newest]

    @property
    def newest(self) -> UUID:
        """The key that seals; raises NotReady before there is one."""
        if self._newest is None:
            raise NotReady({"data_key": False})
        return self._newest

    def close(self, value: bytes, *, bound: str) -> bytes:
        key, nonce = self.newest, os.urandom(_NONCE)
        return _VERSION + key.bytes + nonce + self._keys[key].encrypt(nonce, value, bound.encode())

    def open(self, sealed: bytes, *, bound: str) -> bytes:
        """Raises UnknownKey, and Unreadable when the value was altered or moved."""
        if sealed[:1] != _VERSION or len(sealed) < _SHORTEST:
            raise Unreadable
        key, nonce, body = UUID(bytes=sealed[1:17]), sealed[17 : 17 + _NONCE], sealed[17 + _NONCE :]
        if key not in self._keys:
            raise UnknownKey
        try:
            return self._keys[key].decrypt(nonce, body, bound.encode())
        except (InvalidTag, ValueError):
            raise Unreadable from None
