"""Whatever comes to the marketplaces, signed or not, is answered with a status that their pages know; no 5xx of ours.

These places are in no OpenAPI document: each provider's protocol is its own.
"""

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest
import respx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core import ids
from app.core.clock import now
from tests.support.api import Api
from tests.support.aws_marketplace import AWS, TOPIC
from tests.support.clouds import AWS_PRODUCT, EVENTS_SECRET, HUAWEI_KEY, alibaba_token, aws_event
from tests.support.fuzzing import EXAMPLES, answered

FUZZED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
pytestmark = pytest.mark.settings(**AWS, huawei_tenant_sync_key=HUAWEI_KEY)

# 503 is "come again": AWS cannot be asked here, and providers call again.
ANSWERS = {200, 302, 303, 400, 401, 403, 404, 405, 410, 413, 415, 422, 429, 503}
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | TEXT
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4))
PLACES = st.sampled_from(
    [
        *("alibaba", "aws/landing", "aws/sns", "aws/events", "huawei"),
        *("huawei/produceAPI/v2/tenantSync", "huawei/produceAPI/v2/authSync", "aws", "nimbus", "aws/sns/x"),
    ]
)


def of(*names: str, values: st.SearchStrategy[Any] = LEAF) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the members that the provider knows, and made-up ones."""
    known = st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))
    return st.builds(lambda made_up, own: made_up | own, st.dictionaries(TEXT, values, max_size=2), known)


async def checked(call: Any) -> None:
    """Nobody outside is asked: whoever tries gets no connection."""
    with respx.mock(assert_all_called=False) as outside:
        outside.route().mock(side_effect=httpx.ConnectError("nobody is there"))
        answer: httpx.Response = await call
    answered("marketplace", answer.status_code)
    assert answer.status_code in ANSWERS, (answer.status_code, answer.text)
    assert "Traceback" not in answer.text


@FUZZED
@given(
    place=PLACES,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]),
    kind=st.sampled_from(
        ["application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]
    ),
    body=st.binary(max_size=300),
)
async def test_what_nobody_signed_is_refused(pg_api: Api, place: str, method: str, kind: str, body: bytes) -> None:
    query = {"signature": body.hex()[:32], "timestamp": body.decode("latin-1")}
    headers = {"content-type": kind}
    await checked(pg_api.client.request(method, f"/marketplace/{place}", params=query, content=body, headers=headers))


ALIBABA = (
    "aliUid",
    "orderBizId",
    "orderId",
    "productCode",
    "skuId",
    "trial",
    "instanceId",
    "timeStamp",
    "accountQuantity",
)
ACTIONS = ("createInstance", "renewInstance", "upgradeInstance", "expiredInstance", "releaseInstance", "verify", "x")


@FUZZED
@given(action=st.sampled_from(ACTIONS), members=of(*ALIBABA, values=TEXT))
async def test_what_alibaba_signs_is_answered(pg_api: Api, action: str, members: dict[str, str]) -> None:
    params = {**members, "action": action}
    params.pop("token", None)
    await checked(pg_api.client.get("/marketplace/alibaba", params={**params, "token": alibaba_token(params)}))


HUAWEI = (
    "orderId",
    "orderLineId",
    "businessId",
    "instanceId",
    "testFlag",
    "status",
    "expireTime",
    "productId",
    "scene",
)
ACTIVITIES = ("newInstance", "refreshInstance", "updateInstanceStatus", "releaseInstance", "queryInstance", "x")


@FUZZED
@given(activity=st.sampled_from(ACTIVITIES), members=of(*HUAWEI, values=JSON))
async def test_what_huawei_signs_is_answered(pg_api: Api, activity: str, members: dict[str, Any]) -> None:
    body = {**members, "activity": activity}
    text = json.dumps({name: body[name] for name in sorted(body)}, ensure_ascii=False, separators=(",", ":"))
    moment, nonce = str(int(now().timestamp() * 1000)), (ids.new().hex * 2).upper()
    inner = _hmac(text)
    query = {"signature": _hmac(HUAWEI_KEY + nonce + moment + inner), "timestamp": moment, "nonce": nonce}
    headers = {"content-type": "application/json"}
    await checked(pg_api.client.post("/marketplace/huawei", params=query, content=text.encode(), headers=headers))


def _hmac(text: str) -> str:
    return hmac.new(HUAWEI_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


TYPES = ("Purchase Agreement Created - Manufacturer", "License Updated - Manufacturer", "Purchase Agreement Ended", "x")


@FUZZED
@given(kind=st.sampled_from(TYPES), members=of("intent", "status", "endTime", "id", values=JSON), event=JSON)
async def test_what_aws_sends_is_answered(pg_api: Api, kind: str, members: dict[str, Any], event: Any) -> None:
    proper = aws_event(kind, licence=ids.new().hex, agreement="agmt-1")
    proper["detail"]["agreement"] |= members
    for body in (proper, event):
        headers = {"authorization": f"Bearer {EVENTS_SECRET}", "content-type": "application/json"}
        text = json.dumps(body).encode()  # NaN and Infinity too, which Python reads and no database takes
        await checked(pg_api.client.post("/marketplace/aws/events", content=text, headers=headers))


@FUZZED
@given(members=of("Type", "MessageId", "Message", "Timestamp", "Signature", "SigningCertURL", "Subject"), topic=TEXT)
async def test_what_claims_to_be_of_a_topic_is_answered(pg_api: Api, members: dict[str, Any], topic: str) -> None:
    body = {"TopicArn": TOPIC, "SignatureVersion": "1", **members}
    await checked(pg_api.client.post("/marketplace/aws/sns", json=body, headers={"x-amz-sns-topic-arn": TOPIC}))


@FUZZED
@given(token=TEXT | st.binary(max_size=40), offer=of("x-amzn-marketplace-offer-type", values=TEXT))
async def test_whoever_lands_is_answered(pg_api: Api, token: str | bytes, offer: dict[str, str]) -> None:
    form = {**offer, "x-amzn-marketplace-token": token, "x-amzn-marketplace-product-id": AWS_PRODUCT}
    await checked(pg_api.client.post("/marketplace/aws/landing", data=form))
