"""AWS Marketplace: customers who come in a browser, and where its news is taken."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import respx
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.core import sigv4
from app.gateways.marketplaces import aws_customer
from app.gateways.marketplaces.aws import AwsMarketplace, Seller
from app.gateways.marketplaces.base import (
    Call,
    CannotTell,
    Done,
    Heard,
    Marketplace,
    Notice,
    Outcome,
    Page,
    Refused,
    Reply,
    Subscription,
)
from app.models.cloud_accounts import CloudStatus, Effect
from tests.gateways.test_marketplace_aws_events import AGREEMENT, ARN, BUYER, LICENCE, PRODUCT, UPDATED
from tests.gateways.test_sns import ASKING, PEM, SAID, TOPIC, certificate, signed

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
AWS = "https://metering.marketplace.us-east-1.amazonaws.com/"
CHINA = "https://metering.marketplace.cn-northwest-1.amazonaws.com.cn/"
SECRET = "an-events-secret-of-32-characters"
CUSTOMER = {
    "CustomerAWSAccountId": BUYER,
    "LicenseArn": ARN,
    "ProductCode": PRODUCT,
    "CustomerIdentifier": "",
    "Metadata": {"AgreementId": AGREEMENT},
}
OLDER = {"CustomerIdentifier": "X01EXAMPLEX", "CustomerAWSAccountId": BUYER, "ProductCode": "n0123EXAMPLE"}


def seller(**changed: Any) -> Seller:
    given = {
        "key_id": "AKIDEXAMPLE",
        "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "session_token": None,
        "region": "us-east-1",
        "endpoint": AWS,
        "products": frozenset({PRODUCT, "n0123EXAMPLE"}),
    }
    return Seller(**{**given, **changed})


def marketplace(**changed: Any) -> AwsMarketplace:
    china = seller(region="cn-northwest-1", endpoint=CHINA, products=frozenset({"china"}))
    given = {
        "sellers": {"landing": seller(), "landing/china": china},
        "topics": [TOPIC],
        "events_secret": SECRET,
        "timeout": 5.0,
    }
    return AwsMarketplace(**{**given, **changed})


@pytest.fixture(scope="module")
async def made_once() -> AsyncIterator[AwsMarketplace]:
    """Its clients read the system's certificates, which takes a while."""
    made = marketplace()
    yield made
    await made.close()


@pytest.fixture
def aws(made_once: AwsMarketplace, monkeypatch: pytest.MonkeyPatch) -> AwsMarketplace:
    monkeypatch.setattr(aws_customer, "_PAUSES", (0.0, 0.0, 0.0))
    assert made_once._sns is not None
    made_once._sns._certificates.clear()
    return made_once


def call(
    channel: str, body: bytes = b"", method: str = "POST", headers: Mapping[str, str] = MappingProxyType({})
) -> Call:
    return Call(channel, method, [], headers, body, NEW_YEAR)


def landing(token: str = "tok-example", channel: str = "landing") -> Call:
    return call(channel, urlencode({"x-amzn-marketplace-token": token}).encode())


def event(said: object = UPDATED, headers: Mapping[str, str] = MappingProxyType({"x-api-key": SECRET})) -> Call:
    return call("events", said if isinstance(said, bytes) else json.dumps(said).encode(), headers=headers)


async def refusal(aws: AwsMarketplace, call: Call) -> Refused:
    with pytest.raises(Refused) as raised:
        await aws.hear(call)
    return raised.value


async def heard(aws: AwsMarketplace, call: Call) -> tuple[Heard, Notice]:
    found = await aws.hear(call)
    assert found.notice is not None
    return found, found.notice


# Where it is


async def test_it_is_a_marketplace_where_nobody_types(aws: AwsMarketplace) -> None:
    known: Marketplace = aws
    assert (known.name, known.typed) == ("aws", False)


