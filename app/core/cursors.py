"""Opaque cursors of lists: the last row seen, with a tag that binds it to its list and reader."""

import hmac
from uuid import UUID

from app.core.crypto import Mac, b64, unb64

_TAG = 8  # bytes: a forged cursor would only start a page elsewhere in the reader's own list


class Cursors:
    def __init__(self, secret: bytes) -> None:
        self._mac = Mac(secret, "cursors")

    def write(self, listing: str, reader: UUID, last: bytes) -> str:
        return b64(last + self._mac.of(listing, reader.bytes, last)[:_TAG])

    def write_place(self, listing: str, place: bytes) -> str:
        """For a list that is the same for all readers: `place` is the list's own business."""
        return b64(place + self._mac.of(listing, place)[:_TAG])

    def read_place(self, listing: str, cursor: str) -> bytes | None:
        """The place in it; None for a cursor of another list, or one that we never gave."""
        try:
            raw = unb64(cursor)
        except ValueError:
            return None
        place, tag = raw[:-_TAG], raw[-_TAG:]
        return place if hmac.compare_digest(tag, self._mac.of(listing, place)[:_TAG]) else None

    def read(self, listing: str, reader: UUID, cursor: str) -> bytes | None:
        """The row in it; None for a cursor of another list or reader, or one that we never gave."""
        try:
            raw = unb64(cursor)
        except ValueError:
            return None
        last, tag = raw[:-_TAG], raw[-_TAG:]
        return last if hmac.compare_digest(tag, self._mac.of(listing, reader.bytes, last)[:_TAG]) else None
