"""Huawei Cloud's AK/SK request signature, SDK-HMAC-SHA256.

Source: Huawei Cloud, "API Request Signing Guide"
(https://support.huaweicloud.com/intl/en-us/devg-apisign/apisign-devg-pdf.pdf).
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

_ALGORITHM = "SDK-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` is not encoded yet; `headers` are those to sign besides `host` and `x-sdk-date`."""

    host: str
    path: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def sign(call: Call, *, key_id: str, secret: str, at: datetime) -> dict[str, str]:
    """The headers to send, with lower-case names, `authorization` among them.

    `at` is the time of signing (timezone-aware). The query must be sent as `canonical_query` gives it. The secret
    itself is the key of the signature: none is derived from it.
    """
    date = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {name.lower(): value for name, value in call.headers.items()} | {"host": call.host, "x-sdk-date": date}
    hashed = hashlib.sha256(canonical_request(call, headers).encode()).hexdigest()
    signature = hmac.new(secret.encode(), f"{_ALGORITHM}\n{date}\n{hashed}".encode(), hashlib.sha256).hexdigest()
    names = ";".join(sorted(headers))
    authorization = f"{_ALGORITHM} Access={key_id}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": authorization}


def canonical_query(query: Mapping[str, str]) -> str:
    """Sorted by name and encoded after RFC 3986 §2.3: only letters, digits and `-._~` stay as they are."""
    return "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))


def canonical_request(call: Call, headers: Mapping[str, str]) -> str:
    """The text whose hash is signed; `headers` are those that are signed, with lower-case names.

    The path is signed with a slash at its end, though it is sent without.
    """
    names = sorted(headers)
    return "\n".join(
        [
            call.method,
            quote(call.path.rstrip("/"), safe="/~") + "/",
            canonical_query(call.query),
            "".join(f"{name}:{headers[name].strip()}\n" for name in names),
            ";".join(names),
            hashlib.sha256(call.body).hexdigest(),
        ]
    )