@pytest.mark.parametrize(
    ("channel", "methods"),
    [
        ("landing", {"GET", "HEAD", "POST"}),
        ("landing/china", {"GET", "HEAD", "POST"}),
        ("sns", {"POST"}),
        ("events", {"POST"}),
        ("", set()),
        ("landing/moon", set()),
    ],
)
async def test_it_takes_calls_at_its_channels(aws: AwsMarketplace, channel: str, methods: set[str]) -> None:
    assert {method for method in ("GET", "HEAD", "POST", "PUT") if aws.serves(channel, method)} == methods


@pytest.mark.parametrize(
    ("without", "channel"),
    [
        ({"sellers": {"landing": seller()}}, "landing/china"),
        ({"topics": []}, "sns"),
        ({"events_secret": None}, "events"),
        ({"events_secret": ""}, "events"),
    ],
)
async def test_what_is_not_configured_is_not_served(without: dict[str, Any], channel: str) -> None:
    made = marketplace(**without)
    assert not made.serves(channel, "POST")
    refused = await refusal(made, call(channel, headers={"x-api-key": "", "authorization": "Bearer "}))
    assert (refused.why, refused.reply.status) == ("unserved", 404)
    await made.close()


# A customer who lands


@respx.mock
async def test_the_token_is_redeemed_with_the_signature_of_the_vector(aws: AwsMarketplace) -> None:
    route = respx.post(AWS).respond(200, json=CUSTOMER)
    with time_machine.travel(NEW_YEAR, tick=False):
        await aws.hear(landing())
    request = route.calls.last.request
    assert request.content == b'{"RegistrationToken":"tok-example"}'
    assert request.headers["x-amz-target"] == "AWSMPMeteringService.ResolveCustomer"
    assert request.headers["content-type"] == "application/x-amz-json-1.1"
    assert request.headers["x-amz-date"] == "20260101T000000Z"
    assert request.headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/aws-marketplace/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
        "Signature=86810ef0b9d86ecddeab4624df485f96a6e965bc76c0436816373756a7a8db7d"
    )


@respx.mock
async def test_temporary_credentials_are_signed_with_their_token() -> None:
    route = respx.post(AWS).respond(200, json=CUSTOMER)
    made = marketplace(sellers={"landing": seller(session_token="session")})
    with time_machine.travel(NEW_YEAR, tick=False):
        await made.hear(landing())
    await made.close()
    request = route.calls.last.request
    expected = sigv4.sign(
        sigv4.Call(
            host="metering.marketplace.us-east-1.amazonaws.com",
            region="us-east-1",
            service="aws-marketplace",
            target="AWSMPMeteringService.ResolveCustomer",
            body=request.content,
        ),
        key_id="AKIDEXAMPLE",
        secret=seller().secret,
        at=NEW_YEAR,
        session_token="session",
    )
    assert {name: request.headers[name] for name in expected} == expected


@respx.mock
async def test_a_customer_with_a_licence_lands(aws: AwsMarketplace) -> None:
    respx.post(AWS).respond(200, json=CUSTOMER)
    found, notice = await heard(aws, landing())
    keys = (f"license:{LICENCE}", f"agreement:{AGREEMENT}")
    body = {
        "CustomerAWSAccountId": BUYER,
        "LicenseArn": ARN,
        "ProductCode": PRODUCT,
        "AgreementId": AGREEMENT,
    }
    assert notice == Notice(
        channel="landing",
        type="ResolveCustomer",
        effect=Effect.REGISTERED,
        dedup=notice.dedup,
        at=NEW_YEAR,
        body=body,
        keys=keys,
        hints=(f"buyer:{BUYER}/{PRODUCT}",),
        strand=AGREEMENT,
        account_number=BUYER,
        instance_id=ARN,
        product=PRODUCT,
        opens=True,
    )
    assert found.lands == keys
    assert aws.parse("landing", json.loads(json.dumps(notice.body)), NEW_YEAR) == notice


