"""Alibaba Cloud Marketplace asked about an instance and its order: what is asked, and what each answer means."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx
import time_machine

from app.core import acs3
from app.gateways.marketplaces.alibaba_openapi import AlibabaOpenApi
from app.gateways.marketplaces.base import CannotTell, Facts
from app.models.cloud_accounts import CloudStatus

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NONCE = "3156853299f313e23d1673dc12e1703d"
REQUEST = "6EF60BEC-0242-43AF-BB20-270359FB54A7"
INSTANCE = {
    "RequestId": REQUEST,
    "InstanceId": 122000001,
    "OrderId": 205060317920890,
    "ProductCode": "cmgj00053362",
    "ProductSkuCode": "cmgj00053362-postpay",
    "ProductType": "APP",
    "Status": "OPENED",
    "RelationalData": {"ServiceStatus": "READYING"},
    "AppJson": '{"password":"***"}',
}
ORDER = {
    "RequestId": REQUEST,
    "OrderId": 205060317920890,
    "AliUid": 1234567890123456,
    "OrderStatus": "NORMAL",
    "PayStatus": "PAID",
    "InstanceIds": ["122000001"],
}
KNOWN = Facts(
    account_number="1234567890123456",
    status=CloudStatus.ACTIVE,
    product="cmgj00053362",
    keys=("order:205060317920890",),
)


@pytest.fixture
async def provider() -> AsyncIterator[AlibabaOpenApi]:
    made = AlibabaOpenApi("LTAIEXAMPLE", "SecretExample", timeout=5.0)
    yield made
    await made.close()


def action(name: str, host: str = "market.aliyuncs.com") -> respx.Route:
    return respx.post(host=host, path="/", headers={"x-acs-action": name})


def answers(instance: Any = INSTANCE, order: Any = ORDER) -> tuple[respx.Route, respx.Route]:
    first = action("DescribeInstanceForIsv").respond(200, content=json.dumps(instance))
    return first, action("DescribeOrderForIsv").respond(200, content=json.dumps(order))


def without(members: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}


# What is asked


@respx.mock
async def test_the_instance_is_asked_for_its_order_and_the_order_for_its_buyer(
    provider: AlibabaOpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: NONCE)
    routes = answers()

    with time_machine.travel(NEW_YEAR, tick=False):
        assert await provider.look_up("122000001") == KNOWN

    asked = [
        ("InstanceId=122000001", "f93e46843290f65f5ad7735204e56789c6320471675bb6ce280cda3e5bcd09cf"),
        ("OrderId=205060317920890", "0ae10d14e66a8d4a0bce98091e0cd854a6bcacf18a0b3a24c5f6a42b363d6f9c"),
    ]
    for route, (query, signature) in zip(routes, asked, strict=True):
        request = route.calls.last.request
        assert request.url.query.decode() == query
        assert request.content == b""
        assert request.headers["x-acs-version"] == "2015-11-01"
        assert request.headers["authorization"].endswith(f"Signature={signature}")


@respx.mock
async def test_an_instance_of_any_name_is_signed_as_it_is_sent(provider: AlibabaOpenApi) -> None:
    route, _ = answers({"RequestId": REQUEST})
    await provider.look_up("1 &=+~观测云\0")
    request = route.calls.last.request
    query = {"InstanceId": "1 &=+~观测云\0"}
    assert request.url.query.decode() == acs3.canonical_query(query)
    expected = acs3.sign(
        acs3.Call(host="market.aliyuncs.com", action="DescribeInstanceForIsv", version="2015-11-01", query=query),
        key_id="LTAIEXAMPLE",
        secret="SecretExample",
        at=datetime.strptime(request.headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
        nonce=request.headers["x-acs-signature-nonce"],
    )
    assert {name: request.headers[name] for name in expected} == expected


@respx.mock
async def test_every_question_has_a_nonce_of_its_own(provider: AlibabaOpenApi) -> None:
    answers()
    await provider.look_up("122000001")
    assert len({call.request.headers["x-acs-signature-nonce"] for call in respx.calls}) == 2


@respx.mock
async def test_another_endpoint_is_asked_and_signed_by_its_own_name() -> None:
    host = "market.ap-southeast-1.aliyuncs.com"
    route = action("DescribeInstanceForIsv", host).respond(200, json={"RequestId": REQUEST})
    provider = AlibabaOpenApi("LTAIEXAMPLE", "SecretExample", f"https://{host}", timeout=0.5)
    assert await provider.look_up("122000001") == Facts()
    await provider.close()
    assert route.calls.last.request.headers["host"] == host


@respx.mock
async def test_a_name_that_cannot_be_sent_is_that_of_nothing_and_costs_no_call(provider: AlibabaOpenApi) -> None:
    route, _ = answers()
    assert await provider.look_up("\ud83d") == Facts()
    assert not route.called


# What the answers mean


@respx.mock
@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"Status": "OPENING"}, CloudStatus.PENDING),
        ({"Status": "OPENED"}, CloudStatus.ACTIVE),
        ({"Status": "EXPIRED"}, CloudStatus.FROZEN),
        ({"Status": "CLOSED"}, CloudStatus.ENDED),
        ({"RelationalData": {"ServiceStatus": "READYING"}}, CloudStatus.PENDING),
        ({"RelationalData": {"ServiceStatus": "STARTED"}}, CloudStatus.ACTIVE),
        ({"RelationalData": {"ServiceStatus": "CONFIRM"}}, CloudStatus.PENDING),
        ({"RelationalData": {"ServiceStatus": "EXPIRED"}}, CloudStatus.FROZEN),
        ({"RelationalData": {"ServiceStatus": "CLOSED"}}, CloudStatus.ENDED),
        ({"Status": "OPENED", "RelationalData": {"ServiceStatus": "READYING"}}, CloudStatus.ACTIVE),
        ({"Status": "EXPIRED", "RelationalData": {"ServiceStatus": "STARTED"}}, CloudStatus.FROZEN),
        ({"Status": "SOMETHING", "RelationalData": {"ServiceStatus": "STARTED"}}, CloudStatus.ACTIVE),
        ({"Status": ["OPENED"], "RelationalData": {"ServiceStatus": {}}}, None),
        ({"RelationalData": "STARTED"}, None),
        ({}, None),
    ],
)
async def test_the_state_of_the_instance_counts_before_that_of_its_service(
    provider: AlibabaOpenApi, told: dict[str, Any], status: CloudStatus | None
) -> None:
    answers({**without(INSTANCE, "Status", "RelationalData"), **told})
    assert (await provider.look_up("122000001")).status is status


@respx.mock
@pytest.mark.parametrize("word", ["REFUND", "DELETE"])
async def test_an_instance_whose_order_was_given_back_is_ended(provider: AlibabaOpenApi, word: str) -> None:
    answers(order={**ORDER, "OrderStatus": word})
    assert (await provider.look_up("122000001")).status is CloudStatus.ENDED


@respx.mock
@pytest.mark.parametrize(
    ("order", "number"),
    [
        ({**ORDER, "AliUid": "1234567890123456", "OrderId": "205060317920890"}, "1234567890123456"),
        ({**ORDER, "InstanceIds": {"InstanceId": ["1", 122000001]}}, "1234567890123456"),
        ({**ORDER, "AliUid": 0}, None),
        ({**ORDER, "AliUid": True}, None),
        ({**ORDER, "AliUid": "1\0"}, None),
        ({**ORDER, "AliUid": "\ud83d"}, None),
        ({**ORDER, "AliUid": 10**300}, None),
        (without(ORDER, "AliUid"), None),
    ],
)
async def test_the_buyer_is_told_as_text(provider: AlibabaOpenApi, order: dict[str, Any], number: str | None) -> None:
    answers(order=order)
    assert (await provider.look_up("122000001")).account_number == number


@respx.mock
@pytest.mark.parametrize(
    "order",
    [
        {**ORDER, "InstanceIds": []},
        {**ORDER, "InstanceIds": ["122000002", None, {}]},
        {**ORDER, "OrderId": 205060317920891},
        without(ORDER, "OrderId"),
    ],
)
async def test_an_order_that_does_not_name_the_instance_proves_nothing(
    provider: AlibabaOpenApi, order: dict[str, Any]
) -> None:
    answers(order=order)
    with pytest.raises(CannotTell, match="contradictory"):
        await provider.look_up("122000001")


@respx.mock
@pytest.mark.parametrize("order", [None, 0])
async def test_an_empty_answer_is_that_of_an_instance_that_does_not_exist(
    provider: AlibabaOpenApi, order: object
) -> None:
    _, second = answers({"RequestId": REQUEST, "OrderId": order})
    assert await provider.look_up("122000009") == Facts()
    assert not second.called


@respx.mock
@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize(
    "code",
    [
        "InvalidInstanceId.NotFound",
        "Instance.NotFound",
        "InstanceNotFound",
        "InstanceNotExist",
        "INSTANCE_NOT_EXIST",
        "Market.InstanceIdNotExists",
        "InvalidOrderId.NotFound",
        "ReturnNull",
        "null",
    ],
)
async def test_a_code_that_says_so_is_that_of_an_instance_that_does_not_exist(
    provider: AlibabaOpenApi, status: int, code: str
) -> None:
    body = {"Code": code, "RequestId": REQUEST, "HostId": "market.aliyuncs.com"}
    action("DescribeInstanceForIsv").respond(status, json=body)
    assert await provider.look_up("122000009") == Facts()


@respx.mock
async def test_an_order_that_does_not_exist_though_the_instance_names_it_proves_nothing(
    provider: AlibabaOpenApi,
) -> None:
    answers()
    action("DescribeOrderForIsv").respond(404, json={"Code": "InvalidOrderId.NotFound"})
    with pytest.raises(CannotTell, match="contradictory"):
        await provider.look_up("122000001")


@respx.mock
@pytest.mark.parametrize("asked", ["DescribeInstanceForIsv", "DescribeOrderForIsv"])
@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (500, "UnknownError", "http_500"),
        (500, "InvalidInstanceId.NotFound", "http_500"),
        (503, "ServiceUnavailable", "http_503"),
        (302, "", "http_302"),
        (400, "Throttling.User", "throttled"),
        (429, "", "throttled"),
        (400, "SignatureDoesNotMatch", "kept_out"),
        (400, "IncompleteSignature", "kept_out"),
        (404, "InvalidAccessKeyId.NotFound", "kept_out"),
        (403, "Forbidden.RAM", "kept_out"),
        (400, "IllegalPermission", "kept_out"),
        (404, "InvalidAction.NotFound", "http_404"),
        (400, "InvalidTimeStamp.Expired", "http_400"),
        (400, None, "http_400"),
        (400, ["InstanceNotFound"], "http_400"),
        (200, "UnknownError", "unreadable"),
        (200, 200, "unreadable"),
    ],
)
async def test_another_failure_tells_nothing(
    provider: AlibabaOpenApi, *, asked: str, status: int, code: object, why: str
) -> None:
    answers()
    action(asked).respond(status, json={"Code": code, "Message": "1234567890123456", "RequestId": REQUEST})
    with pytest.raises(CannotTell) as failure:
        await provider.look_up("122000001")
    assert (failure.value.why, str(failure.value)) == (why, why)
    assert failure.value.__cause__ is None


# When there is no answer that can be read


@respx.mock
@pytest.mark.parametrize("asked", ["DescribeInstanceForIsv", "DescribeOrderForIsv"])
@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (httpx.ReadTimeout("InstanceId=122000001"), "timeout"),
        (httpx.ConnectError("InstanceId=122000001"), "connect"),
        (httpx.RemoteProtocolError("InstanceId=122000001"), "network"),
    ],
)
async def test_no_answer_tells_nothing(
    provider: AlibabaOpenApi, asked: str, failure: httpx.HTTPError, why: str
) -> None:
    answers()
    action(asked).mock(side_effect=failure)
    with pytest.raises(CannotTell, match=f"^{why}$"):
        await provider.look_up("122000001")


@respx.mock
@pytest.mark.parametrize(("status", "why"), [(200, "unreadable"), (404, "http_404"), (429, "throttled")])
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff", b"[" * 60_000, b'{"OrderId": 1' + b"1" * 5000 + b"}"])
async def test_an_answer_that_is_no_object_tells_nothing(
    provider: AlibabaOpenApi, *, status: int, why: str, body: bytes
) -> None:
    action("DescribeInstanceForIsv").respond(status, content=body)
    with pytest.raises(CannotTell, match=f"^{why}$"):
        await provider.look_up("122000001")


@respx.mock
async def test_an_answer_too_long_to_be_one_tells_nothing(provider: AlibabaOpenApi) -> None:
    action("DescribeInstanceForIsv").respond(200, content=b"{" + b" " * 70_000)
    with pytest.raises(CannotTell, match="too_long"):
        await provider.look_up("122000001")


@respx.mock
@pytest.mark.parametrize(
    ("instance", "order"),
    [
        ({}, ORDER),
        ({"OrderId": 0, "RequestId": 7.5}, ORDER),
        ({**INSTANCE, "OrderId": [205060317920890]}, ORDER),
        ({**INSTANCE, "OrderId": 2.5}, ORDER),
        ({**INSTANCE, "OrderId": "2\0"}, ORDER),
        ({**INSTANCE, "OrderId": "2" * 256}, ORDER),
        (without(INSTANCE, "ProductCode"), ORDER),
        ({**INSTANCE, "ProductCode": {"a": 1}}, ORDER),
        (INSTANCE, without(ORDER, "InstanceIds")),
        (INSTANCE, {**ORDER, "InstanceIds": "122000001"}),
        (INSTANCE, {**ORDER, "InstanceIds": {"InstanceId": "122000001"}}),
    ],
)
async def test_an_answer_of_another_shape_tells_nothing(
    provider: AlibabaOpenApi, instance: dict[str, Any], order: dict[str, Any]
) -> None:
    answers(instance, order)
    with pytest.raises(CannotTell, match="unreadable"):
        await provider.look_up("122000001")
