"""Alibaba Cloud's checks of people and enterprises: what is asked, and what each answer means."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
import respx
import time_machine

from app.core import acs3
from app.gateways.real_name.alibaba import AlibabaRealName
from app.gateways.real_name.base import Claim, Kind, Outcome, Provider, Verdict

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NONCE = "3156853299f313e23d1673dc12e1703d"
REQUEST = "CC3BB6D2-2FDF-4321-9DCE-B38165CE4C47"
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


def alibaba(**changed: Any) -> AlibabaRealName:
    given = {"key_id": "LTAIEXAMPLE", "key_secret": "SecretExample", "auth_code": "Dd1r4id", "timeout": 5}
    return AlibabaRealName(**{**given, **changed})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = alibaba()
    yield made
    await made.close()


def person_says(**result: Any) -> dict[str, Any]:
    return {"Code": "200", "Message": "success", "RequestId": REQUEST, "ResultObject": result}


def company_says(**data: Any) -> dict[str, Any]:
    return {"Code": "OK", "Message": "OK", "RequestId": REQUEST, "AccessDeniedDetail": "-", "Data": data}


# What is asked


@respx.mock
async def test_an_individual_is_asked_for_with_the_signature_of_the_published_vector(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: NONCE)
    route = respx.post("https://cloudauth.aliyuncs.com/").respond(200, json=person_says(BizCode="1"))

    with time_machine.travel(NEW_YEAR, tick=False):
        await provider.verify("rnca_1", PERSON)

    request = route.calls.last.request
    assert request.content == b"IdentifyNum=11010519491231002X&ParamType=normal&UserName=%E5%BC%A0%E4%B8%89"
    assert request.url.query == b""
    assert request.headers["x-acs-action"] == "Id2MetaVerify"
    assert request.headers["x-acs-version"] == "2019-03-07"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"].endswith(
        "Signature=a55149e3aa04d7b2f9793f20a5bcc23c8fae8183dc6e97a6eac767912c167ca8"
    )


@respx.mock
async def test_with_a_phone_all_three_are_asked_for_and_the_country_is_left_out(provider: Provider) -> None:
    route = respx.post("https://cloudauth.aliyuncs.com/").respond(200, json=person_says(BizCode="1"))

    await provider.verify("rnca_1", WITH_PHONE)

    request = route.calls.last.request
    assert request.headers["x-acs-action"] == "Mobile3MetaSimpleVerify"
    assert request.headers["x-acs-version"] == "2019-03-07"
    assert dict(parse_qsl(request.content.decode())) == {
        "ParamType": "normal",
        "UserName": "张三",
        "IdentifyNum": "11010519491231002X",
        "Mobile": "13800138000",
    }


@respx.mock
@pytest.mark.parametrize(
    ("claim", "action", "persons"),
    [
        (TWO, "CompanyTwoElementsVerification", {}),
        (THREE, "CompanyThreeElementsVerification", {"LegalPersonCertName": "李雷"}),
        (
            FOUR,
            "CompanyFourElementsVerification",
            {"LegalPersonCertName": "李雷", "LegalPersonCertNo": "440524188001010014"},
        ),
        (
            Claim(kind=Kind.ENTERPRISE, name=TWO.name, number=TWO.number, legal_number="440524188001010014"),
            "CompanyTwoElementsVerification",
            {},
        ),
        (
            Claim(
                kind=Kind.ENTERPRISE,
                name=TWO.name,
                number=TWO.number,
                legal_name="李雷， 韩梅梅;Jim Green",
                legal_number="440524188001010014,11010519491231002X；360426199101010071、",
            ),
            "CompanyFourElementsVerification",
            {
                "LegalPersonCertName": "李雷、韩梅梅、Jim Green",
                "LegalPersonCertNo": "440524188001010014、11010519491231002X、360426199101010071",
            },
        ),
    ],
    ids=["two", "three", "four", "a number without a name", "several legal persons"],
)
async def test_an_enterprise_is_asked_for_by_what_the_claim_has(
    provider: Provider, claim: Claim, action: str, persons: dict[str, str]
) -> None:
    route = respx.post(host="dytnsapi.aliyuncs.com", path="/").respond(
        200, json=company_says(VerifyResult="true", ReasonCode=0)
    )

    with time_machine.travel(NEW_YEAR, tick=False):
        await provider.verify("rnca_1", claim)

    request = route.calls.last.request
    query = {"AuthCode": "Dd1r4id", "EpCertName": "观测未来（上海）", "EpCertNo": "91350100M000100Y43", **persons}
    assert dict(request.url.params) == query
    assert request.url.query.decode() == acs3.canonical_query(query)
    assert request.content == b""
    expected = acs3.sign(
        acs3.Call(host="dytnsapi.aliyuncs.com", action=action, version="2020-02-17", query=query),
        key_id="LTAIEXAMPLE",
        secret="SecretExample",
        at=NEW_YEAR,
        nonce=request.headers["x-acs-signature-nonce"],
    )
    assert {name: request.headers[name] for name in expected} == expected


@respx.mock
async def test_every_call_has_a_nonce_of_its_own(provider: Provider) -> None:
    route = respx.post("https://cloudauth.aliyuncs.com/").respond(200, json=person_says(BizCode="1"))
    await provider.verify("rnca_1", PERSON)
    await provider.verify("rnca_2", PERSON)
    assert len({call.request.headers["x-acs-signature-nonce"] for call in route.calls}) == 2


@respx.mock
async def test_other_endpoints_are_asked_and_signed_by_their_own_names() -> None:
    person = respx.post("https://cloudauth.cn-beijing.aliyuncs.com/").respond(200, json=person_says(BizCode="1"))
    company = respx.post(host="dytns.example.com", port=8443).respond(
        200, json=company_says(VerifyResult="true", ReasonCode=0)
    )
    provider = alibaba(
        person_endpoint="https://cloudauth.cn-beijing.aliyuncs.com", company_endpoint="https://dytns.example.com:8443/"
    )
    assert (await provider.verify("rnca_1", PERSON)).outcome is Outcome.MATCHED
    assert (await provider.verify("rnca_2", TWO)).outcome is Outcome.MATCHED
    await provider.close()
    assert person.calls.last.request.headers["host"] == "cloudauth.cn-beijing.aliyuncs.com"
    assert company.calls.last.request.headers["host"] == "dytns.example.com:8443"


@respx.mock
async def test_without_an_authorisation_code_no_enterprise_is_asked_for() -> None:
    route = respx.route().respond(200, json=person_says(BizCode="1"))
    provider = alibaba(auth_code=None)
    assert await provider.verify("rnca_1", TWO) == Verdict(Outcome.UNAVAILABLE, detail="no_auth_code")
    assert not route.called
    assert (await provider.verify("rnca_2", PERSON)).outcome is Outcome.MATCHED
    await provider.close()


@respx.mock
@pytest.mark.parametrize("kind", Kind)
async def test_text_that_cannot_be_sent_is_invalid_and_costs_no_call(provider: Provider, kind: Kind) -> None:
    route = respx.route().respond(200, json={})
    claim = Claim(kind=kind, name="\ud83d", number="11010519491231002X")
    assert await provider.verify("rnca_1", claim) == Verdict(Outcome.INVALID, detail="no_text")
    assert not route.called


# What the answers mean


@respx.mock
@pytest.mark.parametrize("claim", [PERSON, WITH_PHONE], ids=["two elements", "three elements"])
@pytest.mark.parametrize(
    ("code", "outcome", "detail"),
    [
        ("1", Outcome.MATCHED, "BizCode 1"),
        (1, Outcome.MATCHED, "BizCode 1"),
        ("2", Outcome.MISMATCHED, "BizCode 2"),
        ("3", Outcome.NOT_FOUND, "BizCode 3"),
        ("4", Outcome.UNAVAILABLE, "BizCode 4"),
        ("", Outcome.UNAVAILABLE, "BizCode unreadable"),
        (True, Outcome.UNAVAILABLE, "BizCode unreadable"),
        (None, Outcome.UNAVAILABLE, "BizCode unreadable"),
        ("张三 13800138000", Outcome.UNAVAILABLE, "BizCode unreadable"),
        ("13800138000", Outcome.UNAVAILABLE, "BizCode unreadable"),
    ],
)
async def test_each_result_about_a_person_has_its_outcome(
    provider: Provider, claim: Claim, code: object, outcome: Outcome, detail: str
) -> None:
    respx.post("https://cloudauth.aliyuncs.com/").respond(200, json=person_says(BizCode=code))
    assert await provider.verify("rnca_1", claim) == Verdict(outcome, detail=detail, request_id=REQUEST)


@respx.mock
@pytest.mark.parametrize("result", [{}, None, [], "1", {"bizCode": "1"}])
async def test_success_without_a_result_is_unavailable(provider: Provider, result: object) -> None:
    body = {"Code": "200", "RequestId": REQUEST, "ResultObject": result}
    respx.post("https://cloudauth.aliyuncs.com/").respond(200, json=body)
    assert (await provider.verify("rnca_1", PERSON)).outcome is Outcome.UNAVAILABLE


@respx.mock
@pytest.mark.parametrize("status", [200, 400, 403])
@pytest.mark.parametrize(
    ("code", "outcome", "field", "detail"),
    [
        ("400", Outcome.INVALID, None, "Code 400"),
        ("401", Outcome.INVALID, None, "Code 401"),
        ("402", Outcome.UNAVAILABLE, None, "Code 402"),
        ("403", Outcome.LIMITED, None, "Code 403"),
        (403, Outcome.LIMITED, None, "Code 403"),
        ("405", Outcome.INVALID, "phone", "Code 405"),
        ("410", Outcome.UNAVAILABLE, None, "Code 410"),
        ("411", Outcome.UNAVAILABLE, None, "Code 411"),
        ("412", Outcome.UNAVAILABLE, None, "Code 412"),
        ("500", Outcome.UNAVAILABLE, None, "Code 500"),
        ("999", Outcome.UNAVAILABLE, None, "Code 999"),
        ("Throttling", Outcome.LIMITED, None, "Throttling"),
        ("Throttling.User", Outcome.LIMITED, None, "Throttling.User"),
        ("Throttling.Api", Outcome.LIMITED, None, "Throttling.Api"),
        ("SignatureDoesNotMatch", Outcome.UNAVAILABLE, None, "SignatureDoesNotMatch"),
        ("InvalidAccessKeyId.NotFound", Outcome.UNAVAILABLE, None, "InvalidAccessKeyId.NotFound"),
        ("Forbidden.RAM", Outcome.UNAVAILABLE, None, "Forbidden.RAM"),
    ],
)
async def test_each_failure_about_a_person_has_its_outcome(
    provider: Provider, *, status: int, code: object, outcome: Outcome, field: str | None, detail: str
) -> None:
    body = {"Code": code, "Message": "参数非法(张三)", "RequestId": REQUEST, "ResultObject": {"BizCode": "1"}}
    respx.post("https://cloudauth.aliyuncs.com/").respond(status, json=body)
    expected = Verdict(outcome, field=field, detail=detail, request_id=REQUEST)
    assert await provider.verify("rnca_1", WITH_PHONE) == expected


@respx.mock
@pytest.mark.parametrize("claim", [TWO, THREE, FOUR], ids=["two", "three", "four"])
@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(
    ("passed", "reason", "outcome", "field"),
    [
        ("true", 0, Outcome.MATCHED, None),
        (True, 0, Outcome.MATCHED, None),
        ("false", 1, Outcome.NOT_OPERATING, None),
        ("true", 1, Outcome.NOT_OPERATING, None),
        ("false", 2, Outcome.MISMATCHED, "legal_name"),
        ("false", 3, Outcome.MISMATCHED, None),
        ("false", 4, Outcome.NOT_FOUND, None),
        ("false", 5, Outcome.NOT_FOUND, None),
        ("false", 6, Outcome.UNAVAILABLE, None),
    ],
)
async def test_each_reason_about_an_enterprise_has_its_outcome(
    provider: Provider, *, claim: Claim, as_text: bool, passed: object, reason: int, outcome: Outcome, field: str | None
) -> None:
    answer = company_says(VerifyResult=passed, ReasonCode=str(reason) if as_text else reason)
    respx.post(host="dytnsapi.aliyuncs.com").respond(200, json=answer)
    expected = Verdict(outcome, field=field, detail=f"ReasonCode {reason}", request_id=REQUEST)
    assert await provider.verify("rnca_1", claim) == expected


@respx.mock
@pytest.mark.parametrize(
    ("passed", "reason", "detail"),
    [
        ("false", 0, "ReasonCode 0 VerifyResult false"),
        (None, 0, "ReasonCode 0 VerifyResult false"),
        ("true", 2, "ReasonCode 2 VerifyResult true"),
        ("true", 3, "ReasonCode 3 VerifyResult true"),
        ("true", None, "ReasonCode unreadable"),
        ("true", "0 观测未来", "ReasonCode unreadable"),
    ],
)
async def test_an_answer_that_contradicts_itself_neither_verifies_nor_rejects(
    provider: Provider, passed: object, reason: object, detail: str
) -> None:
    respx.post(host="dytnsapi.aliyuncs.com").respond(200, json=company_says(VerifyResult=passed, ReasonCode=reason))
    expected = Verdict(Outcome.UNAVAILABLE, detail=detail, request_id=REQUEST)
    assert await provider.verify("rnca_1", TWO) == expected


@respx.mock
@pytest.mark.parametrize(
    ("reason", "named", "field"),
    [
        (3, ["EpCertName"], "name"),
        (3, ["EpCertNo"], "number"),
        (3, ["LegalPersonCertName"], "legal_name"),
        (3, ["LegalPersonCertNo"], "legal_number"),
        (3, ["legalPersonCertNo", "epCertNo"], "number"),
        (3, ["Something", None, 3], None),
        (3, "EpCertName", None),
        (3, 3, None),
        (2, ["LegalPersonCertNo"], "legal_number"),
        (2, ["LegalPersonCertName", "LegalPersonCertNo"], "legal_name"),
        (2, ["EpCertName"], "legal_name"),
        (2, None, "legal_name"),
        (0, ["EpCertName"], None),
    ],
)
async def test_a_mismatch_names_the_member_that_is_inconsistent(
    provider: Provider, reason: int, named: object, field: str | None
) -> None:
    answer = company_says(VerifyResult=str(reason == 0).lower(), ReasonCode=reason, InconsistentData=named)
    respx.post(host="dytnsapi.aliyuncs.com").respond(200, json=answer)
    told = await provider.verify("rnca_1", FOUR)
    assert (told.outcome, told.field) == (Outcome.MATCHED if reason == 0 else Outcome.MISMATCHED, field)


@respx.mock
@pytest.mark.parametrize(
    ("status", "detail"),
    [
        ("吊销", "ReasonCode 1 吊销"),
        ("在营（开业）", "ReasonCode 1 在营（开业）"),
        ("Revoked", "ReasonCode 1 Revoked"),
        ("吊销 91350100M000100Y43", "ReasonCode 1"),
        ("销" * 100, "ReasonCode 1"),
        (None, "ReasonCode 1"),
        (["吊销"], "ReasonCode 1"),
    ],
)
async def test_staff_reads_the_state_of_an_enterprise_that_does_not_operate(
    provider: Provider, status: object, detail: str
) -> None:
    answer = company_says(VerifyResult="false", ReasonCode=1, DetailInfo={"EnterpriseStatus": status})
    respx.post(host="dytnsapi.aliyuncs.com").respond(200, json=answer)
    expected = Verdict(Outcome.NOT_OPERATING, detail=detail, request_id=REQUEST)
    assert await provider.verify("rnca_1", TWO) == expected


@respx.mock
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("RequestFrequencyLimit", Outcome.LIMITED),
        ("Throttling.User", Outcome.LIMITED),
        ("AuthCodeNotExist", Outcome.UNAVAILABLE),
        ("AuthCodeAndApiNotMatch", Outcome.UNAVAILABLE),
        ("AuthCodeIllegal", Outcome.UNAVAILABLE),
        ("NoPermission", Outcome.UNAVAILABLE),
        ("Unknown", Outcome.UNAVAILABLE),
        ("isp.SYSTEM_ERROR", Outcome.UNAVAILABLE),
    ],
)
async def test_each_failure_about_an_enterprise_has_its_outcome(
    provider: Provider, status: int, code: str, outcome: Outcome
) -> None:
    body = {"Code": code, "RequestId": REQUEST, "Data": {"VerifyResult": "true", "ReasonCode": 0}}
    respx.post(host="dytnsapi.aliyuncs.com").respond(status, json=body)
    assert await provider.verify("rnca_1", TWO) == Verdict(outcome, detail=code, request_id=REQUEST)


@respx.mock
@pytest.mark.parametrize(
    "value", [None, 7, "", "x" * 65, "CC3B 张三", "CC3B\n", ["CC3B"]], ids=lambda value: repr(value)[:12]
)
async def test_what_looks_like_no_request_id_is_none(provider: Provider, value: object) -> None:
    body = {**person_says(BizCode="1"), "RequestId": value}
    respx.post("https://cloudauth.aliyuncs.com/").respond(200, json=body)
    assert await provider.verify("rnca_1", PERSON) == Verdict(Outcome.MATCHED, detail="BizCode 1")


# When there is no answer that can be read


@respx.mock
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_success_in_a_client_error_is_no_success(provider: Provider, status: int) -> None:
    respx.route().respond(status, json=person_says(BizCode="1"))
    expected = Verdict(Outcome.UNAVAILABLE, detail=f"http_{status}", request_id=REQUEST)
    assert await provider.verify("rnca_1", PERSON) == expected


@respx.mock
@pytest.mark.parametrize(("status", "detail"), [(200, "unreadable"), (400, "http_400"), (404, "http_404")])
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"Code": null}',
        b'{"Code": true}',
        b'{"Code": "number 13800138000"}',
        b'{"Code": "13800138000"}',
        b'{"code": "200", "ResultObject": {"BizCode": "1"}}',
        b'{"Code": "200", "ResultObject": {"BizCode": "1"}',
    ],
)
async def test_an_answer_without_a_code_is_unavailable(
    provider: Provider, status: int, detail: str, body: bytes
) -> None:
    respx.route().respond(status, content=body)
    assert await provider.verify("rnca_1", PERSON) == Verdict(Outcome.UNAVAILABLE, detail=detail)
    assert await provider.verify("rnca_2", TWO) == Verdict(Outcome.UNAVAILABLE, detail=detail)
