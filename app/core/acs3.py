"""Alibaba Cloud's request signature V3, ACS3-HMAC-SHA256.

Source: Alibaba Cloud, "V3 request syntax and signature"
(https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature).
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

_ALGORITHM = "ACS3-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC-style call: `POST /` with its parameters in the query, and a body where the action has one."""

    host: str
    action: str
    version: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str | None = None
    method: str = "POST"


def sign(call: Call, *, key_id: str, secret: str, at: datetime, nonce: str) -> dict[str, str]:
    """The headers to send, `authorization` among them.

    `at` is the time of signing (timezone-aware), `nonce` must be new for every request. The query must be sent
    as `canonical_query` gives it.
    """
    headers = _headers(call, at=at, nonce=nonce)
    hashed = hashlib.sha256(canonical_request(call, headers).encode()).hexdigest()
    signature = hmac.new(secret.encode(), f"{_ALGORITHM}\n{hashed}".encode(), hashlib.sha256).hexdigest()
    names = ";".join(sorted(headers))
    authorization = f"{_ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"
    return {**headers, "authorization": authorization}


def canonical_query(query: Mapping[str, str]) -> str:
    """Sorted by name and encoded after RFC 3986 §2.3: only letters, digits and `-._~` stay as they are."""
    return "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))


def canonical_request(call: Call, headers: Mapping[str, str]) -> str:
    """The text whose hash is signed; `headers` are those that are signed, with lower-case names."""
    names = sorted(headers)
    return "\n".join(
        [
            call.method,
            "/",
            canonical_query(call.query),
            "".join(f"{name}:{headers[name].strip()}\n" for name in names),
            ";".join(names),
            headers["x-acs-content-sha256"],
        ]
    )


def _headers(call: Call, *, at: datetime, nonce: str) -> dict[str, str]:
    headers = {
        "host": call.host,
        "x-acs-action": call.action,
        "x-acs-content-sha256": hashlib.sha256(call.body).hexdigest(),
        "x-acs-date": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": call.version,
    }
    if call.content_type is not None:
        headers["content-type"] = call.content_type
    return headers
