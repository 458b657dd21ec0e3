"""Alibaba Cloud Marketplace's production SPI: which calls are genuine, what they mean, and how they are answered."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateways.marketplaces.alibaba import AlibabaMarketplace, token
from app.gateways.marketplaces.alibaba_openapi import AlibabaOpenApi
from app.gateways.marketplaces.base import (
    Call,
    CannotTell,
    Done,
    Facts,
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

KEY = "isvkey"
NOW = datetime(2026, 1, 1, tzinfo=UTC)  # 2026-01-01 08:00:00 in Shanghai
CREATE = {
    "action": "createInstance",
    "aliUid": "1234567890123456",
    "orderBizId": "122000001",
    "orderId": "205060317920890",
    "productCode": "cmgj00053362",
    "skuId": "cmgj00053362-postpay",
    "trial": "false",
}
RENEW = {
    "action": "renewInstance",
    "instanceId": "122000001",
    "orderId": "205060317920890",
    "expiredOn": "2013-01-01 01:01:01",
}
EXPIRED = {"action": "expiredInstance", "instanceId": "122000001"}
RELEASE = {
    "action": "releaseInstance",
    "instanceId": "122000001",
    "orderId": "205060317920890",
    "isRefund": "false",
}
VERIFY = {"action": "verify", "instanceId": "122000001", "timeStamp": "2026-01-01 08:00:00"}
UNUSUAL = {"action": "createInstance", "aliUid": "1", "extra": "观测云 a+b", "Count": "2", "template": ""}
TOKENS = [
    (CREATE, "c73f67e73d47a36dbb54961ebd6517cd"),
    (RENEW, "7bc0f11dff9b6a2e39b810e9a2c11cbd"),
    (EXPIRED, "4136f8349b8c9fa506db271f925026cf"),
    (RELEASE, "167b598fa91ea19eaf675a8014d8ef58"),
    (VERIFY, "662f6512b293d074f74a13a706eca389"),
    (UNUSUAL, "6c5557328d9a911ccbfa2f3f6f01bc2f"),
    ({"p3": "3", "p1": "1", "p2": "2"}, "691b1c2be27485a87fb000de6f89f1d3"),
]
SUBSCRIPTION = Subscription("122000001", "1234567890123456", CloudStatus.ACTIVE)


URLS = {"front_end_url": "https://guance.example", "login_url": "https://account.example/marketplace/alibaba"}


def alibaba(**changed: Any) -> AlibabaMarketplace:
    return AlibabaMarketplace(**{"key": KEY, "products": frozenset(), "openapi": None, **URLS, **changed})


def get(*pairs: tuple[str, str], at: datetime = NOW) -> Call:
    return Call(channel="", method="GET", query=pairs, headers={}, body=b"", at=at)


def signed(members: Mapping[str, str], at: datetime = NOW) -> Call:
    return get(*members.items(), ("token", token(members.items(), KEY)), at=at)


def form(
    body: bytes, query: Sequence[tuple[str, str]] = (), content_type: str = "application/x-www-form-urlencoded"
) -> Call:
    return Call(channel="", method="POST", query=query, headers={"content-type": content_type}, body=body, at=NOW)


async def notice_of(members: Mapping[str, str], **changed: Any) -> Notice:
    provider = alibaba(**changed)
    notice = (await provider.hear(signed(members))).notice
    assert notice is not None
    assert provider.parse("", json.loads(json.dumps(notice.body)), NOW) == notice
    return notice


async def refusal(call: Call, **changed: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await alibaba(**changed).hear(call)
    return refused.value


def said(reply: Reply) -> Any:
    assert reply.media_type == "application/json"
    return json.loads(reply.body)


# Where it is called


def test_it_is_a_marketplace_whose_instances_may_be_typed() -> None:
    provider: Marketplace = alibaba()
    assert (provider.name, provider.typed) == ("alibaba", True)


@pytest.mark.parametrize(
    ("channel", "method", "served"),
    [("", "GET", True), ("", "POST", True), ("", "HEAD", False), ("", "PUT", False), ("spi", "GET", False)],
)
def test_one_address_is_served_for_reading_and_forms(channel: str, method: str, *, served: bool) -> None:
    assert alibaba().serves(channel, method) is served


# Which calls are genuine


@pytest.mark.parametrize(("members", "expected"), TOKENS, ids=lambda value: value if isinstance(value, str) else "")
def test_the_token_is_that_of_the_vector(members: dict[str, str], expected: str) -> None:
    assert token(members.items(), KEY) == expected
    assert token([*reversed(members.items()), ("token", "whatever")], KEY) == expected


@pytest.mark.parametrize(("members", "expected"), TOKENS[:5], ids=lambda value: value if isinstance(value, str) else "")
async def test_a_call_with_the_token_of_the_vector_is_heard(members: dict[str, str], expected: str) -> None:
    assert await alibaba().hear(get(("token", expected), *members.items()))
    assert await alibaba().hear(get(*reversed(members.items()), ("token", expected)))


async def test_a_call_in_a_form_is_heard() -> None:
    (members, expected), query = TOKENS[1], [("action", "renewInstance")]
    rest = {name: value for name, value in members.items() if name != "action"}
    whole = await alibaba().hear(form(urlencode({**members, "token": expected}).encode()))
    parted = await alibaba().hear(
        form(
            urlencode({**rest, "token": expected}).encode(),
            query,
            "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
        )
    )
    assert whole == parted == await alibaba().hear(signed(members))


async def test_a_form_may_be_empty_and_what_comes_with_reading_is_not_read() -> None:
    query = list(signed(EXPIRED).query)
    assert await alibaba().hear(Call("", "POST", query, {}, b"", NOW))
    assert await alibaba().hear(Call("", "GET", query, {"content-type": "text/xml"}, b"\xff", NOW))


async def test_empty_and_unknown_parameters_are_signed_too() -> None:
    members = {**CREATE, "template": "", "Count": "2", "package_version": "观测云 a+b", "\U0001f600": "", "\uffee": ""}
    assert (await notice_of(members)).body == members
    for name in ("template", "Count", "package_version"):
        stripped = [pair for pair in signed(members).query if pair[0] != name]
        assert (await refusal(get(*stripped))).why == "bad_token"


def test_parameters_are_sorted_by_code_unit_as_java_does() -> None:
    text = "A=1&a=1&\U0001f600=1&\uffee=1&key=isvkey"
    members = {"\uffee": "1", "a": "1", "\U0001f600": "1", "A": "1"}
    assert token(members.items(), KEY) == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0" * 32,
        "4136F8349B8C9FA506DB271F925026CF",
        "4136f8349b8c9fa506db271f925026cf ",
        "4136f8349b8c9fa506db271f925026c",
        "令牌",
        "\0",
        "x" * 100_000,
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_wrong_token_is_refused_in_the_form_of_the_other_answers(wrong: str) -> None:
    refused = await refusal(get(*EXPIRED.items(), ("token", wrong)))
    assert (refused.why, refused.reply.status) == ("bad_token", 403)
    assert said(refused.reply) == {"success": "false", "message": "bad token"}


async def test_a_token_of_another_key_or_none_is_refused() -> None:
    assert (await refusal(signed(EXPIRED), key="another")).why == "bad_token"
    assert (await refusal(get(*EXPIRED.items()))).why == "bad_token"
    assert (await refusal(get())).why == "bad_token"


@pytest.mark.parametrize("wrong", ["", "0" * 32])
async def test_a_person_with_a_wrong_token_gets_a_page(wrong: str) -> None:
    refused = await refusal(get(*VERIFY.items(), ("token", wrong)))
    assert (refused.why, refused.reply) == ("bad_token", Reply(403, page=Page.INVALID))


@pytest.mark.parametrize(
    "more", [("instanceId", "122000002"), ("token", "x"), ("action", "expiredInstance"), ("a&b", ""), ("a=b", "")]
)
async def test_a_name_that_comes_twice_or_could_be_several_is_refused(more: tuple[str, str]) -> None:
    pairs = [*EXPIRED.items(), more]
    forged = get(*pairs, ("token", token(pairs, KEY)))
    assert (await refusal(forged)).why == "bad_parameter"


async def test_a_name_that_comes_in_the_query_and_in_the_form_is_refused() -> None:
    call = form(b"instanceId=122000001", signed(EXPIRED).query)
    assert (await refusal(call)).why == "bad_parameter"


@pytest.mark.parametrize(
    "action", ["verify&instanceId=122000001", "verify&instanceId=122000001&timeStamp=", "a b", "1a"]
)
async def test_a_link_that_a_buyer_saw_cannot_be_read_as_another_action(action: str) -> None:
    refused = await refusal(signed({"action": action, "timeStamp": "2026-01-01 08:00:00"}))
    assert (refused.why, refused.reply.status) == ("bad_parameter", 400)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"action":"expiredInstance"}', "application/json"),
        (b"action=expiredInstance", ""),
        (b"action=expiredInstance", "multipart/form-data"),
        (b"action=%ff", "application/x-www-form-urlencoded"),
        (b"action=\xff", "application/x-www-form-urlencoded"),
        (b"a&" * 300, "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(body: bytes, content_type: str) -> None:
    refused = await refusal(form(body, content_type=content_type))
    assert (refused.why, refused.reply.status) == ("bad_parameter", 400)
    assert said(refused.reply) == {"success": "false", "message": "bad parameter"}


async def test_more_parameters_than_there_are_is_refused() -> None:
    assert (await refusal(signed({**EXPIRED, **{f"p{n}": "" for n in range(200)}}))).why == "bad_parameter"


# What they mean


async def test_a_new_instance_is_active_and_called_as_alibaba_calls_it() -> None:
    assert await notice_of(CREATE) == Notice(
        channel="",
        type="createInstance",
        effect=Effect.ACTIVATED,
        dedup='["createInstance", "122000001"]',
        at=NOW,
        body=CREATE,
        keys=("instance:122000001", "order:205060317920890"),
        account_number="1234567890123456",
        instance_id="122000001",
        product="cmgj00053362",
        opens=True,
    )


async def test_a_new_instance_that_is_told_again_is_the_same_whatever_its_order() -> None:
    first, again = await notice_of(CREATE), await notice_of({**CREATE, "orderId": "2", "trial": "true"})
    other = await notice_of({**CREATE, "orderBizId": "122000002"})
    assert first.dedup == again.dedup != other.dedup


@pytest.mark.parametrize(
    ("members", "effect", "recurs"),
    [
        (RENEW, Effect.UNFROZEN, False),
        ({**RENEW, "expiredOn": "1356973261000"}, Effect.UNFROZEN, False),
        ({**RENEW, "expiredOn": "soon"}, Effect.UNFROZEN, False),
        ({"action": "renewInstance", "instanceId": "122000001"}, Effect.UNFROZEN, True),
        (
            {"action": "resumeInstance", "instanceId": "122000001", "productCode": "c", "skuId": "s"},
            Effect.UNFROZEN,
            True,
        ),
        ({**RENEW, "action": "refundRenewInstance"}, Effect.CHANGED, False),
        (EXPIRED, Effect.FROZEN, True),
        (RELEASE, Effect.RELEASED, False),
        ({"action": "upgradeInstance", "instanceId": "122000001", "skuId": "s"}, Effect.CHANGED, False),
        ({"action": "bindDomain", "instanceId": "122000001", "domain": "example.com"}, Effect.NONE, False),
        ({"action": "pauseInstance", "instanceId": "122000001"}, Effect.UNKNOWN, False),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
async def test_each_action_has_its_effect(members: dict[str, str], effect: Effect, *, recurs: bool) -> None:
    notice = await notice_of(members, products=frozenset({"cmgj00053362"}))
    assert (notice.type, notice.effect, notice.recurs) == (members["action"], effect, recurs)
    assert (notice.keys, notice.at, notice.body) == (("instance:122000001",), NOW, members)
    assert (notice.opens, notice.instance_id, notice.account_number, notice.product) == (False, None, None, None)


@pytest.mark.parametrize(
    ("members", "same", "other"),
    [
        (RENEW, {"expiredOn": "2014-01-01 01:01:01"}, {"orderId": "2"}),
        (EXPIRED, {"new": "parameter"}, {"instanceId": "122000002"}),
        (RELEASE, {"isRefund": "true", "orderId": "2"}, {"instanceId": "122000002"}),
        (
            {**EXPIRED, "action": "refundRenewInstance", "expiredOn": "2013-01-01 01:01:01"},
            {"expiredOn": "1356973261000"},
            {"expiredOn": "2014-01-01 01:01:01"},
        ),
        ({**EXPIRED, "action": "upgradeInstance", "skuId": "a"}, {"x": ""}, {"skuId": "b"}),
        ({**EXPIRED, "action": "bindDomain", "domain": "a"}, {"domain": "a"}, {"domain": "b"}),
        ({**EXPIRED, "action": "anything"}, {"action": "anything"}, {"x": ""}),
    ],
    ids=lambda value: value.get("action", "") if isinstance(value, dict) else "",
)
async def test_a_message_that_is_sent_again_is_told_from_another(
    members: dict[str, str], same: dict[str, str], other: dict[str, str]
) -> None:
    dedup = (await notice_of(members)).dedup
    assert (await notice_of({**members, **same})).dedup == dedup
    assert (await notice_of({**members, **other})).dedup != dedup


async def test_what_is_not_known_is_kept_under_a_short_name_with_or_without_an_instance() -> None:
    notice = await notice_of({"action": "x" * 1000, "some": "thing"})
    assert (notice.type, notice.effect, notice.keys) == ("x" * 128, Effect.UNKNOWN, ())


async def test_neither_the_token_nor_whom_to_call_is_kept() -> None:
    members = {**CREATE, "mobile": "13800138000", "email": "li@example.com", "Phone": "1"}
    assert (await notice_of(members)).body == CREATE


@pytest.mark.parametrize("products", [frozenset[str](), frozenset({"cmgj00053362", "other"})])
async def test_our_products_are_taken(products: frozenset[str]) -> None:
    assert (await notice_of(CREATE, products=products)).product == "cmgj00053362"


async def test_a_product_of_others_is_refused() -> None:
    refused = await refusal(signed(CREATE), products=frozenset({"other"}))
    assert (refused.why, refused.reply.status) == ("foreign_product", 400)
    assert said(refused.reply) == {"success": "false", "message": "foreign product"}


@pytest.mark.parametrize(
    "members",
    [
        *(
            {**CREATE, name: value}
            for name in ("aliUid", "orderBizId", "orderId", "productCode")
            for value in ("", "1" * 256)
        ),
        *({**RENEW, "instanceId": value} for value in ("", "1" * 256, "1\0")),
        {**CREATE, "extra": "\0"},
        {**CREATE, "ex\0tra": ""},
        {"action": "expiredInstance"},
        {"action": "bindDomain", "instanceId": "1" * 256},
        {"action": ""},
        {"instanceId": "122000001"},
    ],
)
async def test_what_is_missing_or_cannot_be_stored_is_refused(members: dict[str, str]) -> None:
    refused = await refusal(signed(members))
    assert (refused.why, refused.reply.status) == ("bad_parameter", 400)


@pytest.mark.parametrize("place", ["name", "value", "token"])
async def test_half_a_surrogate_pair_is_refused(place: str) -> None:
    more = {"name": ("\ud83d", ""), "value": ("a", "\ud83d"), "token": ("token", "\ud83d")}[place]
    assert (await refusal(get(*EXPIRED.items(), more))).why == "bad_parameter"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "expiredInstance"},
        {"action": "expiredInstance", "instanceId": 122000001},
        {"action": None},
        {"action": ["expiredInstance"], "instanceId": "1"},
        {**EXPIRED, "a": "\ud83d"},
        {**EXPIRED, "\ud83d": "a"},
        {1: "expiredInstance"},
    ],
)
def test_a_kept_body_that_is_none_is_an_error(body: Any) -> None:
    with pytest.raises(ValueError):
        alibaba().parse("", body, NOW)


# A customer who comes in a browser


@pytest.mark.parametrize("seconds", [-300, 0, 300])
async def test_a_customer_lands_once_within_the_window(seconds: int) -> None:
    heard = await alibaba().hear(signed(VERIFY, NOW + timedelta(seconds=seconds)))
    assert heard == Heard(
        once="verify:662f6512b293d074f74a13a706eca389",
        once_until=NOW + timedelta(seconds=300),
        lands=("instance:122000001",),
        context={"action": "verify"},
    )


@pytest.mark.parametrize("seconds", [-301, 301, 86_400 * 365])
async def test_a_link_is_no_good_outside_of_the_window(seconds: int) -> None:
    refused = await refusal(signed(VERIFY, NOW + timedelta(seconds=seconds)))
    assert (refused.why, refused.reply) == ("expired", Reply(410, page=Page.EXPIRED))


async def test_the_window_and_the_time_zone_can_be_set() -> None:
    utc = signed({**VERIFY, "timeStamp": "2026-01-01 00:00:00"})
    assert (await refusal(utc)).why == "expired"
    assert (await alibaba(time_zone=ZoneInfo("UTC")).hear(utc)).lands
    late = signed(VERIFY, NOW + timedelta(seconds=61))
    assert (await refusal(late, verify_seconds=60)).why == "expired"


@pytest.mark.parametrize(
    "changed",
    [
        {"timeStamp": ""},
        {"timeStamp": "now"},
        {"timeStamp": "2026-13-01 08:00:00"},
        {"timeStamp": "0001-01-01 00:00:00"},
        {"timeStamp": "9" * 5000},
        {"instanceId": ""},
        {"instanceId": "1" * 256},
        {"instanceId": "1\0"},
    ],
)
async def test_a_link_without_an_instance_or_a_time_is_invalid(changed: dict[str, str]) -> None:
    refused = await refusal(signed({**VERIFY, **changed}))
    assert (refused.why, refused.reply) == ("bad_parameter", Reply(400, page=Page.INVALID))


async def test_the_last_day_there_is_is_only_too_late() -> None:
    assert (await refusal(signed({**VERIFY, "timeStamp": "9999-12-31 23:59:59"}))).why == "expired"


# The answers


@pytest.mark.parametrize("done", [Done.APPLIED, Done.REPEATED])
async def test_a_new_instance_is_answered_with_its_name(done: Done) -> None:
    heard = await alibaba().hear(signed(CREATE))
    reply = alibaba().answer(heard, Outcome(done, SUBSCRIPTION))
    assert (reply.status, said(reply)) == (
        200,
        {"instanceId": "122000001", "appInfo": {"frontEndUrl": URLS["front_end_url"], "authUrl": URLS["login_url"]}},
    )


async def test_a_new_instance_without_a_subscription_is_asked_for_again() -> None:
    heard = await alibaba().hear(signed(CREATE))
    assert said(alibaba().answer(heard, Outcome(Done.WAITING))) == {"instanceId": "0"}


@pytest.mark.parametrize("members", [RENEW, EXPIRED, RELEASE, {"action": "pauseInstance"}])
@pytest.mark.parametrize("done", [Done.APPLIED, Done.REPEATED, Done.IGNORED])
async def test_success_is_answered_as_text(members: dict[str, str], done: Done) -> None:
    heard = await alibaba().hear(signed(members))
    reply = alibaba().answer(heard, Outcome(done, SUBSCRIPTION))
    assert (reply.status, said(reply)) == (200, {"success": "true"})


async def test_an_instance_that_is_not_known_is_no_success_but_for_actions_that_are_not() -> None:
    for members, expected in [
        (EXPIRED, {"success": "false", "message": "not applied"}),
        ({**EXPIRED, "action": "pauseInstance"}, {"success": "true"}),
    ]:
        heard = await alibaba().hear(signed(members))
        assert said(alibaba().answer(heard, Outcome(Done.WAITING))) == expected


@pytest.mark.parametrize(
    ("done", "reply"),
    [(Done.REPLAYED, Reply(410, page=Page.EXPIRED)), (Done.WAITING, Reply(404, page=Page.UNKNOWN))],
)
async def test_a_customer_who_cannot_land_gets_a_page(done: Done, reply: Reply) -> None:
    heard = await alibaba().hear(signed(VERIFY))
    assert alibaba().answer(heard, Outcome(done)) == reply


def test_when_nothing_can_be_done_now_alibaba_is_to_call_again() -> None:
    later = alibaba().later
    assert (later(signed(CREATE)).status, said(later(signed(CREATE)))) == (200, {"instanceId": "0"})
    assert later(signed(VERIFY)) == Reply(503, page=Page.LATER)
    for call in (
        signed(EXPIRED),
        get(),
        form(b"\xff", content_type="x"),
        form(b"action=%ff"),
        get(("\ud83d", "\ud83d")),
    ):
        reply = later(call)
        assert (reply.status, said(reply)) == (503, {"success": "false", "message": "try again"})
    assert said(later(form(b"action=createInstance"))) == {"instanceId": "0"}
    assert said(later(form(b"\xff", [("action", "createInstance")]))) == {"instanceId": "0"}


# Asking the provider


async def test_without_credentials_the_provider_cannot_be_asked() -> None:
    provider = alibaba()
    with pytest.raises(CannotTell, match="not_configured"):
        await provider.look_up(SUBSCRIPTION)
    await provider.close()


@respx.mock
@pytest.mark.parametrize(
    ("products", "known"), [(frozenset[str](), True), (frozenset({"cmgj00053362"}), True), (frozenset({"x"}), False)]
)
async def test_the_provider_is_asked_about_our_products_alone(products: frozenset[str], *, known: bool) -> None:
    told = {"OrderId": 205060317920890, "ProductCode": "cmgj00053362", "Status": "EXPIRED", "AliUid": 7}
    respx.post(host="market.aliyuncs.com").respond(200, json={**told, "InstanceIds": ["122000001"]})
    provider = alibaba(products=products, openapi=AlibabaOpenApi("LTAIEXAMPLE", "SecretExample", timeout=5.0))
    expected = Facts("7", CloudStatus.FROZEN, "cmgj00053362", ("order:205060317920890",)) if known else Facts()
    assert await provider.look_up(SUBSCRIPTION) == expected
    await provider.close()


# Garbage

words = st.one_of(
    st.text(st.characters(codec=None), max_size=20),
    st.sampled_from([*CREATE, *VERIFY, *CREATE.values(), *VERIFY.values(), "expiredInstance", "expiredOn", "9" * 300]),
)
garbled = st.builds(
    Call,
    channel=st.just(""),
    method=st.sampled_from(["GET", "POST"]),
    query=st.lists(st.tuples(words, words), max_size=8),
    headers=st.fixed_dictionaries(
        {}, optional={"content-type": st.sampled_from(["application/x-www-form-urlencoded", "text/plain", "\0"])}
    ),
    body=st.one_of(st.binary(max_size=40), st.just(b"action=createInstance&a=%00&b=%ed%a0%bd")),
    at=st.just(NOW),
)


@settings(derandomize=True, max_examples=100)
@given(garbled)
async def test_no_garbage_does_more_than_being_refused(call: Call) -> None:
    assert alibaba().later(call).status in {200, 503}
    with pytest.raises(Refused):
        await alibaba().hear(call)


@settings(derandomize=True, max_examples=100)
@given(st.dictionaries(words, words, max_size=6), st.sampled_from([CREATE, RENEW, EXPIRED, VERIFY, {}]))
async def test_nothing_that_is_signed_does_more_than_being_refused(
    more: dict[str, str], members: dict[str, str]
) -> None:
    pairs = {**members, **more, "token": "0"}
    with suppress(UnicodeEncodeError):
        pairs["token"] = token(pairs.items(), KEY)
    try:
        heard = await alibaba().hear(get(*pairs.items()))
    except Refused:
        return
    if heard.notice is not None:
        assert len(heard.notice.type) <= 128
        assert all(len(key) <= 600 for key in heard.notice.keys)
        assert "\\u0000" not in json.dumps(heard.notice.body)
        assert alibaba().parse("", heard.notice.body, NOW) == heard.notice
