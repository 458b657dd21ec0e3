"""KooGallery's deprecated access V1.0: which calls are genuine, what each means, and how answers are signed."""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateways.marketplaces.base import (
    Call,
    CannotTell,
    Done,
    Notice,
    Outcome,
    Refused,
    Reply,
    Subscription,
    instance_key,
)
from app.gateways.marketplaces.huawei import HuaweiMarketplace
from app.gateways.marketplaces.huawei_openapi import HuaweiOpenApi
from app.gateways.marketplaces.huawei_v1 import signed
from app.models.cloud_accounts import CloudStatus, Effect

KEY = "11111111-2222-3333-4444-555555555555"
STAMP = "20170725025113409"
AT = datetime(2017, 7, 25, 2, 51, 13, 409000, tzinfo=UTC)
INSTANCE = "03pf80c2bae96vc49b80b917bea776d7"
CUSTOMER = "68cbc86abc2018ab880d92f36422fa0e"
PRODUCT = "00301-666688-0--0"
ORDER_KEY = f"order:CS1906666688ABCDE//{PRODUCT}"
NEW = {
    "activity": "newInstance",
    "businessId": INSTANCE,
    "customerId": CUSTOMER,
    "customerName": "hw_demo",
    "orderId": "CS1906666688ABCDE",
    "productId": PRODUCT,
}
REFRESH = {
    "activity": "refreshInstance",
    "instanceId": INSTANCE,
    "orderId": "CS2",
    "productId": PRODUCT,
    "expireTime": "20180725000000",
}
EXPIRE = {"activity": "expireInstance", "instanceId": INSTANCE}
FREEZE = {"activity": "instanceStatus", "instanceId": INSTANCE, "instanceStatus": "FREEZE"}
NORMAL = {**FREEZE, "instanceStatus": "NORMAL"}
RELEASE = {"activity": "releaseInstance", "instanceId": INSTANCE}
UPGRADE = {"activity": "upgrade", "instanceId": INSTANCE, "orderId": "CS3", "skuCode": "sku", "productId": "P2"}
QUERY = {"activity": "queryInstance", "instanceId": INSTANCE}
CHANGES = [REFRESH, EXPIRE, FREEZE, NORMAL, RELEASE, UPGRADE]
KNOWN = Subscription(INSTANCE, CUSTOMER, CloudStatus.ACTIVE, (instance_key(INSTANCE), ORDER_KEY))


def huawei(**changed: Any) -> HuaweiMarketplace:
    given: dict[str, Any] = {"key": KEY, "tenant_key": KEY, "openapi": None, "front_end_url": "https://x.example/"}
    return HuaweiMarketplace(**{**given, "v1": True, **changed})


def based(key: str, text: bytes) -> str:
    return b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest()).decode()


def called(params: dict[str, str], *, stamp: str = STAMP, key: str = KEY, at: datetime = AT) -> Call:
    """A call as KooGallery makes it, its parameters decoded."""
    given = {**params, "timeStamp": stamp}
    text = "&".join(f"{name}={given[name]}" for name in sorted(given))
    token = based(key + stamp, text.encode("utf-8", "surrogatepass"))
    return Call("", "GET", [*given.items(), ("authToken", token)], {}, b"", at)


def said(reply: Reply) -> dict[str, Any]:
    """What is answered, once its signature was found to be right."""
    assert (reply.status, reply.media_type, reply.page) == (200, "application/json", None)
    assert reply.headers == {"Body-Sign": f'sign_type="HMAC-SHA256", signature="{based(KEY, reply.body)}"'}
    found: dict[str, Any] = json.loads(reply.body)
    return found


async def notice_of(call: Call) -> Notice:
    heard = await huawei().hear(call)
    assert heard.notice is not None
    return heard.notice


async def refused(call: Call) -> tuple[str, str]:
    with pytest.raises(Refused) as refusal:
        await huawei().hear(call)
    return refusal.value.why, said(refusal.value.reply)["resultCode"]


async def answered(call: Call, outcome: Outcome) -> dict[str, Any]:
    provider = huawei()
    return said(provider.answer(await provider.hear(call), outcome))


# What is served


def test_calls_are_taken_only_where_it_is_switched_on_and_there_is_a_key() -> None:
    assert huawei().serves("", "GET")
    assert huawei().serves("", "POST")
    assert not huawei(v1=False).serves("", "GET")
    assert not huawei(key=None).serves("", "GET")
    assert not huawei(key="").serves("", "GET")
    for channel, method in [("", "HEAD"), ("v1", "GET"), ("v1", "POST"), ("produceAPI/v2/tenantSync", "GET")]:
        assert not huawei().serves(channel, method)


