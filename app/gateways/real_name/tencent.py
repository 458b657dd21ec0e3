"""Tencent Cloud: people by eKYC (faceid), enterprises by OCR's check of business licences.

Sources: https://www.tencentcloud.com/zh/document/api/1061/79049 (IdCardVerification),
https://cloud.tencent.com/document/api/1007/39765 (PhoneVerification),
https://cloud.tencent.com/document/api/866/132862 and .../129072 (VerifyBizLicenseEnterprise3 and 4),
https://cloud.tencent.com/document/product/1007/47911 (codes). Their data on enterprises is a week old at times.
"""

import json
import re
from typing import Any

import httpx

from app.core import clock, tc3
from app.core.outgoing import quiet_client
from app.gateways.exchange import mapping
from app.gateways.real_name.base import Claim, Kind, Outcome, Verdict
from app.gateways.real_name.exchange import Answer, ask, joined, national, request_id, unavailable, word

_PERSON_VERSION, _COMPANY_VERSION = "2018-03-01", "2018-11-19"

# One number means different things in different actions.
_RESULTS: dict[str, dict[str, tuple[Outcome, str | None]]] = {
    "IdCardVerification": {
        "0": (Outcome.MATCHED, None),
        "-1": (Outcome.MISMATCHED, None),
        "-2": (Outcome.INVALID, "number"),
        "-3": (Outcome.INVALID, "name"),
        "-4": (Outcome.UNAVAILABLE, None),  # the source fails
        "-5": (Outcome.NOT_FOUND, None),
        "-6": (Outcome.UNAVAILABLE, None),  # the source is being upgraded
        "-7": (Outcome.LIMITED, None),  # often enough today
    },
    "PhoneVerification": {
        "0": (Outcome.MATCHED, None),
        "-4": (Outcome.MISMATCHED, None),
        "-6": (Outcome.INVALID, "phone"),
        "-7": (Outcome.INVALID, "number"),
        "-8": (Outcome.INVALID, "name"),
        "-9": (Outcome.NOT_FOUND, None),
        "-11": (Outcome.UNAVAILABLE, None),  # busy
        "-12": (Outcome.LIMITED, None),  # often enough today
        "-13": (Outcome.INVALID, "phone"),  # a range of numbers that cannot be asked for
    },
}
# `Error.Code`. All that is not here (AuthFailure, arrears, not activated, a fault of theirs) is no fault of the
# customer's: unavailable.
_ERRORS = {
    "InvalidParameter": Outcome.INVALID,
    "InvalidParameterValue": Outcome.INVALID,
    "FailedOperation.CountLimitError": Outcome.LIMITED,  # often enough today
}
_LIMITS = re.compile(r"(RequestLimitExceeded|LimitExceeded)(\..*)?")
_FLAGS = {
    "IsEntNameConsistent": "name",
    "IsCreditCodeConsistent": "number",
    "IsLrNameConsistent": "legal_name",
    "IsIdNumConsistent": "legal_number",
}
_OPERATING = "1"
_NO_SUCH_ENTERPRISE = "-10002"  # as an OperatingStatus
_STATUS = re.compile(r"[0-9A-Za-z/-]{1,8}")


class TencentRealName:
    """Two elements of an individual, three with a phone; two, three or four of an enterprise, by what the claim has.

    A legal representative's number without a name is not sent. `region` goes to OCR alone. The vendor takes no name for
    a call: `attempt_id` stays here. `timeout` is in seconds, for the whole exchange.
    """

    def __init__(
        self,
        *,
        secret_id: str,
        secret_key: str,
        timeout: int,
        person_endpoint: str = "https://faceid.tencentcloudapi.com",
        company_endpoint: str = "https://ocr.tencentcloudapi.com",
        region: str = "ap-guangzhou",
    ) -> None:
        self._secret_id = secret_id
        self._secret_key = secret_key
        self._person_endpoint = httpx.URL(person_endpoint)
        self._company_endpoint = httpx.URL(company_endpoint)
        self._region = region
        self._timeout = timeout
        self._client = quiet_client(timeout)

    async def verify(self, attempt_id: str, claim: Claim) -> Verdict:
        is_person = claim.kind is Kind.INDIVIDUAL
        action, parameters = _person(claim) if is_person else _company(claim)
        try:
            request = self._request(action, parameters, is_person=is_person)
        except UnicodeEncodeError:  # half of a surrogate pair; the exception holds the text
            return Verdict(Outcome.INVALID, detail="no_text")
        answer = await ask(self._client, request, within=self._timeout)
        if isinstance(answer, Verdict):
            return answer
        response = mapping(answer.members.get("Response"))
        if failure := _failure(answer, response):
            return failure
        return _of_person(action, response) if is_person else _of_company(response)

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, action: str, parameters: dict[str, str], *, is_person: bool) -> httpx.Request:
        endpoint = self._person_endpoint if is_person else self._company_endpoint
        call = tc3.Call(
            host=endpoint.netloc.decode("ascii"),
            service="faceid" if is_person else "ocr",
            action=action,
            version=_PERSON_VERSION if is_person else _COMPANY_VERSION,
            body=json.dumps(parameters, ensure_ascii=False, separators=(",", ":")).encode(),
            region=None if is_person else self._region,
        )
        headers = tc3.sign(call, secret_id=self._secret_id, secret_key=self._secret_key, at=clock.now())
        return self._client.build_request("POST", endpoint.copy_with(path="/"), headers=headers, content=call.body)


