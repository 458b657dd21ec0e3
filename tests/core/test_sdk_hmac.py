"""Huawei Cloud's AK/SK signature against published examples, and what it leaves as it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.core import sdk_hmac

ACTIVATION = sdk_hmac.Call(
    host="mkt.myhuaweicloud.com",
    method="POST",
    path="/api/mkp-openapi-public/global/v1/license/activate",
    headers={"x-stage": "RELEASE", "Content-Type": "application/json"},
)
ORDER = sdk_hmac.Call(
    host="mkt.myhuaweicloud.com",
    path="/api/mkp-openapi-public/global/v1/order/query",
    query={"orderLineId": "MOCKONDEMAND-000001", "orderId": "MOCKONDEMAND"},
    headers={"content-type": "application/json"},
)
NETWORKS = sdk_hmac.Call(
    host="service.region.example.com",
    path="/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs",
    query={"limit": "2", "marker": "13551d6b-755d-4757-b956-536f674975c0"},
    headers={"content-type": "application/json"},
)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("call", "key_id", "secret", "at", "names", "signature"),
    [
        pytest.param(
            ACTIVATION,
            "test",
            "123",
            datetime(2024, 3, 17, 14, 42, 37, tzinfo=UTC),
            "content-type;host;x-sdk-date;x-stage",
            "77595ad624b6e4e49990b8c4e84bf1c287457fca61069c4e60b9b6765b52053d",
            id="a licence, of a public test suite",
        ),
        pytest.param(
            NETWORKS,
            "QTWAOYTTINDUT2QVKYUC",
            "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
            datetime(2019, 11, 15, 3, 36, 55, tzinfo=UTC),
            "content-type;host;x-sdk-date",
            "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
            id="the vendor's own example",
        ),
        pytest.param(
            ORDER,
            "AKEXAMPLE",
            "SKEXAMPLE",
            NEW_YEAR,
            "content-type;host;x-sdk-date",
            "41b4e1f14ad21c36671f6fc8069e511c74ded1998f77ccaefecb4fe06022911a",
            id="an order",
        ),
    ],
)
def test_signatures_are_those_of_the_examples(
    call: sdk_hmac.Call, *, key_id: str, secret: str, at: datetime, names: str, signature: str
) -> None:
    headers = sdk_hmac.sign(call, key_id=key_id, secret=secret, at=at)
    assert headers["authorization"] == (
        f"SDK-HMAC-SHA256 Access={key_id}, SignedHeaders={names}, Signature={signature}"
    )
    assert headers["host"] == call.host
    assert headers["x-sdk-date"] == at.strftime("%Y%m%dT%H%M%SZ")


def signature(call: sdk_hmac.Call, at: datetime = NEW_YEAR) -> str:
    return sdk_hmac.sign(call, key_id="AKEXAMPLE", secret="SKEXAMPLE", at=at)["authorization"]


def test_the_time_of_signing_may_be_of_any_zone() -> None:
    assert signature(ORDER, NEW_YEAR.astimezone(timezone(timedelta(hours=8)))) == signature(ORDER)


def test_a_slash_at_the_end_of_the_path_is_signed_anyway() -> None:
    assert signature(replace(ORDER, path=ORDER.path + "/")) == signature(ORDER)
    assert sdk_hmac.canonical_request(replace(ORDER, path="/"), {}).splitlines()[1] == "/"


@pytest.mark.parametrize(
    "other",
    [
        replace(ORDER, method="POST"),
        replace(ORDER, path="/api"),
        replace(ORDER, query={"orderId": "MOCKONDEMAND"}),
        replace(ORDER, headers={"content-type": "text/plain"}),
        replace(ORDER, host="mkt.myhuaweicloud.cn"),
        replace(ORDER, body=b"{}"),
    ],
)
def test_each_part_of_a_call_is_signed(other: sdk_hmac.Call) -> None:
    assert signature(other) != signature(ORDER)


def test_queries_are_sorted_and_encoded() -> None:
    assert sdk_hmac.canonical_query({"b": "a b/+~*", "a": "中"}) == "a=%E4%B8%AD&b=a%20b%2F%2B~%2A"
