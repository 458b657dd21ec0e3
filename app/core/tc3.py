"""Tencent Cloud's request signature, TC3-HMAC-SHA256 (API 3.0).

Source: Tencent Cloud, "Signature v3" (https://www.tencentcloud.com/document/api/1145/50458).
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_ALGORITHM = "TC3-HMAC-SHA256"
_SIGNED = ("content-type", "host")  # what the vendor's SDK signs; sorted


@dataclass(frozen=True, slots=True)
class Call:
    """`POST /` with a JSON body. `service` is the first label of the product's host, whatever host is really asked."""

    host: str
    service: str
    action: str
    version: str
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    region: str | None = None


def sign(
    call: Call, *, secret_id: str, secret_key: str, at: datetime, signed: Sequence[str] = _SIGNED
) -> dict[str, str]:
    """The headers to send, `authorization` among them; `content-type` must go out byte for byte.

    `at` is the time of signing (timezone-aware; whole seconds count, and five minutes off are refused). `signed` names
    the signed headers in lower case, sorted.
    """
    at = at.astimezone(UTC)
    timestamp, day = str(int(at.timestamp())), at.strftime("%Y-%m-%d")
    headers = _headers(call, timestamp)
    scope = f"{day}/{call.service}/tc3_request"
    hashed = hashlib.sha256(canonical_request(call, headers, signed).encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in (day, call.service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"{_ALGORITHM}\n{timestamp}\n{scope}\n{hashed}".encode(), "sha256").hex()
    authorization = (
        f"{_ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    )
    return {**headers, "authorization": authorization}


def canonical_request(call: Call, headers: Mapping[str, str], signed: Sequence[str]) -> str:
    """The text whose hash is signed: values in lower case, without blanks around them."""
    return "\n".join(
        [
            "POST",
            "/",
            "",  # no query
            "".join(f"{name}:{headers[name].strip().lower()}\n" for name in signed),
            ";".join(signed),
            hashlib.sha256(call.body).hexdigest(),
        ]
    )


def _headers(call: Call, timestamp: str) -> dict[str, str]:
    headers = {
        "content-type": call.content_type,
        "host": call.host,
        "x-tc-action": call.action,
        "x-tc-timestamp": timestamp,
        "x-tc-version": call.version,
    }
    if call.region is not None:
        headers["x-tc-region"] = call.region
    return headers
