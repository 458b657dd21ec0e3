"""Keyed hashes and sealed values, all from one secret.

Each use has its own key, derived by HKDF-SHA256 (RFC 5869) with the use as its info, so that a value made for
one use means nothing in another.
"""

import base64
import hashlib
import hmac
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # bytes, NIST SP 800-38D §8.2.2
_VERSION = b"\x01"  # the form of a sealed value, so that a later one can be told apart


class Unreadable(ValueError):
    """A sealed value that does not open here."""


def _derive(secret: bytes, use: str) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=use.encode()).derive(secret)


def digest(value: str | bytes) -> bytes:
    """SHA-256 of a value that is random already (a token); 32 bytes."""
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).digest()


def random_token() -> str:
    """256 random bits for a URL."""
    return secrets.token_urlsafe(32)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Raise ValueError for anything but the one spelling that `b64` gives."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if b64(data) != text:
        raise ValueError("not unpadded base64url")
    return data


class Mac:
    """HMAC-SHA256 under a key of its own for `use`."""

    def __init__(self, secret: bytes, use: str) -> None:
        self._key = _derive(secret, use)

    def of(self, *parts: str | bytes) -> bytes:
        """32 bytes over the parts, each with its length before it, so that parts cannot flow together."""
        told = [part.encode() if isinstance(part, str) else part for part in parts]
        return hmac.digest(self._key, b"".join(len(part).to_bytes(4) + part for part in told), "sha256")

    def matches(self, mac: bytes, *parts: str | bytes) -> bool:
        """Whether `mac` is that of the parts, in constant time."""
        return hmac.compare_digest(mac, self.of(*parts))


class Seal:
    """AES-256-GCM; `bound` (row and column) is authenticated, so that a value moved elsewhere does not open."""

    def __init__(self, secret: bytes, use: str) -> None:
        self._aead = AESGCM(_derive(secret, use))

    def close(self, value: bytes, *, bound: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._aead.encrypt(nonce, value, bound.encode())

    def open(self, sealed: bytes, *, bound: str) -> bytes:
        """Raise Unreadable when the value was altered, moved, or sealed by another key."""
        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return self._aead.decrypt(nonce, body, bound.encode())
        except (InvalidTag, ValueError):
            raise Unreadable from None