@pytest.mark.parametrize("changed", [{"v1": False}, {"key": None}])
async def test_where_it_is_not_served_nothing_is_genuine(changed: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="not_served"):
        await huawei(**changed).hear(called(NEW))


# Who signed it


async def test_the_call_of_the_vector_is_genuine() -> None:
    query = [
        ("activity", "newInstance"),
        ("businessId", "03pf80c2bae96vc49b80b917bea776d7"),
        ("customerId", "68cbc86abc2018ab880d92f36422fa0e"),
        ("customerName", "hw_demo"),
        ("orderId", "CS1906666688ABCDE"),
        ("productId", "00301-666688-0--0"),
        ("testFlag", "1"),
        ("timeStamp", "20170725025113409"),
        ("authToken", "UEpPVxOc1ng8IrKnpFZOhMiohJL+zZoOy5Aa4A8xCic="),
    ]
    provider = huawei()
    heard = await provider.hear(Call("", "GET", query, {}, b"", AT))
    assert heard.notice is not None
    assert (heard.notice.effect, heard.notice.at) == (Effect.NONE, AT)  # it is a test
    assert heard.once == "v1:UEpPVxOc1ng8IrKnpFZOhMiohJL+zZoOy5Aa4A8xCic="
    assert heard.once_until == AT + timedelta(minutes=2)
    answer = said(provider.answer(heard, Outcome(Done.IGNORED)))
    assert answer == {"resultCode": "000000", "resultMsg": "success", "instanceId": INSTANCE}


def test_an_answer_is_signed_as_in_the_vector() -> None:
    body = b'{"resultCode":"000000","resultMsg":"success.","instanceId":"03pf80c2bae96vc49b80b917bea776d7"}'
    reply = signed(Reply(body=body), KEY)
    sign = 'sign_type="HMAC-SHA256", signature="2HrGq2a1bpZJXMe+esyK6OauqIt+leNtsF2TQsvRATs="'
    assert (reply.body, reply.headers) == (body, {"Body-Sign": sign})


async def test_all_parameters_are_signed_in_the_order_of_their_names_whatever_theirs_was() -> None:
    call = called({**NEW, "saasExtendParams": "W3siYSI6IjEifV0=", "customerName": "观测云 & Co = 1+1", "amount": ""})
    backwards = replace(call, query=list(reversed(call.query)))
    assert await huawei().hear(backwards) == await huawei().hear(call)
    for number, (name, value) in enumerate(call.query):
        if name not in {"authToken", "timeStamp"}:
            changed = [*call.query[:number], (name, f"{value}x"), *call.query[number + 1 :]]
            assert await refused(replace(call, query=changed)) == ("signature", "000001")
    assert await refused(replace(call, query=[*call.query, ("extra", "")])) == ("signature", "000001")
    assert await refused(replace(call, query=call.query[1:])) == ("signature", "000001")


async def test_a_call_signed_with_another_key_is_not_genuine() -> None:
    assert await refused(called(NEW, key="another")) == ("signature", "000001")


@pytest.mark.parametrize("token", ["", " ", "x", "é", "UEpPVxOc1ng8IrKnpFZOhMiohJL+zZoOy5Aa4A8xCid=", "0" * 5000])
async def test_what_is_no_token_is_refused(token: str) -> None:
    """The last but one has the same bits as the right one for a lenient reader of Base64."""
    call = called({**NEW, "testFlag": "1"})
    assert await refused(replace(call, query=[*call.query[:-1], ("authToken", token)])) == ("signature", "000001")


async def test_without_a_token_a_call_is_not_genuine() -> None:
    call = called(NEW)
    assert await refused(replace(call, query=call.query[:-1])) == ("signature", "000001")


@pytest.mark.parametrize("again", ["activity", "testFlag", "authToken", "timeStamp"])
async def test_a_parameter_that_comes_twice_is_refused(again: str) -> None:
    call = called({**NEW, "testFlag": "0"})
    twice = [*call.query, (again, dict(call.query)[again])]
    assert await refused(replace(call, query=twice)) == ("parameter", "000002")


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "2017072502511340",
        "201707250251134090",
        "20171325025113409",
        "20170230025113409",
        "00000725025113409",
        "2017072502511340٩",
    ],
)
async def test_what_is_no_time_is_refused(stamp: str) -> None:
    assert await refused(called(NEW, stamp=stamp)) == ("parameter", "000002")


