"""AWS Marketplace's older messages, which come by SNS: who may send them, and what they say of whom."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.core.clock import now
from tests.support.api import Api, frozen
from tests.support.aws_marketplace import (
    AWS,
    ENTITLEMENTS,
    TOPIC,
    TOPIC_IN_CHINA,
    Metering,
    Purchase,
    Topic,
    lands,
    metering,
    sends,
    sns,
    stored,
)
from tests.support.clouds import AWS_PRODUCT, accept, bind, claim_of, get, settled, workspace
from tests.support.services import ServiceClient, client, feed

pytestmark = pytest.mark.settings(**AWS)
CUSTOMER = "X01EXAMPLEX"
SUBSCRIBED = {"action": "subscribe-success", "customer-identifier": CUSTOMER, "product-code": AWS_PRODUCT}


@pytest.fixture
def aws() -> Iterator[Metering]:
    with metering() as fake:
        yield fake


@pytest.fixture
def topic(aws: Metering) -> Topic:
    return Topic(aws.router)


def answered(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


async def notices(api: Api, **params: Any) -> list[dict[str, Any]]:
    answer = await (await client(api)).get("/marketplace/notices", limit=100, **params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def outside(aws: Metering) -> list[str]:
    """Where was called."""
    return [str(call.request.url) for call in aws.router.calls]


# Who may send


@pytest.mark.parametrize("arn", [TOPIC, ENTITLEMENTS, TOPIC_IN_CHINA], ids=["subscriptions", "entitlements", "china"])
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [{}, {"Subject": "观测云 — hello\n"}], ids=["no-subject", "subject"])
async def test_what_the_topic_has_signed_is_kept_and_its_certificate_is_fetched_once(
    api: Api, aws: Metering, arn: str, version: str, subject: dict[str, str]
) -> None:
    topic = Topic(aws.router, arn)
    for _ in range(2):
        assert answered(await sns(api, topic.notification(SUBSCRIBED, version=version, **subject))) == (200, {})
    assert [(one["type"], one["state"]) for one in await notices(api)] == [("subscribe-success", "waiting")] * 2
    assert outside(aws) == [topic.certificate]


@pytest.mark.parametrize(
    "changed",
    [
        {"Message": json.dumps({**SUBSCRIBED, "customer-identifier": "X02"})},
        {"MessageId": "another"},
        {"Subject": "added"},
        {"Type": "UnsubscribeConfirmation", "Token": "t", "SubscribeURL": "https://sns.us-east-1.amazonaws.com/"},
        {"TopicArn": ENTITLEMENTS},
        {"Signature": base64.b64encode(b"x" * 256).decode()},
        {"Signature": "not base64"},
        {"SignatureVersion": "2"},
        {"SignatureVersion": "3"},
    ],
    ids="-".join,
)
async def test_what_was_changed_after_it_was_signed_is_refused(api: Api, topic: Topic, changed: dict[str, str]) -> None:
    assert answered(await sns(api, {**topic.notification(SUBSCRIBED), **changed})) == (403, {})
    assert await notices(api) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-{}.pem",
        "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-{}.pem",
        "https://evil.example/#sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://evil.example\\@sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://sns.s3.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://sns-us-east-1.s3.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://sns.us-east-1-amazonaws.com/SimpleNotificationService-{}.pem",
        "https://snsxus-east-1.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://evil.sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-{}.pem",
        "https://user:pass@sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://sns.us-east-1.amazonaws.com/x/SimpleNotificationService-{}.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem?x=/evil",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem\n",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem.evil",
        "https://sns.us-east-1.amazonaws.com/../bucket/{}.pem",
        "https://SNS.us-east-1.amazonaws.com/SimpleNotificationService-{}.pem",
        "https://sns.cn-northwest-1.amazonaws.com.cn/SimpleNotificationService-{}.pem",
        "file:///SimpleNotificationService-{}.pem",
    ],
)
async def test_a_certificate_that_lies_elsewhere_is_never_fetched(
    api: Api, aws: Metering, topic: Topic, url: str
) -> None:
    aws.router.route().respond(200, content=b"")
    envelope = topic.notification(SUBSCRIBED) | {"SigningCertURL": url.format("0123456789abcdef")}
    assert answered(await sns(api, envelope)) == (403, {})
    assert outside(aws) == []


@pytest.mark.parametrize(
    "arn",
    [
        TOPIC.replace("287250355862", "666666666666"),
        TOPIC.replace("us-east-1", "us-east-2"),
        TOPIC + "2",
        TOPIC.upper(),
        TOPIC.replace("arn:aws:", "arn:aws-cn:"),
        f" {TOPIC}",
    ],
    ids=["account", "region", "longer", "upper", "partition", "blank"],
)
async def test_of_a_foreign_topic_nothing_is_fetched(api: Api, aws: Metering, topic: Topic, arn: str) -> None:
    for envelope in (topic.notification(SUBSCRIBED, TopicArn=arn), topic.question(TopicArn=arn)):
        assert answered(await sns(api, envelope)) == (403, {})
    assert outside(aws) == []
    assert await notices(api) == []


async def test_raw_delivery_is_refused_for_it_has_no_signature(api: Api, aws: Metering, topic: Topic) -> None:
    raw = {"x-amz-sns-rawdelivery": "true"}
    assert answered(await sns(api, SUBSCRIBED, **raw)) == (403, {})
    assert answered(await sns(api, topic.notification(SUBSCRIBED), **raw)) == (403, {})
    assert answered(await sns(api, SUBSCRIBED)) == (400, {})
    assert outside(aws) == []


@pytest.mark.parametrize(
    ("age", "status"),
    [(timedelta(hours=1), 200), (timedelta(hours=1, minutes=6), 403), (-timedelta(minutes=6), 403)],
    ids=["late", "stale", "ahead"],
)
async def test_a_message_is_good_for_as_long_as_it_may_be_sent_again(
    api: Api, topic: Topic, age: timedelta, status: int
) -> None:
    envelope = topic.notification(SUBSCRIBED, Timestamp=f"{now() - age:%Y-%m-%dT%H:%M:%S}.000Z")
    assert (await sns(api, envelope)).status_code == status
    assert len(await notices(api)) == (status == 200)


async def test_a_message_is_not_good_for_ever(api: Api, topic: Topic) -> None:
    with frozen() as clock:
        envelope = topic.notification(SUBSCRIBED)
        assert (await sns(api, envelope)).status_code == 200
        clock.shift(timedelta(hours=2))
        assert (await sns(api, envelope)).status_code == 403
        assert [one["repeats"] for one in await notices(api)] == [0]


async def test_without_the_certificate_sns_is_to_come_again(api: Api, topic: Topic) -> None:
    envelope, pem = topic.notification(SUBSCRIBED), topic.fetched.return_value
    assert pem is not None
    for away in (
        httpx.ConnectError("refused"),
        httpx.Response(404),
        httpx.Response(500),
        httpx.Response(302, headers={"location": "https://evil.example/SimpleNotificationService-0.pem"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"x" * 100_000),
    ):
        topic.fetched.mock(side_effect=[away] if isinstance(away, httpx.Response) else away)
        assert answered(await sns(api, envelope)) == (503, {})
    assert await notices(api) == []
    topic.fetched.mock(return_value=pem, side_effect=None)
    assert answered(await sns(api, envelope)) == (200, {})
    assert [one["state"] for one in await notices(api)] == ["waiting"]


# A topic that asks


@pytest.mark.parametrize("arn", [TOPIC, TOPIC_IN_CHINA], ids=["global", "china"])
async def test_a_topic_is_confirmed_at_an_address_of_our_own_making(api: Api, aws: Metering, arn: str) -> None:
    topic = Topic(aws.router, arn)
    evil = aws.router.route(host="evil.example").respond(200)
    confirmed = aws.router.get(f"https://{topic.host}/").respond(200, content=b"<ConfirmSubscriptionResponse/>")
    assert answered(await sns(api, topic.question(url="https://evil.example/?Action=ConfirmSubscription"))) == (200, {})
    request = confirmed.calls.last.request
    assert (request.method, request.url.host, request.url.path) == ("GET", topic.host, "/")
    assert dict(request.url.params) == {"Action": "ConfirmSubscription", "TopicArn": arn, "Token": "2336412f37"}
    assert (confirmed.call_count, evil.called) == (1, False)
    [kept] = await notices(api)
    assert (kept["type"], kept["state"]) == ("SubscriptionConfirmation", "ignored")
    assert "2336412f37" not in json.dumps(kept)


async def test_a_topic_that_could_not_be_confirmed_asks_again(api: Api, aws: Metering, topic: Topic) -> None:
    route, question = aws.router.get(f"https://{topic.host}/"), topic.question()
    for away in (httpx.Response(403), httpx.Response(500), httpx.Response(302, headers={"location": "/x"})):
        route.mock(return_value=away)
        assert answered(await sns(api, question)) == (503, {})
    assert await notices(api) == []
    route.mock(return_value=httpx.Response(200))
    assert answered(await sns(api, question)) == (200, {})


async def test_a_topic_that_falls_silent_is_logged_and_never_subscribed_again(
    api: Api, aws: Metering, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    assert answered(await sns(api, topic.question("UnsubscribeConfirmation"))) == (200, {})
    assert outside(aws) == [topic.certificate]
    assert [one.levelname for one in caplog.records if "aws_topic_unsubscribed" in one.getMessage()] == ["WARNING"]


# What is said, and of whom


async def older(api: Api, aws: Metering, number: str = CUSTOMER) -> tuple[Purchase, str]:
    """A customer of an older product who landed; the claim."""
    purchase = Purchase(customer=number)
    aws.knows(f"token-{number}", {**purchase.resolved, "LicenseArn": None, "Metadata": None})
    return purchase, claim_of(await lands(api, f"token-{number}"))


async def test_a_subscription_of_the_older_kind_begins_ends_and_begins_again(
    api: Api, aws: Metering, topic: Topic
) -> None:
    holder, service = await api.register(), await client(api)
    purchase, claim = await older(api, aws)
    cloud_account = (await accept(api, holder, claim)).json()["cloud_account_id"]
    bound = await workspace(service, holder, site="us1")
    statuses: list[tuple[str, bool]] = []
    with frozen() as clock:
        for action in ("subscribe-success", "unsubscribe-pending", "unsubscribe-success", "subscribe-success"):
            clock.shift(timedelta(minutes=1))
            assert answered(await sns(api, topic.notification(purchase.said(action)))) == (200, {})
            if not statuses:
                assert (await bind(api, holder, cloud_account, bound)).status_code == 200
            locked = (await settled(api, holder, bound))["lock_ends_at"] is not None
            statuses.append(((await get(api, holder, f"/cloud-accounts/{cloud_account}"))["status"], locked))
    assert statuses == [("active", False), ("active", False), ("ended", True), ("active", False)]
    assert (await settled(api, holder, bound))["method"] == "billing_center"


async def test_a_payment_that_failed_ends_what_never_began(api: Api, aws: Metering, topic: Topic) -> None:
    holder = await api.register()
    purchase, claim = await older(api, aws)
    await accept(api, holder, claim)
    await sns(api, topic.notification(purchase.said("subscribe-fail")))
    assert [one["status"] for one in (await get(api, holder, "/cloud-accounts"))["items"]] == ["ended"]


async def test_a_message_sent_again_is_counted_and_changes_nothing(api: Api, aws: Metering, topic: Topic) -> None:
    holder, service = await api.register(), await client(api)
    purchase, claim = await older(api, aws)
    await accept(api, holder, claim)
    first = topic.notification(purchase.said("subscribe-success"), Timestamp=f"{now():%Y-%m-%dT%H:%M:%S}.000Z")
    with frozen() as clock:
        clock.shift(timedelta(minutes=1))
        for envelope in (first, topic.notification(purchase.said("unsubscribe-success")), first, first):
            assert answered(await sns(api, envelope)) == (200, {})
    assert [one["status"] for one in (await get(api, holder, "/cloud-accounts"))["items"]] == ["ended"]
    kept = {one["type"]: one["repeats"] for one in await notices(api)}
    assert kept == {"subscribe-success": 2, "unsubscribe-success": 0, "ResolveCustomer": 0}
    assert [one["type"].rpartition(".")[2] for one in await feed(service)].count("activated") == 1


@pytest.mark.parametrize("first", ["sns", "events"])
async def test_an_event_that_comes_through_sns_too_is_one_message(
    api: Api, aws: Metering, topic: Topic, first: str
) -> None:
    purchase = Purchase()
    for event in (purchase.created(), purchase.updated(), purchase.deprovisioned()):
        if first == "events":
            await sends(api, event)
        assert answered(await sns(api, topic.notification(event, version="2"))) == (200, {})
        if first == "sns":
            await sends(api, event)
    assert [(one["channel"], one["state"], one["repeats"]) for one in await notices(api)] == [(first, "applied", 1)] * 3
    [it] = (await stored(api, [purchase.account]))[purchase.account]
    assert (it.status, len(it.notices)) == ("ended", 3)


async def test_what_is_no_known_message_is_kept_and_taken(api: Api, topic: Topic) -> None:
    others = [{**SUBSCRIBED, "product-code": "another"}, {**SUBSCRIBED, "action": "subscribe-pending"}, "hello", "[]"]
    for one in others:
        assert answered(await sns(api, topic.notification(one))) == (200, {})
    kept = [(one["type"], one["effect"], one["state"]) for one in reversed(await notices(api))]
    assert kept == [
        ("subscribe-success", "none", "ignored"),
        ("subscribe-pending", "unknown", "ignored"),
        ("Notification", "unknown", "ignored"),
        ("Notification", "unknown", "ignored"),
    ]


# Several agreements of one buyer about one product


async def two_licences(api: Api, aws: Metering, service: ServiceClient) -> list[Purchase]:
    """Both are active, one after the other."""
    purchases = [Purchase(customer=CUSTOMER), Purchase(customer=CUSTOMER)]
    for number, purchase in enumerate(purchases):
        await sends(api, purchase.created(), purchase.updated())
        aws.knows(f"token-{number}", purchase.resolved)
        claim_of(await lands(api, f"token-{number}"))
    return purchases


async def test_two_licences_of_one_buyer_are_two_cloud_accounts(api: Api, aws: Metering) -> None:
    one, other = await two_licences(api, aws, await client(api))
    await sends(api, one.ended(), one.deprovisioned())
    found = (await stored(api, [one.account]))[one.account]
    assert [it.status for it in found] == ["ended", "active"]
    for purchase, it in zip((one, other), found, strict=True):
        assert {f"license:l-{purchase.licence}", f"agreement:{purchase.agreement}"} <= it.keys
    assert not any(key in found[1].keys for key in (f"license:l-{one.licence}", f"agreement:{one.agreement}"))


async def test_a_message_that_could_mean_either_changes_neither_and_is_left_to_staff(
    api: Api, aws: Metering, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = await two_licences(api, aws, await client(api))
    before = (await stored(api, [one.account]))[one.account]
    assert [it.status for it in before] == ["active", "active"]
    caplog.clear()
    envelope = topic.notification(one.said("unsubscribe-success"))
    assert answered(await sns(api, envelope)) == (200, {})
    assert [it.levelname for it in caplog.records if "marketplace_ambiguous" in it.getMessage()] == ["WARNING"]
    assert answered(await sns(api, envelope)) == (200, {})
    [kept] = await notices(api, state="ambiguous")
    assert (kept["type"], kept["cloud_account_id"], kept["repeats"]) == ("unsubscribe-success", None, 1)
    assert (await stored(api, [one.account]))[one.account] == before
    await api.container.marketplace_worker.catch_up()
    assert (await stored(api, [one.account]))[one.account] == before


async def test_who_subscribes_again_is_meant_with_the_subscription_that_has_not_ended(
    api: Api, aws: Metering, topic: Topic
) -> None:
    one, other = Purchase(customer=CUSTOMER), Purchase(customer=CUSTOMER)
    await sends(api, one.created(), one.updated(), one.deprovisioned())
    for number, purchase in enumerate((one, other)):
        aws.knows(f"token-{number}", purchase.resolved)
        claim_of(await lands(api, f"token-{number}"))
    assert answered(await sns(api, topic.notification(other.said("subscribe-success")))) == (200, {})
    found = (await stored(api, [one.account]))[one.account]
    assert [it.status for it in found] == ["ended", "active"]


async def test_an_end_that_could_be_of_either_ends_neither_though_one_is_over(
    api: Api, aws: Metering, topic: Topic
) -> None:
    one, _ = await two_licences(api, aws, await client(api))
    await sends(api, one.deprovisioned())
    assert answered(await sns(api, topic.notification(one.said("unsubscribe-success")))) == (200, {})
    found = (await stored(api, [one.account]))[one.account]
    assert [it.status for it in found] == ["ended", "active"]
