"""Alibaba Cloud: people by ID Verification (cloudauth), enterprises by Cell Phone Number Service (dytnsapi).

Sources: https://help.aliyun.com/zh/id-verification/information-verification/developer-reference/error-code-info-check
(codes of both person actions, whose models are those of cloudauth 2019-03-07) and
https://help.aliyun.com/zh/cpns/developer-reference/api-dytnsapi-2020-02-17-companyfourelementsverification
with its two siblings.
"""

import re
import secrets

import httpx

from app.core import acs3, clock
from app.core.outgoing import quiet_client
from app.gateways.exchange import mapping
from app.gateways.real_name.base import Claim, Kind, Outcome, Verdict
from app.gateways.real_name.exchange import Answer, ask, joined, national, request_id, unavailable, word

_PERSON_VERSION, _COMPANY_VERSION = "2019-03-07", "2020-02-17"

# `Code` other than success. All that is not here (the source is down 402, not activated 410, no RAM permission 411,
# arrears 412, a bad signature, an unknown one) is no fault of the customer's: unavailable.
_CODES: dict[str, tuple[Outcome, str | None]] = {
    "400": (Outcome.INVALID, None),  # a parameter is missing
    "401": (Outcome.INVALID, None),  # a parameter is wrong
    "403": (Outcome.LIMITED, None),  # the same was asked too often
    "405": (Outcome.INVALID, "phone"),  # a range of numbers that cannot be asked for
    "RequestFrequencyLimit": (Outcome.LIMITED, None),  # the same was asked too often
}
_BIZ_CODES = {"1": Outcome.MATCHED, "2": Outcome.MISMATCHED, "3": Outcome.NOT_FOUND}
_REASONS = {
    "0": Outcome.MATCHED,
    "1": Outcome.NOT_OPERATING,
    "2": Outcome.MISMATCHED,  # the legal person is not this enterprise's
    "3": Outcome.MISMATCHED,
    "4": Outcome.NOT_FOUND,  # no such enterprise
    "5": Outcome.NOT_FOUND,  # the source does not know the legal person
}
# The vendor does not say how InconsistentData names the fields: by their parameters, as far as is known.
_FIELDS = {
    "epcertname": "name",
    "epcertno": "number",
    "legalpersoncertname": "legal_name",
    "legalpersoncertno": "legal_number",
}
_STATUS = re.compile(r"[^\W\d_]{1,16}([（(][^\W\d_]{1,16}[）)])?")  # 在营（开业）, 吊销


class AlibabaRealName:
    """Two elements of an individual, three with a phone; two, three or four of an enterprise, by what the claim has.

    A legal representative's number without a name is not sent. `auth_code` is the authorisation that the console shows
    for the enterprise actions; without it, enterprises cannot be asked for (`no_auth_code`). The vendor takes no name
    for a call: `attempt_id` stays here. `timeout` is in seconds, for the whole exchange.
    """

    def __init__(
        self,
        *,
        key_id: str,
        key_secret: str,
        timeout: int,
        auth_code: str | None = None,
        person_endpoint: str = "https://cloudauth.aliyuncs.com",
        company_endpoint: str = "https://dytnsapi.aliyuncs.com",
    ) -> None:
        self._key_id = key_id
        self._key_secret = key_secret
        self._auth_code = auth_code
        self._person_endpoint = httpx.URL(person_endpoint)
        self._company_endpoint = httpx.URL(company_endpoint)
        self._timeout = timeout
        self._client = quiet_client(timeout)

    async def verify(self, attempt_id: str, claim: Claim) -> Verdict:
        is_person = claim.kind is Kind.INDIVIDUAL
        if not is_person and not self._auth_code:
            return unavailable("no_auth_code")
        try:
            request = self._person(claim) if is_person else self._company(claim, self._auth_code or "")
        except UnicodeEncodeError:  # half of a surrogate pair; the exception holds the text
            return Verdict(Outcome.INVALID, detail="no_text")
        answer = await ask(self._client, request, within=self._timeout)
        if isinstance(answer, Verdict):
            return answer
        return _of_person(answer) if is_person else _of_company(answer)

    async def close(self) -> None:
        await self._client.aclose()

    def _person(self, claim: Claim) -> httpx.Request:
        """The parameters go in the body, so that they are in no URL."""
        form = {"ParamType": "normal", "UserName": claim.name, "IdentifyNum": claim.number}
        if claim.phone:
            form["Mobile"] = national(claim.phone)
        call = acs3.Call(
            host=self._person_endpoint.netloc.decode("ascii"),
            action="Mobile3MetaSimpleVerify" if claim.phone else "Id2MetaVerify",
            version=_PERSON_VERSION,
            body=acs3.canonical_query(form).encode("ascii"),
            content_type="application/x-www-form-urlencoded",
        )
        return self._signed(self._person_endpoint, call)

    def _company(self, claim: Claim, auth_code: str) -> httpx.Request:
        action = "CompanyTwoElementsVerification"
        query = {"AuthCode": auth_code, "EpCertName": claim.name, "EpCertNo": claim.number}
        if claim.legal_name:
            action = "CompanyThreeElementsVerification"
            query["LegalPersonCertName"] = joined(claim.legal_name)
            if claim.legal_number:
                action = "CompanyFourElementsVerification"
                query["LegalPersonCertNo"] = joined(claim.legal_number)
        call = acs3.Call(
            host=self._company_endpoint.netloc.decode("ascii"), action=action, version=_COMPANY_VERSION, query=query
        )
        return self._signed(self._company_endpoint, call)

    def _signed(self, endpoint: httpx.URL, call: acs3.Call) -> httpx.Request:
        headers = acs3.sign(
            call, key_id=self._key_id, secret=self._key_secret, at=clock.now(), nonce=secrets.token_hex(16)
        )
        query = acs3.canonical_query(call.query).encode("ascii") or None
        return self._client.build_request(
            call.method, endpoint.copy_with(path="/", query=query), headers=headers, content=call.body
        )