async def test_without_a_time_a_call_is_refused() -> None:
    call = called(NEW)
    query = [(name, value) for name, value in call.query if name != "timeStamp"]
    assert await refused(replace(call, query=query)) == ("parameter", "000002")
    assert await refused(replace(call, query=[])) == ("parameter", "000002")


@pytest.mark.parametrize("seconds", [-60, 0, 60])
async def test_a_call_is_good_for_a_minute(seconds: int) -> None:
    assert await huawei().hear(called(NEW, at=AT + timedelta(seconds=seconds)))


@pytest.mark.parametrize("seconds", [-60.001, 60.001, 8 * 3600])
async def test_a_call_of_another_time_is_stale(seconds: float) -> None:
    assert await refused(called(NEW, at=AT + timedelta(seconds=seconds))) == ("stale", "000001")


async def test_a_call_that_comes_again_is_not_genuine_but_one_made_again_is() -> None:
    assert (await answered(called(NEW), Outcome(Done.REPLAYED)))["resultCode"] == "000001"
    first = await huawei().hear(called(NEW))
    again = await huawei().hear(called(NEW, stamp="20170725025113410"))
    assert first.once != again.once
    assert first.notice is not None
    assert again.notice is not None
    assert first.notice.dedup == again.notice.dedup


async def test_a_call_of_v2_is_none_of_v1_and_the_other_way_round() -> None:
    call = called(NEW)
    assert await refused(replace(call, query=[("signature", "0" * 64), ("timestamp", STAMP), ("nonce", "0" * 64)])) == (
        "parameter",
        "000002",
    )
    with pytest.raises(Refused, match="parameter") as refusal:
        await huawei().hear(replace(call, method="POST"))
    assert refusal.value.reply.headers == {}


# What each means


async def test_a_purchase_names_its_buyer() -> None:
    assert await notice_of(called(NEW)) == Notice(
        channel="v1",
        type="newInstance",
        effect=Effect.ACTIVATED,
        dedup=f"newInstance/CS1906666688ABCDE//{PRODUCT}",
        at=AT,
        body={name: value for name, value in NEW.items() if name != "customerName"} | {"timeStamp": STAMP},
        keys=(ORDER_KEY,),
        account_number=CUSTOMER,
        instance_id=INSTANCE,
        product=PRODUCT,
        opens=True,
    )


async def test_products_of_one_order_are_purchases_of_their_own_and_its_repeats_are_not() -> None:
    first, second = await notice_of(called(NEW)), await notice_of(called({**NEW, "productId": "P2"}))
    again = await notice_of(called({**NEW, "businessId": "another"}))
    bare = await notice_of(called({**NEW, "productId": ""}))
    assert (first.dedup, first.keys) == (again.dedup, again.keys)
    assert len({first.keys, second.keys, bare.keys}) == len({first.dedup, second.dedup, bare.dedup}) == 3
    assert (bare.keys, bare.product) == (("order:CS1906666688ABCDE",), None)


@pytest.mark.parametrize(
    ("params", "effect", "dedup", "product"),
    [
        (REFRESH, Effect.UNFROZEN, f"refreshInstance/{INSTANCE}/CS2", PRODUCT),
        (EXPIRE, Effect.FROZEN, f"expireInstance/{INSTANCE}/{STAMP}", None),
        (FREEZE, Effect.FROZEN, f"instanceStatus/{INSTANCE}/FREEZE/{STAMP}", None),
        (NORMAL, Effect.UNFROZEN, f"instanceStatus/{INSTANCE}/NORMAL/{STAMP}", None),
        (RELEASE, Effect.RELEASED, f"releaseInstance/{INSTANCE}/", None),
        (UPGRADE, Effect.CHANGED, f"upgrade/{INSTANCE}/CS3", "P2"),
    ],
)
async def test_each_activity_has_its_effect_on_the_instance(
    params: dict[str, str], effect: Effect, dedup: str, product: str | None
) -> None:
    told = await notice_of(called(params))
    assert (told.effect, told.dedup, told.keys) == (effect, dedup, (instance_key(INSTANCE),))
    assert (told.channel, told.type, told.at, told.product) == ("v1", params["activity"], AT, product)
    assert (told.opens, told.instance_id, told.account_number) == (False, None, None)