def _person(claim: Claim) -> tuple[str, dict[str, str]]:
    parameters = {"IdCard": claim.number, "Name": claim.name}
    if claim.phone:
        return "PhoneVerification", {**parameters, "Phone": national(claim.phone)}
    return "IdCardVerification", parameters


def _company(claim: Claim) -> tuple[str, dict[str, str]]:
    parameters = {"CreditCode": claim.number, "EntName": claim.name}
    if not claim.legal_name:
        return "VerifyBizLicenseEnterprise3", {**parameters, "VerifyType": "ENT_2META"}
    parameters["LrName"] = joined(claim.legal_name)
    if claim.legal_number:
        return "VerifyBizLicenseEnterprise4", {**parameters, "IdNum": joined(claim.legal_number)}
    return "VerifyBizLicenseEnterprise3", {**parameters, "VerifyType": "ENT_3META"}


def _failure(answer: Answer, response: dict[str, Any]) -> Verdict | None:
    """What an `Error` means: those of business come with status 200 as well. A result counts with status 200 alone."""
    asked = request_id(response.get("RequestId"))
    if "Error" in response:
        code = word(mapping(response["Error"]).get("Code")) or "unreadable"
        outcome = Outcome.LIMITED if _LIMITS.fullmatch(code) else _ERRORS.get(code, Outcome.UNAVAILABLE)
        return Verdict(outcome, detail=code, request_id=asked)
    if answer.status != httpx.codes.OK:
        return unavailable(f"http_{answer.status}", asked)
    return None


def _of_person(action: str, response: dict[str, Any]) -> Verdict:
    code = word(response.get("Result"))
    outcome, field = _RESULTS[action].get(code or "", (Outcome.UNAVAILABLE, None))
    detail = f"Result {code or 'unreadable'}"
    return Verdict(outcome, field=field, detail=detail, request_id=request_id(response.get("RequestId")))


def _of_company(response: dict[str, Any]) -> Verdict:
    asked = request_id(response.get("RequestId"))
    status, result = word(response.get("StatusCode")), word(response.get("VerifyResult"))
    if status == "2":
        return Verdict(Outcome.NOT_FOUND, detail="StatusCode 2", request_id=asked)
    if status != "0":
        return unavailable(f"StatusCode {status or 'unreadable'}", asked)
    operating = _operating(response)
    if result == "1":
        # Anything but "open" is for staff to look at, "unknown" as well.
        outcome = Outcome.MATCHED if operating == _OPERATING else Outcome.NOT_OPERATING
        return Verdict(outcome, detail=f"OperatingStatus {operating}", request_id=asked)
    if result != "0":
        return unavailable(f"VerifyResult {result or 'unreadable'}", asked)
    wrong = [flag for flag in _FLAGS if response.get(flag) is False]
    detail = " ".join(["VerifyResult 0", *(flag.removeprefix("Is").removesuffix("Consistent") for flag in wrong)])
    if operating == _NO_SUCH_ENTERPRISE and {"IsEntNameConsistent", "IsCreditCodeConsistent"} <= set(wrong):
        # Neither name nor code is known: enterprise4's way to say what is StatusCode 2 of enterprise3.
        return Verdict(Outcome.NOT_FOUND, detail=f"OperatingStatus {operating}", request_id=asked)
    return Verdict(Outcome.MISMATCHED, field=_FLAGS[wrong[0]] if wrong else None, detail=detail, request_id=asked)


def _operating(response: dict[str, Any]) -> str:
    status = response.get("OperatingStatus")
    text = str(status) if isinstance(status, str | int) and not isinstance(status, bool) else ""
    return text if _STATUS.fullmatch(text) else "unreadable"
