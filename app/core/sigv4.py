"""AWS Signature Version 4, AWS4-HMAC-SHA256, for calls of the JSON protocols: `POST /` without a query.

Source: AWS, "Create a signed AWS API request"
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `target` is the operation, as in `AWSMPMeteringService.ResolveCustomer`; `service` its signing name."""

    host: str
    region: str
    service: str
    target: str
    body: bytes
    content_type: str = "application/x-amz-json-1.1"


def sign(call: Call, *, key_id: str, secret: str, at: datetime, session_token: str | None = None) -> dict[str, str]:
    """The headers to send, `authorization` among them; all the others are signed.

    `at` is the time of signing (timezone-aware). Temporary credentials have a `session_token`: it is signed too.
    """
    headers = {
        "content-type": call.content_type,
        "host": call.host,
        "x-amz-date": at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-target": call.target,
    }
    if session_token is not None:
        headers["x-amz-security-token"] = session_token
    day = headers["x-amz-date"][:8]
    scope = f"{day}/{call.region}/{call.service}/aws4_request"
    hashed = hashlib.sha256(canonical_request(call, headers).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (day, call.region, call.service, "aws4_request"):
        key = _hmac(key, part)
    signature = _hmac(key, f"{_ALGORITHM}\n{headers['x-amz-date']}\n{scope}\n{hashed}").hex()
    names = ";".join(sorted(headers))
    authorization = f"{_ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": authorization}


def canonical_request(call: Call, headers: Mapping[str, str]) -> str:
    """The text whose hash is signed; `headers` are those that are signed, with lower-case names."""
    names = sorted(headers)
    return "\n".join(
        [
            "POST",
            "/",
            "",
            "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names),
            ";".join(names),
            hashlib.sha256(call.body).hexdigest(),
        ]
    )


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
