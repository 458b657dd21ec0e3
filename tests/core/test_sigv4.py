"""AWS Signature Version 4, against what AWS's own SDK signs."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone

from app.core import sigv4

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CALL = sigv4.Call(
    host="metering.marketplace.us-east-1.amazonaws.com",
    region="us-east-1",
    service="aws-marketplace",
    target="AWSMPMeteringService.ResolveCustomer",
    body=b'{"RegistrationToken":"tok-example"}',
)


def test_the_canonical_request_equals_the_vector() -> None:
    headers = sigv4.sign(CALL, key_id="AKIDEXAMPLE", secret=SECRET, at=NEW_YEAR)
    del headers["authorization"]
    canonical = sigv4.canonical_request(CALL, headers)
    assert canonical.endswith("\n6a6975ed127bc7a9aa0c922e27f8a381053d93219f2275957ae0262a1d79bc14")
    assert hashlib.sha256(canonical.encode()).hexdigest() == (
        "bb41720a5e3293ca9fb50da59401158a498a71da4e9e5abd6e66fb50b587f35d"
    )


def test_the_signature_equals_the_vector() -> None:
    headers = sigv4.sign(CALL, key_id="AKIDEXAMPLE", secret=SECRET, at=NEW_YEAR)
    assert headers == {
        "content-type": "application/x-amz-json-1.1",
        "host": "metering.marketplace.us-east-1.amazonaws.com",
        "x-amz-date": "20260101T000000Z",
        "x-amz-target": "AWSMPMeteringService.ResolveCustomer",
        "authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/aws-marketplace/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
            "Signature=86810ef0b9d86ecddeab4624df485f96a6e965bc76c0436816373756a7a8db7d"
        ),
    }


def test_the_token_of_temporary_credentials_is_sent_and_signed() -> None:
    headers = sigv4.sign(CALL, key_id="ASIAEXAMPLE", secret=SECRET, at=NEW_YEAR, session_token="session")
    assert headers["x-amz-security-token"] == "session"
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, " in headers["authorization"]
    other = sigv4.sign(CALL, key_id="ASIAEXAMPLE", secret=SECRET, at=NEW_YEAR, session_token="another")
    assert other["authorization"] != headers["authorization"]


def test_the_day_of_a_signature_is_that_of_utc() -> None:
    in_china = datetime(2026, 1, 1, 7, 59, 59, tzinfo=timezone(timedelta(hours=8)))
    headers = sigv4.sign(CALL, key_id="AKIDEXAMPLE", secret=SECRET, at=in_china)
    assert headers["x-amz-date"] == "20251231T235959Z"
    assert "Credential=AKIDEXAMPLE/20251231/" in headers["authorization"]


def test_blanks_in_and_around_values_are_signed_as_one_and_none() -> None:
    assert "\nhost:a b\n" in sigv4.canonical_request(CALL, {"host": "  a   b "})
