"""Whatever holders do, no code, password, token, email or phone stands in the logs or comes back in a failure."""

import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import respx
import structlog

from app.core.logging import configure
from tests.support.api import PASSWORD, Api, Holder, wrong
from tests.support.clouds import (
    ALIBABA_KEY,
    AWS_PRODUCT,
    EVENTS_SECRET,
    HUAWEI_KEY,
    MARKETPLACES,
    alibaba,
    alibaba_lands,
    aws_event,
    aws_sends,
    claim_of,
    huawei,
    typed,
)

PHONE, NEW_PHONE = "+8613800138000", "+8613900139000"
NEW_EMAIL = "li.lei.new@example.org"
NEW = "another long passphrase"
GUESS = "a guess that is wrong"
# They hold digits that mean nothing; a code in them would be chance.
_IDS_AND_TIMES = {"timestamp", "request_id", "trace_id", "message"}


@pytest.fixture(autouse=True, params=["INFO", "DEBUG"])
def _logging(request: pytest.FixtureRequest) -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure(request.param)
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers = before
    root.setLevel(level)


@asynccontextmanager
async def answers_of(api: Api) -> AsyncIterator[list[httpx.Response]]:
    """Every answer that the client gets meanwhile."""
    answers: list[httpx.Response] = []

    async def keep(answer: httpx.Response) -> None:
        await answer.aread()
        answers.append(answer)

    api.client.event_hooks = {"response": [keep]}
    try:
        yield answers
    finally:
        api.client.event_hooks = {"response": []}


async def post(api: Api, url: str, **body: Any) -> httpx.Response:
    return await api.client.post(url, json=body)


async def log_in(api: Api, identifier: str, password: str) -> httpx.Response:
    return await post(api, "/v1/sessions", method="password", identifier=identifier, password=password)


async def change_contacts(api: Api, holder: Holder) -> None:
    """Email and phone, with a wrong code at each step."""
    for credential, proves, value in (("email", holder.email, NEW_EMAIL), ("phone", PHONE, NEW_PHONE)):
        change = (await api.start(holder, credential)).json()["id"]
        for step, body in (
            ("verify-current", {"code": "000000"}),
            ("verify-current", {"code": await api.code(proves)}),
        ):
            await api.step(holder, change, step, body)
        await api.step(holder, change, "new-value", {"value": f"{value} and more"})
        await api.step(holder, change, "new-value", {"value": value})
        await api.step(holder, change, "confirm", {"code": "000000"})
        done = await api.step(holder, change, "confirm", {"code": await api.code(value)})
        assert done.json()["state"] == "completed"


async def log_in_every_way(api: Api, holder: Holder) -> None:
    for identifier in (holder.username, holder.email, PHONE, "nobody@example.net", "+8613700137000"):
        await log_in(api, identifier, GUESS)
        await log_in(api, identifier, PASSWORD)
        asked = await post(api, "/v1/login-codes", identifier=identifier)
        challenge = asked.json()["challenge_id"]
        await post(api, "/v1/sessions", method="code", challenge_id=challenge, code="000000")
    challenge = (await post(api, "/v1/login-codes", identifier=holder.email)).json()["challenge_id"]
    await post(api, "/v1/sessions", method="code", challenge_id=challenge, code=await api.code(holder.email))
    await post(api, "/v1/sessions/refresh", refresh_token=holder.refresh_token)


async def reset_password(api: Api) -> None:
    reset = (await post(api, "/v1/password-resets", identifier=NEW_EMAIL)).json()["id"]
    url = f"/v1/password-resets/{reset}/confirm"
    await post(api, url, code=await api.code(NEW_EMAIL), new_password="li.lei.new@example.org")
    await post(api, url, code=await api.code(NEW_EMAIL), new_password=NEW)
    assert (await log_in(api, NEW_EMAIL, NEW)).status_code == 201


async def send_what_is_refused(api: Api, holder: Holder) -> None:
    """Right values in wrong places."""
    await post(api, "/v1/sessions", method="password", identifier=holder.email, secret=PASSWORD)
    await post(api, "/v1/sessions", method="password", identifier={"email": holder.email}, password=[PASSWORD])
    await post(api, "/v1/login-codes", identifier=holder.email, phone=PHONE)
    await post(api, f"/v1/registrations/{holder.email}/confirm", code="12345")
    await api.client.get("/v1/account", params={"email": holder.email, "token": holder.access_token})
    await api.client.get(f"/v1/nowhere/{holder.email}/{PHONE}?password={PASSWORD}")
    await api.client.get("/v1/account", headers={"Authorization": f"Bearer {holder.access_token}x"})
    body = f'{{"identifier": "{holder.email}", "password": "{PASSWORD}"'
    await api.client.post("/v1/sessions", content=body, headers={"Content-Type": "application/json"})


