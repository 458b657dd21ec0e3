"""KooGallery's calls: which are genuine, what each means, and what is answered."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateways.marketplaces.base import (
    Call,
    Done,
    Heard,
    Marketplace,
    Notice,
    Outcome,
    Refused,
    Reply,
    Subscription,
    instance_key,
)
from app.gateways.marketplaces.huawei import HuaweiMarketplace
from app.models.cloud_accounts import CloudStatus, Effect

KEY = "11111111-2222-3333-4444-555555555555"
NONCE = "50D83FDECAED6CCD8EF597F2A577950527928BA287D04E6036E92B2806FD17DA"
STAMP = "1680508066618"
AT = datetime(2023, 4, 3, 7, 47, 46, 618000, tzinfo=UTC)
BUSINESS = "87b94795-0603-4e24-8ae5-69420d60e3c8"
ORDER = {"orderId": "CS2211181819B4LVS", "orderLineId": "CS2211181819B4LVS-000001"}
ORDER_KEY = "order:CS2211181819B4LVS/CS2211181819B4LVS-000001"
NEW = {"activity": "newInstance", "businessId": BUSINESS, **ORDER, "testFlag": "0"}
TENANT_SYNC = "produceAPI/v2/tenantSync"
TENANT = {
    "domainName": "https://example.tenantaccount.com",
    "flag": 1,
    "instanceId": "huaiweitest123456",
    "name": "huaiweitest",
    "orderId": "CS1906666666ABCDE",
    "tenantCode": "huawei",
    "tenantId": "68cbc86abc2018ab880d92f36422fa0e",
    "testFlag": 0,
    "timeStamp": "20220413093539534",
}
SYNCS = [f"produceAPI/v2/{name}" for name in ("applicationSync", "authSync", "singleOrgSync", "allOrgSync")]
KNOWN = Subscription(BUSINESS, None, CloudStatus.PENDING, (instance_key(BUSINESS), ORDER_KEY))


def huawei(**changed: Any) -> HuaweiMarketplace:
    given: dict[str, Any] = {
        "key": KEY,
        "tenant_key": KEY,
        "openapi": None,
        "front_end_url": "https://billing.example.com/",
    }
    return HuaweiMarketplace(**{**given, **changed})


def written(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def hexed(key: str, text: bytes) -> str:
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def signed(
    body: object, *, payload: bytes | None = None, stamp: str = STAMP, nonce: str = NONCE, at: datetime = AT
) -> Call:
    """A call of the base interface; `payload` is what is signed, if not the body as it is."""
    raw = body if isinstance(body, bytes) else written(body)
    inner = hexed(KEY, raw if payload is None else payload)
    signature = hexed(KEY, f"{KEY}{nonce}{stamp}{inner}".encode())
    query = [("signature", signature), ("timestamp", stamp), ("nonce", nonce)]
    return Call("", "POST", query, {"content-type": "application/json"}, raw, at)


def synced(
    body: object, *, channel: str = TENANT_SYNC, payload: bytes | None = None, stamp: str = STAMP, nonce: str = NONCE
) -> Call:
    """A call of joint operation."""
    raw = body if isinstance(body, bytes) else written(body)
    signature = hexed(KEY, f"{KEY}{nonce}{stamp}".encode() + (raw if payload is None else payload))
    headers = {"x-sign": signature, "x-timestamp": stamp, "x-nonce": nonce}
    return Call(channel, "POST", [], headers, raw, AT)


def said(reply: Reply) -> dict[str, Any]:
    assert (reply.status, reply.media_type, reply.page) == (200, "application/json", None)
    found: dict[str, Any] = json.loads(reply.body)
    return found


async def notice_of(call: Call) -> Notice:
    heard = await huawei().hear(call)
    assert heard.notice is not None
    return heard.notice


async def refused(call: Call, provider: HuaweiMarketplace | None = None) -> tuple[str, str]:
    with pytest.raises(Refused) as refusal:
        await (provider or huawei()).hear(call)
    return refusal.value.why, said(refusal.value.reply)["resultCode"]


async def answered(call: Call, done: Done, subscription: Subscription | None = None) -> dict[str, Any]:
    provider = huawei()
    return said(provider.answer(await provider.hear(call), Outcome(done, subscription)))


# What is served


def test_it_is_a_marketplace() -> None:
    provider: Marketplace = huawei()
    assert (provider.name, provider.typed) == ("huawei", True)


@pytest.mark.parametrize("channel", ["", TENANT_SYNC, *SYNCS])
def test_calls_are_taken_where_there_is_a_key_for_them(channel: str) -> None:
    assert huawei().serves(channel, "POST")
    assert not huawei().serves(channel, "GET")
    assert huawei(tenant_key=None).serves(channel, "POST") == (channel == "")
    assert huawei(key=None).serves(channel, "POST") == (channel != "")
    assert not huawei(key="", tenant_key="").serves(channel, "POST")


@pytest.mark.parametrize("channel", ["produceAPI/v2/", "produceAPI/tenantSync", "tenantSync", "produceAPI/v2/other"])
def test_other_paths_are_not_served(channel: str) -> None:
    assert not huawei().serves(channel, "POST")


@pytest.mark.parametrize("key", [None, ""])
async def test_without_a_key_nothing_is_genuine(key: str | None) -> None:
    provider = huawei(key=key, tenant_key=key)
    assert await refused(signed(NEW), provider) == ("not_served", "000001")
    assert await refused(synced(TENANT), provider) == ("not_served", "000001")


# Who signed it


async def test_the_purchase_of_the_vector_is_genuine() -> None:
    call = Call(
        "",
        "POST",
        [
            ("signature", "88F988E56C3D783B17DF5D50195A70FF8428A03283606A72E972768792D0B8AC"),
            ("timestamp", STAMP),
            ("nonce", NONCE),
        ],
        {},
        b'{"activity":"newInstance","businessId":"87b94795-0603-4e24-8ae5-69420d60e3c8",'
        b'"orderId":"CS2211181819B4LVS","orderLineId":"CS2211181819B4LVS-000001","testFlag":"0"}',
        AT,
    )
    heard = await huawei().hear(call)
    assert heard.notice == Notice(
        channel="",
        type="newInstance",
        effect=Effect.ACTIVATED,
        dedup="newInstance/CS2211181819B4LVS/CS2211181819B4LVS-000001",
        at=AT,
        body={**NEW, "timestamp": STAMP, "nonce": NONCE},
        keys=(ORDER_KEY,),
        instance_id=BUSINESS,
        opens=True,
    )
    assert heard.once == f"purchase:{NONCE}"
    assert heard.once_until == AT + timedelta(minutes=2)
    assert hexed(KEY, call.body) == "806dd8b89560757ade19eacaf3616efc4438cc70e79b863b6858c5e5c57b2acb"


async def test_the_tenant_of_the_vector_is_genuine() -> None:
    headers = {
        "x-sign": "E52F085BFFD59FE3E29BD78A454D5BA3BCFE48F3262FA57D130E8036522D242C",
        "x-timestamp": STAMP,
        "x-nonce": NONCE,
    }
    body = (
        b'{"domainName":"https://example.tenantaccount.com","flag":1,"instanceId":"huaiweitest123456",'
        b'"name":"huaiweitest","orderId":"CS1906666666ABCDE","tenantCode":"huawei",'
        b'"tenantId":"68cbc86abc2018ab880d92f36422fa0e","testFlag":0,"timeStamp":"20220413093539534"}'
    )
    heard = await huawei().hear(Call(TENANT_SYNC, "POST", [], headers, body, AT))
    assert heard.notice == Notice(
        channel=TENANT_SYNC,
        type="tenantSync",
        effect=Effect.REGISTERED,
        dedup=f"tenantSync/{NONCE}",
        at=AT,
        body={
            "flag": "1",
            "instanceId": "huaiweitest123456",
            "orderId": "CS1906666666ABCDE",
            "tenantId": "68cbc86abc2018ab880d92f36422fa0e",
            "testFlag": "0",
            "timeStamp": "20220413093539534",
            "timestamp": STAMP,
            "nonce": NONCE,
        },
        keys=(instance_key("huaiweitest123456"),),
    )
    assert (heard.once, heard.once_until) == (f"sync:{NONCE}", AT + timedelta(minutes=2))


EXTRA = {"z": "中/é", "a": [1, None, {"y": None, "b": 2}]}


@pytest.mark.parametrize("make", [signed, synced])
async def test_a_body_may_be_signed_in_order_of_its_members_without_nulls(make: Any) -> None:
    body = {"testFlag": None, **ORDER, "flag": 1, "extra": EXTRA, "businessId": BUSINESS, "activity": "newInstance"}
    spaced = json.dumps(body, indent=2).encode()
    in_order = {"activity": "newInstance", "businessId": BUSINESS, "extra": EXTRA, "flag": 1, **ORDER}
    assert (await huawei().hear(make(spaced, payload=written(in_order)))).notice is not None


@pytest.mark.parametrize("make", [signed, synced])
@pytest.mark.parametrize(
    "payload",
    [written({**NEW, "orderId": "CS2"}), b"", written(dict(reversed(NEW.items()))), written({**NEW, "x": None})],
)
async def test_a_signature_of_something_else_is_refused(make: Any, payload: bytes) -> None:
    assert await refused(make(NEW, payload=payload)) == ("signature", "000001")


async def test_the_two_keys_and_the_two_ways_to_sign_are_not_mixed_up() -> None:
    assert await refused(signed(NEW), huawei(key="another")) == ("signature", "000001")
    assert await refused(synced(TENANT), huawei(tenant_key="another")) == ("signature", "000001")
    call = signed(TENANT)
    headers = {f"x-{'sign' if name == 'signature' else name}": value for name, value in call.query}
    assert await refused(replace(call, channel=TENANT_SYNC, headers=headers)) == ("signature", "000001")


@pytest.mark.parametrize("signature", ["", "0" * 63, "é" * 64, "\ud800", "0" * 64, "٠" * 64])
async def test_what_is_no_signature_is_refused(signature: str) -> None:
    call, sync = signed(NEW), synced(TENANT)
    query = [("signature", signature), *call.query[1:]]
    assert await refused(replace(call, query=query)) == ("signature", "000001")
    assert await refused(replace(sync, headers={**sync.headers, "x-sign": signature})) == ("signature", "000001")


async def test_a_signature_may_be_in_small_or_capital_letters() -> None:
    call = signed(NEW)
    capital = [(name, value.upper() if name == "signature" else value) for name, value in call.query]
    assert await huawei().hear(replace(call, query=capital)) == await huawei().hear(call)


@pytest.mark.parametrize(
    "query",
    [
        [],
        signed(NEW).query[:2],
        signed(NEW).query[1:],
        [*signed(NEW).query, ("nonce", NONCE)],
        [*signed(NEW).query, ("activity", "newInstance")],
        [("Signature", ""), *signed(NEW).query[1:]],
    ],
)
async def test_the_query_has_the_signature_and_nothing_else(query: Sequence[tuple[str, str]]) -> None:
    assert await refused(replace(signed(NEW), query=query)) == ("parameter", "000002")


@pytest.mark.parametrize("missing", ["x-timestamp", "x-nonce"])
async def test_joint_operation_without_a_time_or_a_nonce_is_refused(missing: str) -> None:
    call = synced(TENANT)
    headers = {name: value for name, value in call.headers.items() if name != missing}
    assert await refused(replace(call, headers=headers)) == ("parameter", "000002")


@pytest.mark.parametrize("stamp", ["", "168050806661", "-1680508066", "9" * 13, "9" * 5000, "168050806a", "١٦٨٠٥٠٨٠٦٦"])
async def test_what_is_no_time_is_refused(stamp: str) -> None:
    assert await refused(signed(NEW, stamp=stamp)) == ("parameter", "000002")
    assert await refused(synced(TENANT, stamp=stamp)) == ("parameter", "000002")


@pytest.mark.parametrize("nonce", ["", "short", "x" * 129, "abcdefgh\0", "中" * 16, "abcdefg h"])
async def test_what_is_no_nonce_is_refused(nonce: str) -> None:
    assert await refused(signed(NEW, nonce=nonce)) == ("parameter", "000002")
    assert await refused(synced(TENANT, nonce=nonce)) == ("parameter", "000002")


async def test_a_time_may_be_in_seconds() -> None:
    assert (await notice_of(signed(NEW, stamp=STAMP[:10]))).at == AT.replace(microsecond=0)


async def test_no_digits_move_between_a_nonce_and_a_time() -> None:
    """1791795432100 ms is in October 2026, and 1795432100 s in November: one text, one signature."""
    october = signed(NEW, nonce="RLLUammMSInlrNWb", stamp="1791795432100", at=datetime.fromtimestamp(1791795432.1, UTC))
    assert (await huawei().hear(october)).notice is not None
    moved = [october.query[0], ("timestamp", "1795432100"), ("nonce", "RLLUammMSInlrNWb179")]
    november = replace(october, query=moved, at=datetime.fromtimestamp(1795432100, UTC))
    assert await refused(november) == ("parameter", "000002")


@pytest.mark.parametrize("seconds", [-60, 0, 60])
async def test_a_call_is_good_for_a_minute(seconds: int) -> None:
    assert await huawei().hear(signed(NEW, at=AT + timedelta(seconds=seconds)))


@pytest.mark.parametrize("seconds", [-60.001, 60.001, 86400])
async def test_a_call_of_another_time_is_stale(seconds: float) -> None:
    assert await refused(signed(NEW, at=AT + timedelta(seconds=seconds))) == ("stale", "000001")


async def test_the_tolerance_can_be_another_and_nonces_are_kept_for_twice_as_long() -> None:
    provider = huawei(tolerance_seconds=300)
    heard = await provider.hear(signed(NEW, at=AT + timedelta(seconds=300)))
    assert heard.once_until == AT + timedelta(seconds=600)
    assert (await huawei(tolerance_seconds=5).hear(signed(NEW))).once_until == AT + timedelta(minutes=2)


async def test_one_nonce_serves_no_two_operations_since_their_paths_are_not_signed() -> None:
    body = {**TENANT, "flag": 0}
    heard = {(await huawei().hear(synced(body, channel=channel))).once for channel in [TENANT_SYNC, *SYNCS]}
    assert heard == {f"sync:{NONCE}"}


async def test_a_call_that_comes_again_is_not_genuine() -> None:
    assert (await answered(signed(NEW), Done.REPLAYED))["resultCode"] == "000001"
    assert (await answered(synced(TENANT), Done.REPLAYED))["resultCode"] == "000001"


# Bodies


@pytest.mark.parametrize("make", [signed, synced])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"activity":"newInstance","activity":"releaseInstance"}',
        b'{"activity":"x","extra":{"a":1,"a":2}}',
        b'{"activity":"x","extra":NaN}',
        b'{"activity":"x","extra":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        json.dumps(NEW).encode("utf-16"),
        "\ufeff{}".encode(),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else None,
)
async def test_a_body_that_is_no_plain_object_is_a_bad_parameter(make: Any, body: bytes) -> None:
    assert await refused(make(body)) == ("parameter", "000002")
    assert await refused(make(body, payload=b"something else")) == ("signature", "000001")


WRONG: list[Any] = [None, "", 7, True, 1.5, [], {}, "a\0b", "\ud800", "x" * 65, "a/b", "a,b", "a b", "中", "a\n"]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["orderId", "orderLineId", "businessId"])
async def test_a_purchase_without_its_names_is_a_bad_parameter(name: str, wrong: object) -> None:
    if wrong == 7:
        assert (await notice_of(signed({**NEW, name: wrong}))).body[name] == "7"
    else:
        assert await refused(signed({**NEW, name: wrong})) == ("parameter", "000002")


REFRESH = {"activity": "refreshInstance", "instanceId": BUSINESS, **ORDER, "scene": "RENEWAL"}
FREEZE = {"activity": "updateInstanceStatus", "instanceId": BUSINESS, "status": "FREEZE"}
RELEASE = {"activity": "releaseInstance", "instanceId": BUSINESS}
UPGRADE = {"activity": "upgradeInstance", "instanceId": BUSINESS, **ORDER}
QUERY = {"activity": "queryInstance", "instanceId": BUSINESS}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (REFRESH, "scene"),
        (REFRESH, "orderId"),
        (REFRESH, "orderLineId"),
        (FREEZE, "status"),
        (UPGRADE, "orderId"),
        (UPGRADE, "orderLineId"),
        *((body, "instanceId") for body in (REFRESH, FREEZE, RELEASE, UPGRADE)),
        *((body, "activity") for body in (NEW, REFRESH, FREEZE, RELEASE, UPGRADE)),
    ],
)
@pytest.mark.parametrize("wrong", [None, "", {}, "a\0b", "\ud800", 1.5])
async def test_an_activity_without_what_it_needs_is_a_bad_parameter(
    body: dict[str, Any], name: str, wrong: object
) -> None:
    assert await refused(signed({**body, name: wrong})) == ("parameter", "000002")


@pytest.mark.parametrize("body", [{**REFRESH, "scene": "OTHER"}, {**FREEZE, "status": "NORMAL"}])
async def test_scenes_and_statuses_that_nobody_knows_are_bad_parameters(body: dict[str, Any]) -> None:
    assert await refused(signed(body)) == ("parameter", "000002")


@pytest.mark.parametrize("wrong", ["2", 2, True, False, 1.0, [], "x", " 1"])
@pytest.mark.parametrize("body", [NEW, QUERY, RELEASE, {"activity": "other"}])
async def test_a_flag_that_says_neither_test_nor_real_is_a_bad_parameter(body: dict[str, Any], wrong: object) -> None:
    assert await refused(signed({**body, "testFlag": wrong})) == ("parameter", "000002")


async def test_nothing_but_what_is_needed_is_kept() -> None:
    secret = {"clientSecret": "s3cret", "mobilePhone": "13800138000", "buyerInfo": {"email": "a@example.com"}}
    assert (await notice_of(signed({**NEW, **secret}))).body == {**NEW, "timestamp": STAMP, "nonce": NONCE}
    for channel in SYNCS:
        body = {**TENANT, **secret, "appId": "app", "clientId": "c", "userList": [{"name": "张三"}], "orgCode": "1"}
        kept = (await notice_of(synced(body, channel=channel))).body
        assert set(kept) == {
            *("appId", "flag", "instanceId", "orderId", "tenantId", "testFlag", "timeStamp"),
            *("timestamp", "nonce"),
        }


# What each means


@pytest.mark.parametrize(
    ("body", "effect", "dedup"),
    [
        (REFRESH, Effect.UNFROZEN, f"refreshInstance/{BUSINESS}/RENEWAL/{'/'.join(ORDER.values())}"),
        (
            {**REFRESH, "scene": "TRIAL_TO_FORMAL"},
            Effect.ACTIVATED,
            f"refreshInstance/{BUSINESS}/TRIAL_TO_FORMAL/{'/'.join(ORDER.values())}",
        ),
        (
            {**REFRESH, "scene": "UNSUBSCRIBE_RENEWAL_PERIOD"},
            Effect.CHANGED,
            f"refreshInstance/{BUSINESS}/UNSUBSCRIBE_RENEWAL_PERIOD/{'/'.join(ORDER.values())}",
        ),
        (
            {**REFRESH, "scene": "RENEWAL_CHANGE"},
            Effect.CHANGED,
            f"refreshInstance/{BUSINESS}/RENEWAL_CHANGE/{'/'.join(ORDER.values())}",
        ),
        (FREEZE, Effect.FROZEN, f"updateInstanceStatus/{BUSINESS}/{NONCE}"),
        ({**FREEZE, "status": "UNFREEZE"}, Effect.UNFROZEN, f"updateInstanceStatus/{BUSINESS}/{NONCE}"),
        (RELEASE, Effect.RELEASED, f"releaseInstance/{BUSINESS}/"),
        ({**RELEASE, **ORDER}, Effect.RELEASED, f"releaseInstance/{BUSINESS}/"),
        (UPGRADE, Effect.CHANGED, f"upgradeInstance/{BUSINESS}/{'/'.join(ORDER.values())}"),
    ],
)
async def test_each_activity_has_its_effect_on_the_instance(body: dict[str, Any], effect: Effect, dedup: str) -> None:
    notice = await notice_of(signed(body))
    assert (notice.effect, notice.dedup, notice.keys) == (effect, dedup, (instance_key(BUSINESS),))
    assert (notice.type, notice.opens, notice.instance_id, notice.at) == (body["activity"], False, None, AT)


async def test_a_purchase_made_again_is_the_same_whatever_its_business_id() -> None:
    first = await notice_of(signed(NEW))
    again = await notice_of(signed({**NEW, "businessId": "another"}, nonce=NONCE[::-1]))
    assert (again.dedup, again.keys) == (first.dedup, first.keys)


async def test_products_of_one_order_line_are_purchases_of_their_own() -> None:
    first = await notice_of(signed({**NEW, "productId": "OFFI1"}))
    second = await notice_of(signed({**NEW, "productId": "OFFI2"}))
    assert (first.keys, first.product) == ((f"{ORDER_KEY}/OFFI1",), "OFFI1")
    assert first.dedup != second.dedup
    assert await refused(signed({**NEW, "productId": "a/b"})) == ("parameter", "000002")


async def test_a_renewal_may_change_the_product() -> None:
    assert (await notice_of(signed({**REFRESH, "productId": "OFFI2"}))).product == "OFFI2"


async def test_an_instance_can_be_frozen_again() -> None:
    first, second = await notice_of(signed(FREEZE)), await notice_of(signed(FREEZE, nonce=NONCE[::-1]))
    assert first.dedup != second.dedup


async def test_a_renewal_is_one_for_each_order() -> None:
    first, second = await notice_of(signed(REFRESH)), await notice_of(signed({**REFRESH, "orderId": "CS2"}))
    assert first.dedup != second.dedup
    assert (await notice_of(signed(REFRESH, nonce=NONCE[::-1]))).dedup == first.dedup


@pytest.mark.parametrize("activity", ["other", "expireInstance", "x" * 128, "x" * 5000, "a/b 中"])
async def test_what_nobody_knows_is_kept_and_acknowledged(activity: str) -> None:
    notice = await notice_of(signed({"activity": activity}))
    assert (notice.effect, notice.type, notice.keys) == (Effect.UNKNOWN, activity[:128], ())
    for done in (Done.IGNORED, Done.REPEATED, Done.WAITING):
        assert (await answered(signed({"activity": activity}), done))["resultCode"] == "000000"


@pytest.mark.parametrize("flag", ["1", 1])
@pytest.mark.parametrize("body", [NEW, REFRESH, FREEZE, RELEASE, UPGRADE])
async def test_a_test_changes_nothing(body: dict[str, Any], flag: object) -> None:
    call = signed({**body, "testFlag": flag})
    notice = await notice_of(call)
    assert (notice.effect, notice.keys, notice.opens, notice.instance_id) == (Effect.NONE, (), False, None)
    answer = await answered(call, Done.IGNORED)
    assert answer["resultCode"] == "000000"
    assert answer.get("instanceId") == (BUSINESS if body is NEW else None)


@pytest.mark.parametrize("flag", [None, "", "0", 0])
async def test_without_the_flag_it_is_real(flag: object) -> None:
    assert (await notice_of(signed({**RELEASE, "testFlag": flag}))).effect is Effect.RELEASED


# What is answered


@pytest.mark.parametrize("done", [Done.APPLIED, Done.REPEATED])
async def test_a_purchase_is_answered_with_the_instance_that_is_known(done: Done) -> None:
    answer = await answered(signed({**NEW, "businessId": "another"}), done, KNOWN)
    assert answer == {"resultCode": "000000", "resultMsg": "success", "instanceId": BUSINESS}


async def test_a_purchase_that_could_not_be_placed_is_asked_for_again() -> None:
    assert (await answered(signed(NEW), Done.WAITING))["resultCode"] == "000005"


@pytest.mark.parametrize("body", [REFRESH, FREEZE, RELEASE, UPGRADE])
@pytest.mark.parametrize(
    ("done", "code"),
    [(Done.APPLIED, "000000"), (Done.REPEATED, "000000"), (Done.IGNORED, "000000"), (Done.WAITING, "000003")],
)
async def test_changes_are_acknowledged_if_their_instance_is_known(body: dict[str, Any], done: Done, code: str) -> None:
    assert (await answered(signed(body), done))["resultCode"] == code


@pytest.mark.parametrize("channel", ["", TENANT_SYNC])
def test_later_huawei_calls_again(channel: str) -> None:
    call = replace(signed(NEW), channel=channel)
    assert said(huawei().later(call)) == {"resultCode": "000005", "resultMsg": "try again"}


# What is asked for


async def asked(body: dict[str, Any], *known: Subscription) -> tuple[Heard, dict[str, Any]]:
    provider = huawei()
    heard = await provider.hear(signed(body))
    found = {instance_key(one.instance_id): one for one in known}
    return heard, said(provider.answer(heard, Outcome(Done.READ, asked=found)))


APP = {"frontEndUrl": "https://billing.example.com/", "memo": ""}


async def test_instances_that_are_known_are_told_in_the_order_asked_for() -> None:
    other = replace(KNOWN, instance_id="other", status=CloudStatus.ACTIVE)
    heard, answer = await asked({**QUERY, "instanceId": f"other,nobody's, {BUSINESS},other,\0,\ud800,"}, KNOWN, other)
    assert heard.notice is None
    assert heard.once == f"purchase:{NONCE}"
    assert heard.asks == (instance_key("other"), instance_key("nobody's"), instance_key(BUSINESS))
    assert answer == {
        "resultCode": "000000",
        "resultMsg": "success",
        "info": [{"instanceId": "other", "appInfo": APP}, {"instanceId": BUSINESS, "appInfo": APP}],
    }


@pytest.mark.parametrize("ids", [BUSINESS, ",", "\0"])
async def test_when_no_instance_is_known_it_is_said_so(ids: str) -> None:
    _, answer = await asked({**QUERY, "instanceId": ids})
    assert answer["resultCode"] == "000003"


async def test_in_a_test_every_instance_is_known() -> None:
    heard, answer = await asked({**QUERY, "testFlag": "1"})
    assert heard.asks == ()
    assert answer["info"] == [{"instanceId": BUSINESS, "appInfo": APP}]


async def test_a_hundred_instances_may_be_asked_for_and_no_more() -> None:
    heard = await huawei().hear(signed({**QUERY, "instanceId": ",".join(f"i{n}" for n in range(100))}))
    assert len(heard.asks) == 100
    too_many = {**QUERY, "instanceId": ",".join(f"i{n}" for n in range(101))}
    assert await refused(signed(too_many)) == ("parameter", "000002")


@pytest.mark.parametrize("ids", [None, "", 7, ["a"], {}])
async def test_a_query_for_nothing_is_a_bad_parameter(ids: object) -> None:
    assert await refused(signed({**QUERY, "instanceId": ids})) == ("parameter", "000002")


# Joint operation


@pytest.mark.parametrize(
    ("flag", "effect"), [(0, Effect.NONE), (1, Effect.REGISTERED), (2, Effect.REGISTERED), ("0", Effect.NONE)]
)
async def test_tenants_come_change_and_go(flag: object, effect: Effect) -> None:
    call = synced({**TENANT, "flag": flag})
    notice = await notice_of(call)
    assert (notice.effect, notice.keys) == (effect, (instance_key("huaiweitest123456"),))
    for done in (Done.APPLIED, Done.REPEATED, Done.WAITING, Done.IGNORED):
        assert await answered(call, done) == {"resultCode": "000000", "resultMsg": "success"}


@pytest.mark.parametrize("flag", [None, 3, -1, True, "x", [], 1.0])
async def test_a_tenant_without_a_flag_that_is_known_is_a_bad_parameter(flag: object) -> None:
    assert await refused(synced({**TENANT, "flag": flag})) == ("parameter", "000002")


@pytest.mark.parametrize("instance", ["a\0", "x" * 65, "a/b", [], "\ud800"])
async def test_a_tenant_of_no_instance_that_could_be_is_a_bad_parameter(instance: object) -> None:
    assert await refused(synced({**TENANT, "instanceId": instance})) == ("parameter", "000002")


@pytest.mark.parametrize("changed", [{"testFlag": 1}, {"testFlag": "1"}, {"instanceId": ""}, {"instanceId": None}])
@pytest.mark.parametrize("flag", [0, 1, 2])
async def test_tests_and_applications_for_credentials_change_nothing(changed: dict[str, Any], flag: int) -> None:
    notice = await notice_of(synced({**TENANT, "flag": flag, **changed}))
    assert (notice.effect, notice.keys) == (Effect.NONE, ())


@pytest.mark.parametrize("wrong", [2, "x", True, []])
async def test_a_tenant_neither_real_nor_a_test_is_a_bad_parameter(wrong: object) -> None:
    assert await refused(synced({**TENANT, "testFlag": wrong})) == ("parameter", "000002")


@pytest.mark.parametrize("channel", SYNCS)
@pytest.mark.parametrize("flag", [0, 1, 2, 3])
async def test_other_operations_are_kept_and_change_nothing(channel: str, flag: int) -> None:
    call = synced({**TENANT, "flag": flag}, channel=channel)
    notice = await notice_of(call)
    assert (notice.effect, notice.keys, notice.type) == (Effect.NONE, (), channel.rpartition("/")[2])
    assert (await answered(call, Done.IGNORED))["resultCode"] == "000000"


# Whatever comes


def is_storable(notice: Notice) -> bool:
    texts = [notice.dedup, *notice.keys, notice.instance_id or "", notice.product or "", json.dumps(notice.body)]
    texts += notice.body.values()
    return (
        len(notice.type) <= 128
        and all(len(key) <= 600 for key in notice.keys)
        and all("\0" not in text and text.encode() is not None for text in texts)
    )


@pytest.mark.parametrize(
    "body", [NEW, {**NEW, "productId": "OFFI1"}, REFRESH, FREEZE, RELEASE, UPGRADE, {"activity": "?"}]
)
async def test_what_was_kept_of_a_purchase_can_be_read_again(body: dict[str, Any]) -> None:
    notice = await notice_of(signed(body))
    kept = json.loads(json.dumps(notice.body))
    assert huawei().parse("", kept, datetime(2030, 1, 1, tzinfo=UTC)) == notice
    assert is_storable(notice)


@pytest.mark.parametrize("channel", [TENANT_SYNC, *SYNCS])
async def test_what_was_kept_of_a_tenant_can_be_read_again(channel: str) -> None:
    notice = await notice_of(synced(TENANT, channel=channel))
    kept = json.loads(json.dumps(notice.body))
    assert huawei(tenant_key=None).parse(channel, kept, datetime(2030, 1, 1, tzinfo=UTC)) == notice


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(categories=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
VALUES = (
    JSON
    | st.sampled_from(
        [
            "newInstance",
            "refreshInstance",
            "updateInstanceStatus",
            "releaseInstance",
            "upgradeInstance",
            "queryInstance",
        ]
    )
    | st.sampled_from(["RENEWAL", "FREEZE", "0", "1", 0, 1, 2, BUSINESS])
)
BODIES = st.dictionaries(st.sampled_from([*NEW, *REFRESH, *FREEZE, *TENANT, "productId", "appId"]), VALUES)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(BODIES, st.sampled_from(["", TENANT_SYNC, *SYNCS]))
async def test_no_signed_body_breaks_it(body: dict[str, Any], channel: str) -> None:
    call = signed(body) if channel == "" else synced(body, channel=channel)
    try:
        heard = await huawei().hear(call)
    except Refused as refusal:
        assert said(refusal.reply)["resultCode"] == "000002"
        return
    if heard.notice is not None:
        assert is_storable(heard.notice)
        assert huawei().parse(channel, json.loads(json.dumps(heard.notice.body)), AT) == heard.notice
    assert all("\0" not in key and key.isascii() for key in heard.asks)
    for done in Done:
        said(huawei().answer(heard, Outcome(done)))


ANY = st.text(st.characters(categories=None), max_size=70)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(["", TENANT_SYNC]),
    st.lists(st.tuples(st.sampled_from(["signature", "timestamp", "nonce"]) | ANY, ANY | st.just(STAMP)), max_size=4),
    st.dictionaries(st.sampled_from(["x-sign", "x-timestamp", "x-nonce"]), ANY | st.sampled_from([STAMP, NONCE])),
    st.binary(max_size=50) | BODIES.map(written),
)
async def test_no_garbage_breaks_it(
    channel: str, query: list[tuple[str, str]], headers: Mapping[str, str], body: bytes
) -> None:
    assert (await refused(Call(channel, "POST", query, headers, body, AT)))[0] in {"parameter", "stale", "signature"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(["", TENANT_SYNC, *SYNCS, "other"]),
    BODIES,
    st.fixed_dictionaries({}, optional={"timestamp": VALUES | st.just(STAMP), "nonce": VALUES}),
)
def test_what_is_no_kept_body_is_a_value_error(channel: str, body: dict[str, Any], seal: dict[str, Any]) -> None:
    try:
        huawei().parse(channel, {**body, **seal}, AT)
    except ValueError:
        return
    assert seal