@respx.mock
@pytest.mark.parametrize("account", [BUYER, None])
async def test_a_customer_of_an_older_product_lands(aws: AwsMarketplace, account: str | None) -> None:
    respx.post(AWS).respond(200, json={**OLDER, "CustomerAWSAccountId": account})
    found, notice = await heard(aws, landing())
    hints = ("customer:X01EXAMPLEX/n0123EXAMPLE",) + ((f"buyer:{BUYER}/n0123EXAMPLE",) if account else ())
    assert (notice.keys, notice.hints, notice.strand) == ((), hints, "")
    assert (notice.instance_id, notice.account_number) == ("X01EXAMPLEX/n0123EXAMPLE", account)
    assert notice.opens
    assert found.lands == ("instance:X01EXAMPLEX/n0123EXAMPLE",)
    assert aws.parse("landing", json.loads(json.dumps(notice.body)), NEW_YEAR) == notice


@respx.mock
async def test_customers_of_amazon_web_services_china_land_there(aws: AwsMarketplace) -> None:
    route = respx.post(CHINA).respond(200, json={**OLDER, "ProductCode": "china"})
    _, notice = await heard(aws, landing(channel="landing/china"))
    assert (notice.channel, notice.product) == ("landing/china", "china")
    assert "/cn-northwest-1/aws-marketplace/" in route.calls.last.request.headers["authorization"]
    assert aws.parse("landing/china", notice.body, NEW_YEAR) == notice


@respx.mock
async def test_who_lands_again_is_the_same(aws: AwsMarketplace) -> None:
    respx.post(AWS).respond(200, json=CUSTOMER)
    first, second = [(await heard(aws, landing(token)))[1] for token in ("tok-1", "tok-2")]
    assert first.dedup == second.dedup
    respx.post(AWS).respond(200, json=OLDER)
    assert (await heard(aws, landing()))[1].dedup != first.dedup


@respx.mock
async def test_the_token_is_kept_nowhere(aws: AwsMarketplace) -> None:
    respx.post(AWS).respond(200, json=CUSTOMER)
    with capture_logs() as logs:
        found = await aws.hear(landing("tok-secret"))
        respx.post(AWS).respond(400, json={"__type": "InvalidTokenException", "message": "tok-secret"})
        refused = await refusal(aws, landing("tok-secret"))
    assert "tok-secret" not in f"{found!r} {logs!r} {refused!r} {refused.reply!r}"
    assert seller().secret not in repr(seller(session_token="session"))
    assert "'session'" not in repr(seller(session_token="session"))


@respx.mock
@pytest.mark.parametrize("said", [CUSTOMER, OLDER])
async def test_another_sellers_product_is_turned_away(aws: AwsMarketplace, said: dict[str, Any]) -> None:
    respx.post(AWS).respond(200, json={**said, "ProductCode": "china"})
    assert (await refusal(aws, landing())).reply == Reply(400, page=Page.INVALID)
    respx.post(AWS).respond(200, json={**said, "ProductCode": None})
    assert (await refusal(aws, landing())).reply == Reply(400, page=Page.INVALID)


@respx.mock
@pytest.mark.parametrize(
    "said",
    [
        {"ProductCode": PRODUCT},
        {"ProductCode": PRODUCT, "LicenseArn": ARN},
        {"ProductCode": PRODUCT, "CustomerAWSAccountId": BUYER},
        {"ProductCode": PRODUCT, "CustomerIdentifier": "x" * 250},
    ],
)
async def test_who_is_nobody_is_turned_away(aws: AwsMarketplace, said: dict[str, Any]) -> None:
    respx.post(AWS).respond(200, json=said)
    refused = await refusal(aws, landing())
    assert (refused.why, refused.reply) == ("incomplete", Reply(400, page=Page.INVALID))


@respx.mock
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_brings_nothing_is_helped(aws: AwsMarketplace, method: str) -> None:
    assert (await refusal(aws, call("landing", method=method))).reply == Reply(200, page=Page.HELP)