@pytest.mark.parametrize("activity", ["getLicense", "updateInstanceStatus", "x" * 5000, "a/b 中"])
async def test_what_nobody_knows_is_kept_and_acknowledged(activity: str) -> None:
    call = called({"activity": activity, "instanceId": INSTANCE})
    told = await notice_of(call)
    assert (told.effect, told.type, told.keys) == (Effect.UNKNOWN, activity[:128], ())
    assert (await answered(call, Outcome(Done.IGNORED)))["resultCode"] == "000000"
    other = await notice_of(called({"activity": activity, "instanceId": "other"}))
    assert told.dedup != other.dedup


@pytest.mark.parametrize("params", [NEW, *CHANGES])
async def test_a_test_changes_nothing(params: dict[str, str]) -> None:
    call = called({**params, "testFlag": "1"})
    told = await notice_of(call)
    assert (told.effect, told.keys, told.opens, told.instance_id) == (Effect.NONE, (), False, None)
    assert told.account_number is None
    answer = await answered(call, Outcome(Done.IGNORED))
    assert (answer["resultCode"], answer.get("instanceId")) == ("000000", INSTANCE if params is NEW else None)


@pytest.mark.parametrize(("flag", "effect"), [("", Effect.RELEASED), ("0", Effect.RELEASED), ("1", Effect.NONE)])
async def test_only_the_flag_makes_a_test(flag: str, effect: Effect) -> None:
    assert (await notice_of(called({**RELEASE, "testFlag": flag}))).effect is effect


@pytest.mark.parametrize("params", [NEW, RELEASE, QUERY, {"activity": "other"}])
async def test_a_flag_that_says_neither_test_nor_real_is_a_bad_parameter(params: dict[str, str]) -> None:
    assert await refused(called({**params, "testFlag": "2"})) == ("parameter", "000002")


async def test_no_people_and_no_contacts_are_kept() -> None:
    people = {
        "mobilePhone": "ABCDEFGHIJKLMNOPcKkmnDcOYbuPMU/f7uyvAQ==",
        "email": "ABCDEFGHIJKLMNOPu7FKKCUH+yumuK82XWUZxcSquixIwiXHLwHCWiLt/Dc=",
        "userId": "u1",
        "userName": "张三",
        "saasExtendParams": "W10=",
        "encryptType": "1",
    }
    told = await notice_of(called({**NEW, **people}))
    assert told.body == (await notice_of(called(NEW))).body
    assert "authToken" not in told.body


@pytest.mark.parametrize("params", [NEW, {**NEW, "testFlag": "1"}, *CHANGES, {"activity": "getLicense"}])
async def test_what_was_kept_can_be_read_anew(params: dict[str, str]) -> None:
    told = await notice_of(called(params))
    kept = json.loads(json.dumps(dict(reversed([*told.body.items()]))))
    assert huawei().parse(told.channel, kept, AT + timedelta(days=1)) == told
    assert huawei(v1=False).parse(told.channel, kept, AT) == told