async def journey(api: Api) -> tuple[list[str], list[str], list[httpx.Response]]:
    """Everything once, with mistakes: the secrets in it, its codes, and every answer."""
    async with answers_of(api) as answers:
        holder = await api.register(phone=PHONE, contact_name="Han Meimei")
        await send_what_is_refused(api, holder)
        await log_in_every_way(api, holder)
        await change_contacts(api, holder)
        await post(api, "/v1/credential-change-reversals", token=await api.token(PHONE))
        await reset_password(api)
    sent = [one.params for one in await api.deliver()]
    bodies = [answer.json() for answer in answers if answer.content and answer.status_code < 300]
    given = [body.get(name) for body in bodies for name in ("access_token", "refresh_token")]
    told = [params[name] for params in sent for name in ("token", "link") if name in params]
    typed = [PASSWORD, NEW, GUESS, holder.email, NEW_EMAIL, PHONE, NEW_PHONE, "13800138000", "13900139000", "Meimei"]
    strangers = ["nobody@example.net", "13700137000"]
    secrets = [secret for secret in [*given, *told, *typed, *strangers] if secret]
    return secrets, [params["code"] for params in sent if "code" in params], answers


def stands_in(code: str, text: str) -> bool:
    """As a number of its own, not within an id or after the point of a second."""
    return re.search(rf"(?<![0-9A-Za-z.]){code}(?![0-9A-Za-z])", text) is not None


