"""Opaque cursors of lists: the last row seen, with a tag that binds it to its list and reader."""

import hmac
from uuid import UUID

from app.core.crypto import Mac, b64, unb64

_POSITION = 8  # bytes
_TAG = 8  # bytes: a forged cursor would only start a page elsewhere in the reader's own list


class Cursors:
    def __init__(self, secret: bytes) -> None:
        self._mac = Mac(secret, "cursors")

    def write(self, listing: str, reader: UUID, last: UUID) -> str:
        return b64(last.bytes + self._mac.of(listing, reader.bytes, last.bytes)[:_TAG])

    def write_position(self, listing: str, position: int) -> str:
        """For a list that is the same for all readers."""
        raw = position.to_bytes(_POSITION)
        return b64(raw + self._mac.of(listing, raw)[:_TAG])

    def read_position(self, listing: str, cursor: str) -> int | None:
        """The position in it; None for a cursor of another list, or one that we never gave."""
        try:
            raw = unb64(cursor)
        except ValueError:
            return None
        position, tag = raw[:_POSITION], raw[_POSITION:]
        right = hmac.compare_digest(tag, self._mac.of(listing, position)[:_TAG])
        return int.from_bytes(position) if right else None

    def read(self, listing: str, reader: UUID, cursor: str) -> UUID | None:
        """The id in it; None for a cursor of another list or reader, or one that we never gave."""
        try:
            raw = unb64(cursor)
        except ValueError:
            return None
        last, tag = raw[:16], raw[16:]
        right = hmac.compare_digest(tag, self._mac.of(listing, reader.bytes, last)[:_TAG])
        return UUID(bytes=last) if right else None
