"""Tencent Cloud's checks of people and enterprises: what is asked, and what each answer means."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import respx
import time_machine

from app.core import tc3
from app.gateways.real_name.base import Claim, Kind, Outcome, Provider, Verdict
from app.gateways.real_name.tencent import TencentRealName

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = "6e6ef488-b1cf-4722-8f36-ae9386c22cb2"
FACEID, OCR = "https://faceid.tencentcloudapi.com/", "https://ocr.tencentcloudapi.com/"
PERSON = Claim(kind=Kind.INDIVIDUAL, name="张三", number="11010519491231002X")
WITH_PHONE = Claim(kind=Kind.INDIVIDUAL, name="张三", number="11010519491231002X", phone="+8613800138000")
TWO = Claim(kind=Kind.ENTERPRISE, name="观测未来（上海）", number="91350100M000100Y43")
THREE = Claim(kind=Kind.ENTERPRISE, name="观测未来（上海）", number="91350100M000100Y43", legal_name="李雷")
FOUR = Claim(
    kind=Kind.ENTERPRISE,
    name="观测未来（上海）",
    number="91350100M000100Y43",
    legal_name="李雷",
    legal_number="440524188001010014",
)
ENTERPRISE = {"CreditCode": "91350100M000100Y43", "EntName": "观测未来（上海）"}


def tencent(**changed: Any) -> TencentRealName:
    given = {"secret_id": "AKIDEXAMPLE", "secret_key": "SecretKeyExample", "timeout": 5}
    return TencentRealName(**{**given, **changed})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = tencent()
    yield made
    await made.close()


def says(**members: Any) -> dict[str, Any]:
    return {"Response": {"RequestId": REQUEST, **members}}


# What is asked


@respx.mock
async def test_an_individual_is_asked_for_with_the_signature_of_the_published_vector(provider: Provider) -> None:
    route = respx.post(FACEID).respond(200, json=says(Result="0"))

    with time_machine.travel(NEW_YEAR, tick=False):
        await provider.verify("rnca_1", PERSON)

    request = route.calls.last.request
    assert request.content == '{"IdCard":"11010519491231002X","Name":"张三"}'.encode()
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.headers["x-tc-action"] == "IdCardVerification"
    assert request.headers["x-tc-version"] == "2018-03-01"
    assert request.headers["x-tc-timestamp"] == "1767225600"
    assert "x-tc-region" not in request.headers
    assert request.headers["authorization"] == (
        "TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2026-01-01/faceid/tc3_request, SignedHeaders=content-type;host, "
        "Signature=6dcebd1645b3a2e0e423c081c66c1185ce05f4169370d3453b190036442f2021"
    )


@respx.mock
async def test_with_a_phone_all_three_are_asked_for_and_the_country_is_left_out(provider: Provider) -> None:
    route = respx.post(FACEID).respond(200, json=says(Result="0"))

    await provider.verify("rnca_1", WITH_PHONE)

    request = route.calls.last.request
    assert request.headers["x-tc-action"] == "PhoneVerification"
    assert json.loads(request.content) == {"IdCard": "11010519491231002X", "Name": "张三", "Phone": "13800138000"}


@respx.mock
@pytest.mark.parametrize(
    ("claim", "action", "rest"),
    [
        (TWO, "VerifyBizLicenseEnterprise3", {"VerifyType": "ENT_2META"}),
        (THREE, "VerifyBizLicenseEnterprise3", {"VerifyType": "ENT_3META", "LrName": "李雷"}),
        (FOUR, "VerifyBizLicenseEnterprise4", {"LrName": "李雷", "IdNum": "440524188001010014"}),
        (
            Claim(kind=Kind.ENTERPRISE, name=TWO.name, number=TWO.number, legal_number="440524188001010014"),
            "VerifyBizLicenseEnterprise3",
            {"VerifyType": "ENT_2META"},
        ),
        (
            Claim(kind=Kind.ENTERPRISE, name=TWO.name, number=TWO.number, legal_name="李雷，韩梅梅"),
            "VerifyBizLicenseEnterprise3",
            {"VerifyType": "ENT_3META", "LrName": "李雷、韩梅梅"},
        ),
    ],
    ids=["two", "three", "four", "a number without a name", "several legal persons"],
)
async def test_an_enterprise_is_asked_for_by_what_the_claim_has(
    provider: Provider, claim: Claim, action: str, rest: dict[str, str]
) -> None:
    route = respx.post(OCR).respond(200, json=says(StatusCode=0, VerifyResult=1, OperatingStatus="1"))

    with time_machine.travel(NEW_YEAR, tick=False):
        await provider.verify("rnca_1", claim)

    request = route.calls.last.request
    assert json.loads(request.content) == {**ENTERPRISE, **rest}
    call = tc3.Call(
        host="ocr.tencentcloudapi.com",
        service="ocr",
        action=action,
        version="2018-11-19",
        body=request.content,
        region="ap-guangzhou",
    )
    expected = tc3.sign(call, secret_id="AKIDEXAMPLE", secret_key="SecretKeyExample", at=NEW_YEAR)
    assert {name: request.headers[name] for name in expected} == expected


@respx.mock
async def test_other_endpoints_are_asked_and_signed_by_their_own_names() -> None:
    person = respx.post("https://faceid.ap-beijing.tencentcloudapi.com/").respond(200, json=says(Result="0"))
    company = respx.post(host="ocr.example.com", port=8443).respond(
        200, json=says(StatusCode=0, VerifyResult=1, OperatingStatus="1")
    )
    provider = tencent(
        person_endpoint="https://faceid.ap-beijing.tencentcloudapi.com",
        company_endpoint="https://ocr.example.com:8443/",
        region="ap-beijing",
    )
    assert (await provider.verify("rnca_1", PERSON)).outcome is Outcome.MATCHED
    assert (await provider.verify("rnca_2", TWO)).outcome is Outcome.MATCHED
    await provider.close()
    assert person.calls.last.request.headers["host"] == "faceid.ap-beijing.tencentcloudapi.com"
    assert company.calls.last.request.headers["host"] == "ocr.example.com:8443"
    assert company.calls.last.request.headers["x-tc-region"] == "ap-beijing"
    assert "/ocr/tc3_request" in company.calls.last.request.headers["authorization"]


@respx.mock
@pytest.mark.parametrize("kind", Kind)
async def test_text_that_cannot_be_sent_is_invalid_and_costs_no_call(provider: Provider, kind: Kind) -> None:
    route = respx.route().respond(200, json={})
    claim = Claim(kind=kind, name="\ud83d", number="11010519491231002X")
    assert await provider.verify("rnca_1", claim) == Verdict(Outcome.INVALID, detail="no_text")
    assert not route.called


# What the answers mean


@respx.mock
@pytest.mark.parametrize(
    ("claim", "code", "outcome", "field"),
    [
        (PERSON, "0", Outcome.MATCHED, None),
        (PERSON, "-1", Outcome.MISMATCHED, None),
        (PERSON, "-2", Outcome.INVALID, "number"),
        (PERSON, "-3", Outcome.INVALID, "name"),
        (PERSON, "-4", Outcome.UNAVAILABLE, None),
        (PERSON, "-5", Outcome.NOT_FOUND, None),
        (PERSON, "-6", Outcome.UNAVAILABLE, None),
        (PERSON, "-7", Outcome.LIMITED, None),
        (PERSON, "-8", Outcome.UNAVAILABLE, None),
        (PERSON, "1", Outcome.UNAVAILABLE, None),
        (WITH_PHONE, "0", Outcome.MATCHED, None),
        (WITH_PHONE, "-1", Outcome.UNAVAILABLE, None),
        (WITH_PHONE, "-2", Outcome.UNAVAILABLE, None),
        (WITH_PHONE, "-3", Outcome.UNAVAILABLE, None),
        (WITH_PHONE, "-4", Outcome.MISMATCHED, None),
        (WITH_PHONE, "-5", Outcome.UNAVAILABLE, None),
        (WITH_PHONE, "-6", Outcome.INVALID, "phone"),
        (WITH_PHONE, "-7", Outcome.INVALID, "number"),
        (WITH_PHONE, "-8", Outcome.INVALID, "name"),
        (WITH_PHONE, "-9", Outcome.NOT_FOUND, None),
        (WITH_PHONE, "-10", Outcome.UNAVAILABLE, None),
        (WITH_PHONE, "-11", Outcome.UNAVAILABLE, None),
        (WITH_PHONE, "-12", Outcome.LIMITED, None),
        (WITH_PHONE, "-13", Outcome.INVALID, "phone"),
    ],
)
@pytest.mark.parametrize("read", [str, int])
async def test_each_result_about_a_person_has_its_outcome(
    provider: Provider, *, claim: Claim, code: str, outcome: Outcome, field: str | None, read: type
) -> None:
    respx.post(FACEID).respond(200, json=says(Result=read(code), Description="张三"))
    expected = Verdict(outcome, field=field, detail=f"Result {code}", request_id=REQUEST)
    assert await provider.verify("rnca_1", claim) == expected


@respx.mock
@pytest.mark.parametrize("result", [None, "", True, False, 0.0, [], {}, "zero", "张三", "13800138000"])
@pytest.mark.parametrize("claim", [PERSON, WITH_PHONE], ids=["two elements", "three elements"])
async def test_a_result_of_another_form_is_unavailable(provider: Provider, claim: Claim, result: object) -> None:
    respx.post(FACEID).respond(200, json=says(Result=result))
    told = await provider.verify("rnca_1", claim)
    assert told.outcome is Outcome.UNAVAILABLE
    assert told.detail in {"Result unreadable", "Result zero"}


@respx.mock
@pytest.mark.parametrize("claim", [TWO, THREE, FOUR], ids=["two", "three", "four"])
@pytest.mark.parametrize(
    ("members", "outcome", "detail"),
    [
        ({"StatusCode": 0, "VerifyResult": 1, "OperatingStatus": "1"}, Outcome.MATCHED, "OperatingStatus 1"),
        ({"StatusCode": "0", "VerifyResult": "1", "OperatingStatus": 1}, Outcome.MATCHED, "OperatingStatus 1"),
        *(
            (
                {"StatusCode": 0, "VerifyResult": 1, "OperatingStatus": status},
                Outcome.NOT_OPERATING,
                f"OperatingStatus {status}",
            )
            for status in ["0", "2", "3", "4", "5", "6", "7", "8", "/", "-10002"]
        ),
        *(
            (
                {"StatusCode": 0, "VerifyResult": 1, "OperatingStatus": status},
                Outcome.NOT_OPERATING,
                "OperatingStatus unreadable",
            )
            for status in [None, "", True, ["1"], "开业", "91350100M000100Y43"]
        ),
        ({"StatusCode": 0, "VerifyResult": 0, "OperatingStatus": "1"}, Outcome.MISMATCHED, "VerifyResult 0"),
        ({"StatusCode": 0, "VerifyResult": 0}, Outcome.MISMATCHED, "VerifyResult 0"),
        ({"StatusCode": 0, "VerifyResult": 0, "OperatingStatus": "/"}, Outcome.MISMATCHED, "VerifyResult 0"),
        ({"StatusCode": 0, "VerifyResult": 2, "OperatingStatus": "1"}, Outcome.UNAVAILABLE, "VerifyResult 2"),
        ({"StatusCode": 0, "OperatingStatus": "1"}, Outcome.UNAVAILABLE, "VerifyResult unreadable"),
        ({"StatusCode": 0, "VerifyResult": True}, Outcome.UNAVAILABLE, "VerifyResult unreadable"),
        ({"StatusCode": 0, "VerifyResult": False}, Outcome.UNAVAILABLE, "VerifyResult unreadable"),
        ({"StatusCode": 1}, Outcome.UNAVAILABLE, "StatusCode 1"),
        ({"StatusCode": 1, "VerifyResult": 1, "OperatingStatus": "1"}, Outcome.UNAVAILABLE, "StatusCode 1"),
        ({"StatusCode": 2}, Outcome.NOT_FOUND, "StatusCode 2"),
        ({"StatusCode": 3}, Outcome.UNAVAILABLE, "StatusCode 3"),
        ({"VerifyResult": 1, "OperatingStatus": "1"}, Outcome.UNAVAILABLE, "StatusCode unreadable"),
        ({}, Outcome.UNAVAILABLE, "StatusCode unreadable"),
    ],
)
async def test_each_result_about_an_enterprise_has_its_outcome(
    provider: Provider, claim: Claim, members: dict[str, Any], outcome: Outcome, detail: str
) -> None:
    respx.post(OCR).respond(200, json=says(**members))
    assert await provider.verify("rnca_1", claim) == Verdict(outcome, detail=detail, request_id=REQUEST)


@respx.mock
@pytest.mark.parametrize(
    ("wrong", "field", "detail"),
    [
        (["EntName"], "name", "VerifyResult 0 EntName"),
        (["CreditCode"], "number", "VerifyResult 0 CreditCode"),
        (["LrName"], "legal_name", "VerifyResult 0 LrName"),
        (["IdNum"], "legal_number", "VerifyResult 0 IdNum"),
        (["IdNum", "LrName"], "legal_name", "VerifyResult 0 LrName IdNum"),
        (
            ["IdNum", "LrName", "CreditCode", "EntName"],
            "name",
            "VerifyResult 0 EntName CreditCode LrName IdNum",
        ),
        ([], None, "VerifyResult 0"),
    ],
)
async def test_a_mismatch_names_the_first_member_that_is_inconsistent(
    provider: Provider, wrong: list[str], field: str | None, detail: str
) -> None:
    flags = {f"Is{name}Consistent": name not in wrong for name in ["CreditCode", "EntName", "LrName", "IdNum"]}
    answer = says(StatusCode=0, VerifyResult=0, OperatingStatus="1", OperatingPeriod="/", **flags)
    respx.post(OCR).respond(200, json=answer)
    expected = Verdict(Outcome.MISMATCHED, field=field, detail=detail, request_id=REQUEST)
    assert await provider.verify("rnca_1", FOUR) == expected


@respx.mock
@pytest.mark.parametrize("flag", [None, 0, "false", []])
async def test_only_false_itself_names_a_member(provider: Provider, flag: object) -> None:
    respx.post(OCR).respond(200, json=says(StatusCode=0, VerifyResult=0, IsLrNameConsistent=flag))
    assert (await provider.verify("rnca_1", FOUR)).field is None


@respx.mock
@pytest.mark.parametrize(
    ("name", "code", "outcome"),
    [
        (False, False, Outcome.NOT_FOUND),
        (True, False, Outcome.MISMATCHED),
        (False, True, Outcome.MISMATCHED),
    ],
)
async def test_an_enterprise_of_which_neither_name_nor_code_is_known_is_not_found(
    provider: Provider, name: bool, code: bool, outcome: Outcome
) -> None:
    answer = says(
        StatusCode=0,
        VerifyResult=0,
        OperatingStatus="-10002",
        IsEntNameConsistent=name,
        IsCreditCodeConsistent=code,
        IsLrNameConsistent=False,
        IsIdNumConsistent=False,
    )
    respx.post(OCR).respond(200, json=answer)
    told = await provider.verify("rnca_1", FOUR)
    assert told.outcome is outcome
    assert (told.field is None) == (outcome is Outcome.NOT_FOUND)


@respx.mock
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("InvalidParameter", Outcome.INVALID),
        ("InvalidParameterValue", Outcome.INVALID),
        ("RequestLimitExceeded", Outcome.LIMITED),
        ("RequestLimitExceeded.UinLimitExceeded", Outcome.LIMITED),
        ("RequestLimitExceeded.GlobalRegionUinLimitExceeded", Outcome.LIMITED),
        ("LimitExceeded", Outcome.LIMITED),
        ("FailedOperation.CountLimitError", Outcome.LIMITED),
        ("AuthFailure.SignatureFailure", Outcome.UNAVAILABLE),
        ("AuthFailure.SecretIdNotFound", Outcome.UNAVAILABLE),
        ("AuthFailure.UnauthorizedOperation", Outcome.UNAVAILABLE),
        ("UnauthorizedOperation.Arrears", Outcome.UNAVAILABLE),
        ("UnauthorizedOperation.Nonactivated", Outcome.UNAVAILABLE),
        ("UnauthorizedOperation.ChargeStatusException", Outcome.UNAVAILABLE),
        ("FailedOperation.ArrearsError", Outcome.UNAVAILABLE),
        ("FailedOperation.UnKnown", Outcome.UNAVAILABLE),
        ("FailedOperation.DataSourceQueryFailed", Outcome.UNAVAILABLE),
        ("ResourceUnavailable.InArrears", Outcome.UNAVAILABLE),
        ("ResourcesSoldOut.ChargeStatusException", Outcome.UNAVAILABLE),
        ("InvalidParameter.UnsupportEncryptField", Outcome.UNAVAILABLE),
        ("MissingParameter", Outcome.UNAVAILABLE),
        ("InternalError", Outcome.UNAVAILABLE),
        ("SomethingNew", Outcome.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("claim", [PERSON, TWO], ids=["person", "enterprise"])
async def test_each_error_has_its_outcome_whatever_else_is_said(
    provider: Provider, *, claim: Claim, code: str, outcome: Outcome, status: int
) -> None:
    error = {"Code": code, "Message": "张三 13800138000"}
    answer = says(Error=error, Result="0", StatusCode=0, VerifyResult=1, OperatingStatus="1")
    respx.route().respond(status, json=answer)
    assert await provider.verify("rnca_1", claim) == Verdict(outcome, detail=code, request_id=REQUEST)


@respx.mock
@pytest.mark.parametrize("error", [None, {}, [], "AuthFailure", {"Code": None}, {"Code": "张三"}])
async def test_an_error_that_cannot_be_read_is_unavailable(provider: Provider, error: object) -> None:
    respx.post(FACEID).respond(200, json=says(Error=error, Result="0"))
    expected = Verdict(Outcome.UNAVAILABLE, detail="unreadable", request_id=REQUEST)
    assert await provider.verify("rnca_1", PERSON) == expected


@respx.mock
@pytest.mark.parametrize("value", [None, 7, "", "x" * 65, "6e6e 张三", "6e6e\n"])
async def test_what_looks_like_no_request_id_is_none(provider: Provider, value: object) -> None:
    respx.post(FACEID).respond(200, json={"Response": {"Result": "0", "RequestId": value}})
    assert await provider.verify("rnca_1", PERSON) == Verdict(Outcome.MATCHED, detail="Result 0")


# When there is no answer that can be read


@respx.mock
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_result_in_a_client_error_is_none(provider: Provider, status: int) -> None:
    respx.route().respond(status, json=says(Result="0", StatusCode=0, VerifyResult=0))
    expected = Verdict(Outcome.UNAVAILABLE, detail=f"http_{status}", request_id=REQUEST)
    assert await provider.verify("rnca_1", PERSON) == expected
    assert await provider.verify("rnca_2", TWO) == expected


@respx.mock
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"Response": null}',
        b'{"Response": "0"}',
        b'{"Response": {}}',
        b'{"Result": "0", "StatusCode": 0, "VerifyResult": 1, "OperatingStatus": "1"}',
        b'{"Response": {"result": "0"}}',
    ],
)
async def test_an_answer_without_a_result_is_unavailable(provider: Provider, body: bytes) -> None:
    respx.route().respond(200, content=body)
    person, enterprise = await provider.verify("rnca_1", WITH_PHONE), await provider.verify("rnca_2", FOUR)
    assert person == Verdict(Outcome.UNAVAILABLE, detail="Result unreadable")
    assert enterprise == Verdict(Outcome.UNAVAILABLE, detail="StatusCode unreadable")