async def test_a_whole_journey_leaves_nothing_secret_or_personal_in_the_log(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets, codes, answers = await journey(api)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    text = "\n".join(
        json.dumps({name: value for name, value in line.items() if name not in _IDS_AND_TIMES}, ensure_ascii=False)
        for line in lines
    )

    assert len([line for line in lines if line["event"] == "request"]) == len(answers)
    assert [secret for secret in secrets if secret in text] == []
    assert [code for code in codes if stands_in(code, text)] == []
    assert "$argon2" not in text


async def test_a_failure_never_gives_back_what_was_sent(api: Api) -> None:
    secrets, codes, answers = await journey(api)
    failures = [answer for answer in answers if answer.status_code >= 400]
    text = "\n".join(re.sub(r'"trace_id": "\w+"', "", answer.text) for answer in failures)

    assert len(failures) > 20
    assert [secret for secret in secrets if secret in text] == []
    assert [code for code in codes if stands_in(code, text)] == []


async def test_a_crash_is_logged_without_what_was_being_done(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(**values: Any) -> None:
        raise RuntimeError(f"cannot handle {holder.email}, {PHONE}, Bearer {holder.access_token}")

    holder = await api.register()
    monkeypatch.setattr(api.container.password, "change", crash)
    body = {"current_password": PASSWORD, "new_password": NEW}
    answer = await api.client.put("/v1/account/password", json=body, headers=holder.auth)
    output = capsys.readouterr().out

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "request_failed" in output
    assert "RuntimeError" in output
    for secret in (PASSWORD, NEW, holder.email, PHONE, holder.access_token):
        assert secret not in output + answer.text


# Marketplaces

METERING = "https://metering.marketplace.us-east-1.amazonaws.com/"
REGISTRATION_TOKEN = "registration-token-of-a-buyer-from-aws"
BUYER: dict[str, Any] = {"email": "wang.fang@example.cn", "mobile": "13700137000"}
on_marketplaces: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES)
BUYERS = {"alibaba": "1234567890123456", "aws": "210987654321"}
INSTANCE, LICENCE = "122000001", "9d01d15f86334a8894365cd7350556ff"


async def buy_on_marketplaces(api: Api) -> tuple[list[str], list[str], list[httpx.Response]]:
    """Purchases, customers and claims, with mistakes: the secrets and people in it, its codes, and every answer."""
    async with answers_of(api) as answers:
        holder = await api.register()
        await alibaba(
            api,
            "createInstance",
            aliUid=BUYERS["alibaba"],
            orderBizId=INSTANCE,
            orderId="order1",
            productCode="cmgj00053362",
            skuId="cmgj00053362-postpay",
            trial="false",
            **BUYER,
        )
        await api.client.get("/marketplace/alibaba", params={"action": "createInstance", "token": ALIBABA_KEY, **BUYER})
        event = aws_event("License Updated - Manufacturer", licence=LICENCE, account=BUYERS["aws"])
        await aws_sends(api, event)
        await aws_sends(api, event, secret=f"{EVENTS_SECRET}!")
        people: dict[str, Any] = {"userName": "wang.fang", "mobilePhone": BUYER["mobile"], "email": BUYER["email"]}
        await huawei(api, "newInstance", orderId="CS1", orderLineId="CS1-000001", businessId="huawei-1", **people)
        await huawei(api, "releaseInstance", instanceId="huawei-2", memo=BUYER["email"])
        claims = [claim_of(await alibaba_lands(api, INSTANCE)), claim_of(await _land_from_aws(api))]
        await _use(api, claims, holder)
        for number in (BUYERS["aws"], BUYERS["alibaba"]):
            await typed(api, holder, number=number, instance=INSTANCE)
    sent = [one.params for one in await api.deliver()]
    calls = [httpx.QueryParams(answer.request.url.query) for answer in answers]
    signed = [call[name] for call in calls for name in ("token", "signature") if name in call]
    secrets = [ALIBABA_KEY, HUAWEI_KEY, EVENTS_SECRET, MARKETPLACES["aws_secret_access_key"], REGISTRATION_TOKEN]
    told = [*BUYER.values(), *BUYERS.values(), holder.email]
    return [*secrets, *signed, *claims, *told], [params["code"] for params in sent if "code" in params], answers


async def _land_from_aws(api: Api) -> httpx.Response:
    said = {
        "CustomerAWSAccountId": BUYERS["aws"],
        "LicenseArn": f"arn:aws:license-manager::294406891311:license:l-{LICENCE}",
        "ProductCode": AWS_PRODUCT,
    }
    with respx.mock:
        metering = respx.post(METERING)
        metering.respond(400, json={"__type": "InvalidTokenException", "message": REGISTRATION_TOKEN})
        await api.client.post("/marketplace/aws/landing", data={"x-amzn-marketplace-token": REGISTRATION_TOKEN})
        metering.respond(json=said)
        form = {"x-amzn-marketplace-token": REGISTRATION_TOKEN}
        return await api.client.post("/marketplace/aws/landing", data=form)


async def _use(api: Api, claims: list[str], holder: Holder) -> None:
    """The first with a login, the second with a code; then both are gone."""
    paths = [f"/v1/marketplace-claims/{claim}" for claim in claims]
    for path in paths:
        assert (await api.client.get(path)).status_code == 200
    accepted = await api.client.post(f"{paths[0]}/accept", headers=holder.auth)
    assert accepted.status_code == 200
    asked = await post(api, f"{paths[1]}/account-codes", username=holder.username)
    challenge, code = asked.json()["challenge_id"], await api.code(holder.email)
    statuses = [
        (await post(api, f"{paths[1]}/accept-with-code", challenge_id=challenge, code=one)).status_code
        for one in (wrong(code), code, code)
    ]
    assert statuses == [422, 200, 410]
    for claim, path in zip(claims, paths, strict=True):
        await api.client.get(path)
        await api.client.get(f"{path}/accept?claim={claim}")
        await api.client.get(f"/v1/nowhere/{claim}")


@on_marketplaces
async def test_what_comes_from_marketplaces_leaves_no_key_token_claim_or_buyer_in_the_log(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets, codes, answers = await buy_on_marketplaces(api)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    text = "\n".join(
        json.dumps({name: value for name, value in line.items() if name not in _IDS_AND_TIMES}, ensure_ascii=False)
        for line in lines
    )

    assert len([line for line in lines if line["event"] == "request"]) == len(answers)
    assert {"marketplace_notice", "marketplace_refused"} <= {line["event"] for line in lines}
    assert [secret for secret in secrets if secret in text] == []
    assert [code for code in codes if stands_in(code, text)] == []


@on_marketplaces
async def test_no_provider_and_no_customer_is_given_back_what_was_sent(api: Api) -> None:
    secrets, _, answers = await buy_on_marketplaces(api)
    failures = [answer for answer in answers if answer.status_code >= 400 and answer.request.method != "HEAD"]

    assert len(failures) >= 8
    text = "\n".join(answer.text for answer in failures)
    assert [secret for secret in secrets if secret in text] == []
