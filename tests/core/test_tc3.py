"""Tencent Cloud's signature against the published vectors, and those that its SDK gives."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.core import tc3

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
INSTANCES = tc3.Call(
    host="cvm.tencentcloudapi.com",
    service="cvm",
    action="DescribeInstances",
    version="2017-03-12",
    body=rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}',
    region="ap-guangzhou",
)


def identity(body: bytes, content_type: str) -> tc3.Call:
    return tc3.Call(
        host="faceid.tencentcloudapi.com",
        service="faceid",
        action="IdCardVerification",
        version="2018-03-01",
        body=body,
        content_type=content_type,
    )


@pytest.mark.parametrize(
    ("call", "secret", "at", "signed", "signature"),
    [
        pytest.param(
            INSTANCES,
            "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
            1551113065,
            ["content-type", "host"],
            "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
            id="the vendor's own example",
        ),
        pytest.param(
            INSTANCES,
            "*" * 32,
            1551113065,
            ["content-type", "host", "x-tc-action"],
            "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
            id="the vendor's example with the action signed",
        ),
        pytest.param(
            identity('{"IdCard":"11010519491231002X","Name":"张三"}'.encode(), "application/json; charset=utf-8"),
            "SecretKeyExample",
            1767225600,
            ["content-type", "host"],
            "6dcebd1645b3a2e0e423c081c66c1185ce05f4169370d3453b190036442f2021",
            id="a body in UTF-8",
        ),
        pytest.param(
            identity(rb'{"IdCard": "11010519491231002X", "Name": "\u5f20\u4e09"}', "application/json"),
            "SecretKeyExample",
            1767225600,
            ["content-type", "host"],
            "92f05e6b7a8b73dab7769ae74b4b6be920d3aa32f7d6b3a71677f051073e25cc",
            id="as the vendor's SDK signs it",
        ),
    ],
)
def test_the_signature_equals_the_vectors(
    call: tc3.Call, secret: str, at: int, signed: list[str], signature: str
) -> None:
    moment = datetime.fromtimestamp(at, UTC)
    headers = tc3.sign(call, secret_id="AKIDEXAMPLE", secret_key=secret, at=moment, signed=signed)
    assert headers["authorization"] == (
        f"TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/{moment:%Y-%m-%d}/{call.service}/tc3_request, "
        f"SignedHeaders={';'.join(signed)}, Signature={signature}"
    )


def test_type_and_host_are_signed_unless_told_otherwise() -> None:
    headers = tc3.sign(INSTANCES, secret_id="AKIDEXAMPLE", secret_key="secret", at=NEW_YEAR)
    assert "SignedHeaders=content-type;host, " in headers["authorization"]


def test_the_headers_name_action_version_time_and_region() -> None:
    headers = tc3.sign(INSTANCES, secret_id="AKIDEXAMPLE", secret_key="secret", at=NEW_YEAR)
    assert {name: value for name, value in headers.items() if name != "authorization"} == {
        "content-type": "application/json; charset=utf-8",
        "host": "cvm.tencentcloudapi.com",
        "x-tc-action": "DescribeInstances",
        "x-tc-timestamp": "1767225600",
        "x-tc-version": "2017-03-12",
        "x-tc-region": "ap-guangzhou",
    }


def test_no_region_is_named_where_there_is_none() -> None:
    call = identity(b"{}", "application/json")
    assert "x-tc-region" not in tc3.sign(call, secret_id="AKIDEXAMPLE", secret_key="secret", at=NEW_YEAR)


def test_the_day_of_a_signature_is_that_of_utc() -> None:
    in_china = datetime(2026, 1, 1, 7, 59, 59, tzinfo=timezone(timedelta(hours=8)))
    headers = tc3.sign(INSTANCES, secret_id="AKIDEXAMPLE", secret_key="secret", at=in_china)
    assert "/2025-12-31/cvm/" in headers["authorization"]
    assert headers["x-tc-timestamp"] == "1767225599"


def test_nothing_but_letters_case_and_blanks_around_values_is_forgiven() -> None:
    call = tc3.Call(host=" Example.COM ", service="x", action="Do", version="1", body=b"{}", content_type="Text/Plain")
    headers = {"host": call.host, "content-type": call.content_type}
    assert tc3.canonical_request(call, headers, ["content-type", "host"]) == (
        "POST\n/\n\ncontent-type:text/plain\nhost:example.com\n\ncontent-type;host\n"
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