@respx.mock
@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"x-amzn-marketplace-token=",
        b"x-amzn-marketplace-offer-type=free-trial",
        b"token=abc",
        b"x-amzn-marketplace-token=a&x-amzn-marketplace-token=b",
        b"x-amzn-marketplace-token=a+b",
        b"x-amzn-marketplace-token=a%00",
        b"x-amzn-marketplace-token=%FF",
        b"x-amzn-marketplace-token=%E8%A7%82",
        b"x-amzn-marketplace-token=\xe8\xa7\x82",
        b"x-amzn-marketplace-token=" + b"a" * 8193,
        b"x-amzn-marketplace-token=abc&x=" + b"a" * 65536,
        b"x-amzn-marketplace-token=abc" + b"&a=b" * 100,
        b'{"x-amzn-marketplace-token": "abc"}',
    ],
)
async def test_a_form_without_a_token_costs_no_call(aws: AwsMarketplace, form: bytes) -> None:
    route = respx.route().respond(200, json=CUSTOMER)
    assert (await refusal(aws, call("landing", form))).reply == Reply(400, page=Page.INVALID)
    assert not route.called


@respx.mock
async def test_a_token_is_decoded_and_the_same_one_twice_is_one(aws: AwsMarketplace) -> None:
    route = respx.post(AWS).respond(200, json=CUSTOMER)
    form = b"x-amzn-marketplace-token=a%2Bb%2F%3D&x-amzn-marketplace-offer-type=free-trial"
    await aws.hear(call("landing", form + b"&x-amzn-marketplace-token=a%2Bb%2F%3D"))
    assert json.loads(route.calls.last.request.content) == {"RegistrationToken": "a+b/="}


# What AWS answers


@respx.mock
@pytest.mark.parametrize("prefix", ["", "com.amazonaws.marketplace.metering#"])
@pytest.mark.parametrize(
    ("error", "message", "status", "which"),
    [
        ("ExpiredTokenException", "The registration token has expired.", 410, Page.EXPIRED),
        ("ExpiredTokenException", "The security token included in the request is expired", 503, Page.LATER),
        ("InvalidTokenException", "no", 400, Page.INVALID),
        ("InvalidTokenException:http://internal/", "no", 400, Page.INVALID),
        ("DisabledApiException", "no", 503, Page.LATER),
        ("AccessDeniedException", "no", 503, Page.LATER),
        ("UnrecognizedClientException", "The security token included in the request is invalid.", 503, Page.LATER),
        ("观测", "no", 503, Page.LATER),
    ],
)
async def test_each_error_has_its_page(
    aws: AwsMarketplace, *, prefix: str, error: str, message: str, status: int, which: Page
) -> None:
    route = respx.post(AWS).respond(400, json={"__type": prefix + error, "message": message})
    assert (await refusal(aws, landing())).reply == Reply(status, page=which)
    assert route.call_count == 1


@respx.mock
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"__type": "ThrottlingException"}),
        httpx.Response(500, json={"__type": "InternalServiceErrorException"}),
        httpx.Response(503, content=b"<html>"),
    ],
)
async def test_a_call_that_may_go_better_next_time_is_made_again(aws: AwsMarketplace, answer: httpx.Response) -> None:
    route = respx.post(AWS).mock(side_effect=[answer, answer, answer, httpx.Response(200, json=CUSTOMER)])
    assert (await aws.hear(landing())).lands
    assert route.call_count == 4


@respx.mock
@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (httpx.Response(400, json={"__type": "ThrottlingException"}), 4),
        (httpx.Response(500, json={"__type": "InternalServiceErrorException"}), 4),
        (httpx.Response(500, json={"__type": "InvalidTokenException"}), 4),
        (httpx.Response(403, content=b"<html>"), 1),
        (httpx.Response(404, json={}), 1),
        (httpx.Response(302, headers={"location": CHINA}, json={}), 1),
        (httpx.Response(200, content=b"x" * 70_000), 1),
        (httpx.Response(200, content=b"[]"), 1),
        (httpx.Response(200, content=b"{"), 1),
        (httpx.Response(200, json={**CUSTOMER, "LicenseArn": 1}), 1),
        (httpx.Response(200, json={**CUSTOMER, "CustomerAWSAccountId": "x" * 256}), 1),
        (httpx.Response(200, content=b'{"ProductCode": "\\u0000"}'), 1),
    ],
)
async def test_without_an_answer_it_is_later(aws: AwsMarketplace, answer: httpx.Response, calls: int) -> None:
    route = respx.post(AWS).mock(return_value=answer)
    with capture_logs() as logs:
        assert (await refusal(aws, landing())).reply == Reply(503, page=Page.LATER)
    assert route.call_count == calls
    assert [line["event"] for line in logs] == ["aws_customer_unresolved"]


