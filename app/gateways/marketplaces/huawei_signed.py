"""How KooGallery signs its calls, V2.0: the base interface in the query, joint operation (联营) in headers.

Sources: Huawei Cloud, "HTTP Body Signature"
(https://support.huaweicloud.com/intl/en-us/accessg-marketplace/topic_0070649090.html), and Huawei's Java example of a
seller's server for what is signed of a body, and for joint operation.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNATURE = re.compile(r"[0-9A-Fa-f]{64}")
_NONCE = re.compile(r"[0-9A-Za-z_-]{8,128}")  # the pages show 64 hexadecimal digits, and 16 letters
_TIMESTAMP = re.compile(r"[12][0-9]{9}(?:[0-9]{3})?")  # "in seconds", but every example is in milliseconds
_ENDS_LIKE_A_TIMESTAMP = re.compile(r"[12][0-9]{2}\Z")


@dataclass(frozen=True, slots=True)
class Seal:
    """What came with a body to show who sent it, and when. Raises ValueError if it looks like none.

    Nonce and timestamp are signed with nothing between them. Of the two ways to part the same text only one is taken:
    else a nonce could hand digits to its timestamp, or take some, and the call would be good once more another day.
    """

    signature: str
    timestamp: str
    nonce: str

    def __post_init__(self) -> None:
        if not (_TIMESTAMP.fullmatch(self.timestamp) and _NONCE.fullmatch(self.nonce)):
            raise ValueError("seal")
        if len(self.timestamp) == len("1700000000") and _ENDS_LIKE_A_TIMESTAMP.search(self.nonce):
            raise ValueError("nonce")

    @property
    def at(self) -> datetime:
        return moment(self.timestamp)

    def fits(self, body: bytes, key: str, *, hashed: bool) -> bool:
        """Whether who holds `key` signed this body: as it came, or put in order as the page says.

        `hashed`: the body goes into the signature as its own HMAC (base interface), not as it is (joint operation).
        """
        if not _SIGNATURE.fullmatch(self.signature):
            return False
        if self._is_of(body, key, hashed=hashed):
            return True
        try:
            return self._is_of(ordered(body), key, hashed=hashed)
        except (ValueError, RecursionError):
            return False

    def _is_of(self, payload: bytes, key: str, *, hashed: bool) -> bool:
        if hashed:
            payload = _hmac(key, payload)
        expected = _hmac(key, f"{key}{self.nonce}{self.timestamp}".encode() + payload)
        return hmac.compare_digest(expected, self.signature.lower().encode())


def seal_of_query(query: Sequence[tuple[str, str]]) -> Seal:
    """Raises ValueError if there is anything else in the query, or something twice."""
    if sorted(name for name, _ in query) != ["nonce", "signature", "timestamp"]:
        raise ValueError("query")
    return Seal(**dict(query))


def seal_of_headers(headers: Mapping[str, str]) -> Seal:
    """Raises ValueError."""
    return Seal(headers.get("x-sign", ""), headers.get("x-timestamp", ""), headers.get("x-nonce", ""))


def moment(timestamp: str) -> datetime:
    """Of seconds or milliseconds, in ten or thirteen digits. Raises ValueError."""
    if not _TIMESTAMP.fullmatch(timestamp):
        raise ValueError("timestamp")
    return _EPOCH + timedelta(milliseconds=int(timestamp.ljust(len("1700000000000"), "0")))


def read(body: bytes) -> dict[str, Any]:
    """The members of a JSON object. Raises ValueError, for members of one name too: which one was signed?"""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("depth") from None
    if isinstance(found, dict):
        return found
    raise ValueError("object")


def ordered(body: bytes) -> bytes:
    """What is signed: members by their names, those that are null left out, nothing between them.

    Raises ValueError; and RecursionError, for writing takes a step more than reading.
    """
    members = {name: value for name, value in sorted(read(body).items()) if value is not None}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def _hmac(key: str, payload: bytes) -> bytes:
    return hmac.new(key.encode(), payload, hashlib.sha256).hexdigest().encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON
