"""Huawei Cloud KooGallery (云商店), access V2.0 of SaaS products: purchases, and the tenants of joint operation (联营).

Purchases by the deprecated access V1.0 too, if that is switched on: what is different there is in huawei_v1.py.

Sources, under https://support.huaweicloud.com/intl/en-us/accessg-marketplace/: the activities topic_0070649092.html to
0070649097, the result codes topic_0070649099.html; for tenants zh-cn_topic_0070649433.html to 0070649435, under
https://support.huaweicloud.com/accessg-marketplace/.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from app.gateways.marketplaces.base import (
    Call,
    CannotTell,
    Done,
    Facts,
    Heard,
    Notice,
    Outcome,
    Refused,
    Reply,
    Subscription,
    instance_key,
    json_reply,
)
from app.gateways.marketplaces.huawei_notices import OPERATIONS, PURCHASES, asked, is_test, kept, notice
from app.gateways.marketplaces.huawei_openapi import HuaweiOpenApi
from app.gateways.marketplaces.huawei_signed import Seal, read, seal_of_headers, seal_of_query
from app.gateways.marketplaces.huawei_v1 import V1, Token, kept_v1, notice_v1, signed, token_of_query
from app.models.cloud_accounts import Effect

_DONE = ("000000", "success")
_NOT_GENUINE = ("000001", "authentication failed")
_BAD = ("000002", "invalid parameter")
_NO_INSTANCE = ("000003", "instance not found")
_AGAIN = ("000005", "try again")

_NONCES_KEPT = timedelta(minutes=2)  # at least


class HuaweiMarketplace:
    """`key` is the access key of the production URL, `tenant_key` the one of joint operation: what has none is not
    served. `v1`: whether V1.0 is served besides V2.0, with the same key; its calls are GET. `front_end_url` is where a
    buyer is sent. `tolerance_seconds`: how far a call's time may be from ours.
    """

    name = "huawei"
    typed = True

    def __init__(
        self,
        *,
        key: str | None,
        tenant_key: str | None,
        openapi: HuaweiOpenApi | None,
        front_end_url: str,
        v1: bool = False,
        tolerance_seconds: int = 60,
    ) -> None:
        self._key = key
        self._tenant_key = tenant_key
        self._openapi = openapi
        self._front_end_url = front_end_url
        self._v1 = v1
        self._tolerance = timedelta(seconds=tolerance_seconds)

    def serves(self, channel: str, method: str) -> bool:
        return method in {"GET", "POST"} and bool(self._key_of(channel, method))

    async def hear(self, call: Call) -> Heard:
        """Raises Refused; the answer has status 200 as all others have."""
        try:
            return self._hear_v1(call) if call.method == "GET" else self._hear(call)
        except Refused as refused:
            raise Refused(refused.why, self._sent(refused.reply, v1=call.method == "GET")) from None

    def _hear(self, call: Call) -> Heard:
        seal = self._seal(call)
        # The path is not signed: what was heard of one operation must not be heard of another.
        once = f"{'purchase' if call.channel == PURCHASES else 'sync'}:{seal.nonce}"
        until = self._until(seal.at)
        try:
            message = read(call.body)
            if call.channel == PURCHASES and message.get("activity") == "queryInstance":
                return _question(message, once, until)
            body = {**kept(call.channel, message), "timestamp": seal.timestamp, "nonce": seal.nonce}
            return Heard(self.parse(call.channel, body, call.at), once=once, once_until=until)
        except ValueError:
            _refuse("parameter", _BAD)

    def _hear_v1(self, call: Call) -> Heard:
        """It has no nonce: its token is taken once. A call that is made again has another time, so another token."""
        token = self._token(call)
        once, until, message = f"v1:{token.value}", self._until(token.at), dict(call.query)
        try:
            if message.get("activity") == "queryInstance":
                return _question(message, once, until, v1=True)
            told = self.parse(V1, kept_v1(message), call.at)
            return Heard(told, once=once, once_until=until, context={"v1": True})
        except ValueError:
            _refuse("parameter", _BAD)

    def answer(self, heard: Heard, outcome: Outcome) -> Reply:
        return self._sent(self._answer(heard, outcome), v1=heard.context.get("v1", False))

    def _answer(self, heard: Heard, outcome: Outcome) -> Reply:
        if outcome.done is Done.REPLAYED:
            return _says(_NOT_GENUINE)
        told = heard.notice
        if told is None:
            return self._instances(heard.context, outcome)
        if told.type == "newInstance":
            return _created(told, outcome.subscription)
        # A tenant may be deleted without looking whether its instance exists, by the page.
        needs_instance = told.channel in {PURCHASES, V1} and told.effect not in {Effect.NONE, Effect.UNKNOWN}
        return _says(_NO_INSTANCE if needs_instance and outcome.done is Done.WAITING else _DONE)

    def later(self, call: Call) -> Reply:
        return self._sent(_says(_AGAIN), v1=call.method == "GET")

    def parse(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        """The body has the time of its signature: `at` is not needed. Raises ValueError."""
        return notice_v1(body) if channel == V1 else notice(channel, body)

    async def look_up(self, subscription: Subscription) -> Facts:
        """From the order that it began with: who bought, and what. It says nothing of the state."""
        order = next((key for key in subscription.keys if key.startswith("order:")), None)
        if order is None:
            raise CannotTell("no_order")
        if self._openapi is None:
            raise CannotTell("not_configured")
        order_id, _, rest = order.removeprefix("order:").partition("/")
        line_id, _, product = rest.partition("/")
        if not line_id:
            raise CannotTell("no_order_line")  # V1.0 has none; it told who bought it
        facts = await self._openapi.order(order_id, line_id)
        return replace(facts, product=product) if product and facts.product else facts

    async def close(self) -> None:
        if self._openapi is not None:
            await self._openapi.close()

    def _key_of(self, channel: str, method: str) -> str | None:
        if method == "GET":
            return self._key if self._v1 and channel == PURCHASES else None
        if channel == PURCHASES:
            return self._key
        return self._tenant_key if channel in OPERATIONS else None

    def _seal(self, call: Call) -> Seal:
        """Whether a call is genuine, and of now. Raises Refused."""
        key = self._key_for(call)
        try:
            seal = seal_of_query(call.query) if call.channel == PURCHASES else seal_of_headers(call.headers)
        except ValueError:
            _refuse("parameter", _BAD)
        self._is_of_now(call, seal.at)
        if not seal.fits(call.body, key, hashed=call.channel == PURCHASES):
            _refuse("signature", _NOT_GENUINE)
        return seal

    def _token(self, call: Call) -> Token:
        """The same for V1.0. Raises Refused."""
        key = self._key_for(call)
        try:
            token = token_of_query(call.query)
        except ValueError:
            _refuse("parameter", _BAD)
        self._is_of_now(call, token.at)
        if not token.fits(key):
            _refuse("signature", _NOT_GENUINE)
        return token

    def _key_for(self, call: Call) -> str:
        key = self._key_of(call.channel, call.method)
        return key or _refuse("not_served", _NOT_GENUINE)

    def _is_of_now(self, call: Call, at: datetime) -> None:
        if abs(call.at - at) > self._tolerance:
            _refuse("stale", _NOT_GENUINE)

    def _until(self, at: datetime) -> datetime:
        return at + max(2 * self._tolerance, _NONCES_KEPT)

    def _sent(self, reply: Reply, *, v1: bool) -> Reply:
        return signed(reply, self._key) if v1 and self._key else reply

    def _instances(self, question: Mapping[str, Any], outcome: Outcome) -> Reply:
        """Those that are known. In a test all are: what was created in a test was not kept."""
        app = {"frontEndUrl": self._front_end_url, "memo": ""}
        info = [
            {"instanceId": instance, "appInfo": app}
            for instance in question["ids"]
            if question["test"] or instance_key(instance) in outcome.asked
        ]
        return _says(_DONE, info=info) if info else _says(_NO_INSTANCE)


def _question(message: Mapping[str, Any], once: str, until: datetime, **context: bool) -> Heard:
    """Raises ValueError."""
    question = {"ids": asked(message), "test": is_test(message), **context}
    keys = () if question["test"] else tuple(map(instance_key, asked(message)))
    return Heard(once=once, once_until=until, asks=keys, context=question)


def _says(code: tuple[str, str], **more: object) -> Reply:
    return json_reply({"resultCode": code[0], "resultMsg": code[1], **more})


def _refuse(why: str, code: tuple[str, str]) -> NoReturn:
    raise Refused(why, _says(code)) from None


def _created(told: Notice, subscription: Subscription | None) -> Reply:
    """The instance of an order is always the same one, whatever businessId this call has."""
    if told.effect is Effect.NONE:
        return _says(_DONE, instanceId=told.body["businessId"])
    return _says(_DONE, instanceId=subscription.instance_id) if subscription else _says(_AGAIN)