@pytest.mark.parametrize("body", [{}, {"activity": "x"}, {"activity": 1, "timeStamp": STAMP}, {"timeStamp": STAMP}])
def test_what_was_never_kept_cannot_be_read(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        huawei().parse("v1", body, AT)


# What makes no sense

NEEDS: list[tuple[dict[str, str], str]] = [
    (NEW, "orderId"),
    (NEW, "businessId"),
    (NEW, "customerId"),
    (FREEZE, "instanceStatus"),
    (REFRESH, "orderId"),
    (UPGRADE, "orderId"),
    *((params, "instanceId") for params in (*CHANGES, QUERY)),
    *((params, "activity") for params in (NEW, *CHANGES)),
]


@pytest.mark.parametrize(("params", "name"), NEEDS)
async def test_an_activity_without_what_it_needs_is_a_bad_parameter(params: dict[str, str], name: str) -> None:
    without = {one: value for one, value in params.items() if one != name}
    for wrong in (without, {**params, name: ""}):
        assert await refused(called(wrong)) == ("parameter", "000002")


@pytest.mark.parametrize("wrong", ["a\0b", "x" * 65, "a/b", "a,b", "a b", "中", "a\n"])
@pytest.mark.parametrize("name", ["orderId", "businessId", "productId"])
async def test_what_can_be_no_name_is_a_bad_parameter(name: str, wrong: str) -> None:
    assert await refused(called({**NEW, name: wrong})) == ("parameter", "000002")


@pytest.mark.parametrize("wrong", ["a\0b", "x" * 256, "a\u2028b", "\ud800"])
@pytest.mark.parametrize("name", ["customerId", "expireTime"])
async def test_what_could_not_be_stored_is_a_bad_parameter(name: str, wrong: str) -> None:
    assert await refused(called({**NEW, name: wrong})) == ("parameter", "000002")


@pytest.mark.parametrize("status", ["UNFREEZE", "freeze", "OTHER"])
async def test_statuses_that_nobody_knows_are_bad_parameters(status: str) -> None:
    assert await refused(called({**FREEZE, "instanceStatus": status})) == ("parameter", "000002")


ANY = st.text(st.characters(codec=None), max_size=20)


@given(
    query=st.lists(
        st.tuples(st.sampled_from(["activity", "timeStamp", "authToken", "instanceId", "testFlag"]) | ANY, ANY),
        max_size=6,
    ),
    genuine=st.booleans(),
    activity=st.sampled_from([one["activity"] for one in (NEW, *CHANGES, QUERY)]) | ANY,
)
@settings(max_examples=100, derandomize=True, deadline=None)
async def test_no_garbage_raises_anything_but_a_refusal(
    query: Sequence[tuple[str, str]], genuine: bool, activity: str
) -> None:
    params = {name: value for name, value in query if name not in {"authToken", "timeStamp"}}
    call = called({**params, "activity": activity}) if genuine else Call("", "GET", query, {}, b"\xff", AT)
    try:
        heard = await huawei().hear(call)
    except Refused as refusal:
        assert said(refusal.reply)["resultCode"] in {"000001", "000002"}
    else:
        assert genuine
        assert heard.notice is None or json.dumps(dict(heard.notice.body)).isprintable()


# What is answered


@pytest.mark.parametrize("done", [Done.APPLIED, Done.REPEATED])
async def test_a_purchase_is_answered_with_the_instance_that_is_known(done: Done) -> None:
    answer = await answered(called({**NEW, "businessId": "another"}), Outcome(done, KNOWN))
    assert answer == {"resultCode": "000000", "resultMsg": "success", "instanceId": INSTANCE}


async def test_a_purchase_that_could_not_be_placed_is_asked_for_again() -> None:
    assert (await answered(called(NEW), Outcome(Done.WAITING)))["resultCode"] == "000005"


@pytest.mark.parametrize("params", CHANGES)
@pytest.mark.parametrize(
    ("done", "code"), [(Done.APPLIED, "000000"), (Done.REPEATED, "000000"), (Done.WAITING, "000003")]
)
async def test_changes_are_acknowledged_if_their_instance_is_known(
    params: dict[str, str], done: Done, code: str
) -> None:
    assert (await answered(called(params), Outcome(done)))["resultCode"] == code


async def test_instances_that_are_known_are_told() -> None:
    provider = huawei()
    heard = await provider.hear(called({**QUERY, "instanceId": f"{INSTANCE},nobody's"}))
    assert (heard.notice, heard.asks) == (None, (instance_key(INSTANCE), instance_key("nobody's")))
    assert heard.once is not None
    assert heard.once.startswith("v1:")
    answer = said(provider.answer(heard, Outcome(Done.READ, asked={instance_key(INSTANCE): KNOWN})))
    app = {"frontEndUrl": "https://x.example/", "memo": ""}
    assert answer["info"] == [{"instanceId": INSTANCE, "appInfo": app}]
    assert said(provider.answer(heard, Outcome(Done.READ)))["resultCode"] == "000003"


async def test_in_a_test_all_instances_are_known_and_nobody_is_asked() -> None:
    heard = await huawei().hear(called({**QUERY, "testFlag": "1"}))
    assert heard.asks == ()
    assert said(huawei().answer(heard, Outcome(Done.READ)))["info"][0]["instanceId"] == INSTANCE


def test_later_huawei_calls_again() -> None:
    assert said(huawei().later(called(NEW))) == {"resultCode": "000005", "resultMsg": "try again"}
    assert huawei().later(replace(called(NEW), method="POST")).headers == {}


async def test_an_order_without_a_line_is_not_asked_for() -> None:
    openapi = HuaweiOpenApi(key_id="AK", key_secret="SK", timeout=1)
    provider = huawei(openapi=openapi)
    for key in (ORDER_KEY, "order:CS1906666688ABCDE"):
        with pytest.raises(CannotTell, match="no_order_line"):
            await provider.look_up(replace(KNOWN, keys=(key,)))
    await provider.close()