@respx.mock
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
async def test_without_a_connection_it_is_later(aws: AwsMarketplace, error: type[httpx.TransportError]) -> None:
    respx.post(AWS).mock(side_effect=error("no"))
    assert (await refusal(aws, landing())).reply == Reply(503, page=Page.LATER)


@respx.mock
async def test_all_tries_together_have_one_limit_in_time() -> None:
    respx.post(AWS).respond(400, json={"__type": "ThrottlingException"})
    made = marketplace(timeout=0.05)
    assert (await refusal(made, landing())).reply == Reply(503, page=Page.LATER)
    await made.close()


def test_the_pauses_between_tries_are_short() -> None:
    assert sum(aws_customer._PAUSES) <= 2


# SNS


@respx.mock
async def test_a_message_of_a_topic_is_heard(aws: AwsMarketplace) -> None:
    respx.get(PEM).respond(200, content=certificate())
    found, notice = await heard(aws, call("sns", json.dumps(signed(SAID)).encode()))
    assert (notice.type, notice.effect) == ("subscribe-success", Effect.ACTIVATED)
    assert notice.hints == ("customer:X01EXAMPLEX/n0123EXAMPLE",)
    assert (found.lands, notice.opens) == ((), False)
    assert "Signature" not in json.dumps(notice.body)
    assert aws.parse("sns", json.loads(json.dumps(notice.body)), NEW_YEAR) == notice


@respx.mock
async def test_a_topic_that_asks_is_told_to_send(aws: AwsMarketplace) -> None:
    respx.get(PEM).respond(200, content=certificate())
    route = respx.get("https://sns.us-east-1.amazonaws.com/").respond(200)
    _, notice = await heard(aws, call("sns", json.dumps(signed(ASKING)).encode()))
    assert (notice.type, notice.effect) == ("SubscriptionConfirmation", Effect.NONE)
    assert route.call_count == 1
    assert ASKING["Token"] not in json.dumps(notice.body)


@respx.mock
async def test_a_topic_that_could_not_be_told_asks_again(aws: AwsMarketplace) -> None:
    respx.get(PEM).respond(200, content=certificate())
    respx.get("https://sns.us-east-1.amazonaws.com/").respond(500)
    refused = await refusal(aws, call("sns", json.dumps(signed(ASKING)).encode()))
    assert (refused.why, refused.reply.status) == ("unconfirmed", 503)


@respx.mock
async def test_a_topic_that_sends_no_more_is_in_the_log(aws: AwsMarketplace) -> None:
    route = respx.get(PEM).respond(200, content=certificate())
    with capture_logs() as logs:
        _, notice = await heard(
            aws, call("sns", json.dumps(signed({**ASKING, "Type": "UnsubscribeConfirmation"})).encode())
        )
    assert (notice.type, notice.effect) == ("UnsubscribeConfirmation", Effect.NONE)
    assert logs == [{"event": "aws_topic_unsubscribed", "log_level": "warning", "topic": TOPIC}]
    assert route.call_count == 1


async def test_a_forged_message_is_refused(aws: AwsMarketplace) -> None:
    refused = await refusal(aws, call("sns", json.dumps(signed({**SAID, "TopicArn": "another"})).encode()))
    assert (refused.why, refused.reply.status) == ("topic", 403)


@respx.mock
async def test_a_genuine_message_that_makes_no_sense_is_refused(aws: AwsMarketplace) -> None:
    respx.get(PEM).respond(200, content=certificate())
    said = {**SAID, "Message": '{"action": "subscribe-success", "customer-identifier": 1}'}
    refused = await refusal(aws, call("sns", json.dumps(signed(said)).encode()))
    assert (refused.why, refused.reply.status) == ("malformed", 400)


# EventBridge