def _of_person(answer: Answer) -> Verdict:
    if failure := _failure(answer, success="200"):
        return failure
    code = word(mapping(answer.members.get("ResultObject")).get("BizCode"))
    outcome = _BIZ_CODES.get(code or "", Outcome.UNAVAILABLE)
    return Verdict(
        outcome, detail=f"BizCode {code or 'unreadable'}", request_id=request_id(answer.members.get("RequestId"))
    )


def _of_company(answer: Answer) -> Verdict:
    if failure := _failure(answer, success="OK"):
        return failure
    asked = request_id(answer.members.get("RequestId"))
    data = mapping(answer.members.get("Data"))
    reason, passed = word(data.get("ReasonCode")), str(data.get("VerifyResult")).lower() == "true"
    detail = f"ReasonCode {reason or 'unreadable'}"
    outcome = _REASONS.get(reason or "", Outcome.UNAVAILABLE)
    if passed != (outcome is Outcome.MATCHED) and outcome in {Outcome.MATCHED, Outcome.MISMATCHED}:
        return unavailable(f"{detail} VerifyResult {str(passed).lower()}", asked)  # it contradicts itself
    if outcome is Outcome.NOT_OPERATING:
        return Verdict(outcome, detail=f"{detail} {_status(data)}".strip(), request_id=asked)
    field = _field(reason, data) if outcome is Outcome.MISMATCHED else None
    return Verdict(outcome, field=field, detail=detail, request_id=asked)


def _failure(answer: Answer, *, success: str) -> Verdict | None:
    """What a `Code` that is no success means. Success counts with status 200 alone."""
    asked = request_id(answer.members.get("RequestId"))
    code = word(answer.members.get("Code"))
    if code is None or (code == success and answer.status != httpx.codes.OK):
        return unavailable("unreadable" if answer.status == httpx.codes.OK else f"http_{answer.status}", asked)
    if code == success:
        return None
    outcome, field = _CODES.get(code, (Outcome.UNAVAILABLE, None))
    if code.startswith("Throttling"):
        outcome = Outcome.LIMITED
    return Verdict(outcome, field=field, detail=code if code[0].isalpha() else f"Code {code}", request_id=asked)


def _field(reason: str | None, data: dict[str, object]) -> str | None:
    """The first member of the claim that is named as inconsistent; by reason 2 it is the legal person anyway."""
    named = data.get("InconsistentData")
    names = {str(name).lower() for name in named} if isinstance(named, list) else set()
    fields = [field for name, field in _FIELDS.items() if name in names]
    if reason == "2":
        return "legal_number" if fields == ["legal_number"] else "legal_name"
    return fields[0] if fields else None


def _status(data: dict[str, object]) -> str:
    """The enterprise's state as the register calls it, for staff; empty if it looks like something else."""
    status = mapping(data.get("DetailInfo")).get("EnterpriseStatus")
    return status if isinstance(status, str) and _STATUS.fullmatch(status) else ""
