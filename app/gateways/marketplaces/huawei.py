"""Huawei Cloud KooGallery (云商店), access V2.0 of SaaS products: purchases, and the tenants of joint operation (联营).

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
from app.models.cloud_accounts import Effect

_DONE = ("000000", "success")
_NOT_GENUINE = ("000001", "authentication failed")
_BAD = ("000002", "invalid parameter")
_NO_INSTANCE = ("000003", "instance not found")
_AGAIN = ("000005", "try again")

_NONCES_KEPT = timedelta(minutes=2)  # at least


class HuaweiMarketplace:
    """`key` is the access key of the production URL, `tenant_key` the one of joint operation: what has none is not
    served. `front_end_url` is where a buyer is sent. `tolerance_seconds`: how far a call's time may be from ours.
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
        tolerance_seconds: int = 60,
    ) -> None:
        self._key = key
        self._tenant_key = tenant_key
        self._openapi = openapi
        self._front_end_url = front_end_url
        self._tolerance = timedelta(seconds=tolerance_seconds)

    def serves(self, channel: str, method: str) -> bool:
        return method == "POST" and bool(self._key_of(channel))

    async def hear(self, call: Call) -> Heard:
        """Raises Refused; the answer has status 200 as all others have."""
        seal = self._seal(call)
        # The path is not signed: what was heard of one operation must not be heard of another.
        once = f"{'purchase' if call.channel == PURCHASES else 'sync'}:{seal.nonce}"
        until = seal.at + max(2 * self._tolerance, _NONCES_KEPT)
        try:
            message = read(call.body)
            if call.channel == PURCHASES and message.get("activity") == "queryInstance":
                question = {"ids": asked(message), "test": is_test(message)}
                keys = () if question["test"] else tuple(map(instance_key, asked(message)))
                return Heard(once=once, once_until=until, asks=keys, context=question)
            body = {**kept(call.channel, message), "timestamp": seal.timestamp, "nonce": seal.nonce}
            return Heard(self.parse(call.channel, body, call.at), once=once, once_until=until)
        except ValueError:
            _refuse("parameter", _BAD)

    def answer(self, heard: Heard, outcome: Outcome) -> Reply:
        if outcome.done is Done.REPLAYED:
            return _says(_NOT_GENUINE)
        told = heard.notice
        if told is None:
            return self._instances(heard.context, outcome)
        if told.type == "newInstance":
            return _created(told, outcome.subscription)
        # A tenant may be deleted without looking whether its instance exists, by the page.
        needs_instance = told.channel == PURCHASES and told.effect not in {Effect.NONE, Effect.UNKNOWN}
        return _says(_NO_INSTANCE if needs_instance and outcome.done is Done.WAITING else _DONE)

    def later(self, call: Call) -> Reply:
        return _says(_AGAIN)

    def parse(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        """The body has the time of its signature: `at` is not needed. Raises ValueError."""
        return notice(channel, body)

    async def look_up(self, subscription: Subscription) -> Facts:
        """From the order that it began with: who bought, and what. It says nothing of the state."""
        order = next((key for key in subscription.keys if key.startswith("order:")), None)
        if order is None:
            raise CannotTell("no_order")
        if self._openapi is None:
            raise CannotTell("not_configured")
        order_id, _, rest = order.removeprefix("order:").partition("/")
        line_id, _, product = rest.partition("/")
        facts = await self._openapi.order(order_id, line_id)
        return replace(facts, product=product) if product and facts.product else facts

    async def close(self) -> None:
        if self._openapi is not None:
            await self._openapi.close()

    def _key_of(self, channel: str) -> str | None:
        if channel == PURCHASES:
            return self._key
        return self._tenant_key if channel in OPERATIONS else None

    def _seal(self, call: Call) -> Seal:
        """Whether a call is genuine, and of now. Raises Refused."""
        key = self._key_of(call.channel)
        if not key:
            _refuse("not_served", _NOT_GENUINE)
        try:
            seal = seal_of_query(call.query) if call.channel == PURCHASES else seal_of_headers(call.headers)
        except ValueError:
            _refuse("parameter", _BAD)
        if abs(call.at - seal.at) > self._tolerance:
            _refuse("stale", _NOT_GENUINE)
        if not seal.fits(call.body, key, hashed=call.channel == PURCHASES):
            _refuse("signature", _NOT_GENUINE)
        return seal

    def _instances(self, question: Mapping[str, Any], outcome: Outcome) -> Reply:
        """Those that are known. In a test all are: what was created in a test was not kept."""
        app = {"frontEndUrl": self._front_end_url, "memo": ""}
        info = [
            {"instanceId": instance, "appInfo": app}
            for instance in question["ids"]
            if question["test"] or instance_key(instance) in outcome.asked
        ]
        return _says(_DONE, info=info) if info else _says(_NO_INSTANCE)


def _says(code: tuple[str, str], **more: object) -> Reply:
    return json_reply({"resultCode": code[0], "resultMsg": code[1], **more})


def _refuse(why: str, code: tuple[str, str]) -> NoReturn:
    raise Refused(why, _says(code)) from None


def _created(told: Notice, subscription: Subscription | None) -> Reply:
    """The instance of an order is always the same one, whatever businessId this call has."""
    if told.effect is Effect.NONE:
        return _says(_DONE, instanceId=told.body["businessId"])
    return _says(_DONE, instanceId=subscription.instance_id) if subscription else _says(_AGAIN)