@pytest.mark.parametrize("headers", [{"x-api-key": SECRET}, {"authorization": f"Bearer {SECRET}"}])
async def test_an_event_with_the_secret_is_heard(aws: AwsMarketplace, headers: dict[str, str]) -> None:
    found, notice = await heard(aws, event(headers=headers))
    assert (notice.type, notice.effect, notice.opens) == ("License Updated", Effect.ACTIVATED, True)
    assert found.lands == ()
    assert aws.parse("events", json.loads(json.dumps(notice.body)), NEW_YEAR) == notice


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": SECRET + "x"},
        {"x-api-key": f"Bearer {SECRET}"},
        {"authorization": SECRET},
        {"authorization": f"bearer {SECRET}"},
        {"authorization": f"Basic {SECRET}"},
        {"authorization": "\ud83d", "x-api-key": "é"},
    ],
)
async def test_an_event_without_the_secret_is_refused(aws: AwsMarketplace, headers: dict[str, str]) -> None:
    refused = await refusal(aws, event(headers=headers))
    assert (refused.why, refused.reply.status) == ("secret", 403)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b"{}", b"[" * 100_000, b'{"id": ' + b"9" * 5000 + b"}", b" " * 1024 * 1025, b'{"id": "1"}'],
)
async def test_what_is_no_event_is_refused(aws: AwsMarketplace, body: bytes) -> None:
    refused = await refusal(aws, event(body))
    assert (refused.why, refused.reply.status) == ("malformed", 400)


async def test_an_event_of_another_product_is_kept_and_logged(aws: AwsMarketplace) -> None:
    said = {**UPDATED, "detail": {**UPDATED["detail"], "product": {"code": "another"}}}
    with capture_logs() as logs:
        _, notice = await heard(aws, event(said))
    assert notice.effect is Effect.NONE
    assert [line["event"] for line in logs] == ["aws_product_not_ours"]


async def test_the_products_of_every_seller_are_ours(aws: AwsMarketplace) -> None:
    said = {**UPDATED, "detail": {**UPDATED["detail"], "product": {"code": "china"}}}
    assert (await heard(aws, event(said)))[1].effect is Effect.ACTIVATED


# Answers


@pytest.mark.parametrize("done", Done)
async def test_whatever_became_of_news_it_was_taken(aws: AwsMarketplace, done: Done) -> None:
    found = await aws.hear(event())
    assert aws.answer(found, Outcome(done)) == Reply(200, b"{}")


@respx.mock
async def test_a_customer_who_cannot_be_sent_on_comes_later(aws: AwsMarketplace) -> None:
    respx.post(AWS).respond(200, json=CUSTOMER)
    assert aws.answer(await aws.hear(landing()), Outcome(Done.WAITING)) == Reply(503, page=Page.LATER)


async def test_later_is_a_page_or_makes_aws_try_again(aws: AwsMarketplace) -> None:
    assert aws.later(landing()) == Reply(503, page=Page.LATER)
    assert aws.later(call("landing/china")) == Reply(503, page=Page.LATER)
    assert aws.later(call("sns")) == aws.later(event()) == Reply(503, b"{}")


async def test_aws_is_asked_about_no_subscription(aws: AwsMarketplace) -> None:
    with pytest.raises(CannotTell) as raised:
        await aws.look_up(Subscription(LICENCE, BUYER, CloudStatus.ACTIVE))
    assert raised.value.why == "not_supported"


@pytest.mark.parametrize("channel", ["landing", "sns", "events"])
async def test_a_body_that_is_none_cannot_be_read_again(aws: AwsMarketplace, channel: str) -> None:
    with pytest.raises(ValueError, match=r"incomplete|not a message|event has"):
        aws.parse(channel, {}, NEW_YEAR)


_HEADERS = st.dictionaries(
    st.sampled_from(["authorization", "x-api-key", "x-amz-sns-rawdelivery"]),
    st.text(st.characters(exclude_categories=())) | st.just(SECRET),
)


@given(channel=st.sampled_from(["landing", "sns", "events", "x"]), body=st.binary(), headers=_HEADERS)
@settings(
    derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_garbage_raises_anything_but_refusals(
    aws: AwsMarketplace, channel: str, body: bytes, headers: dict[str, str]
) -> None:
    with respx.mock, pytest.raises(Refused):
        await aws.hear(call(channel, body, headers=headers))
