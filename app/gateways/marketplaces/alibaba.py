"""Alibaba Cloud Marketplace: the production SPI of SaaS goods, one URL whose parameter `action` says what is meant.

Sources: https://help.aliyun.com/zh/marketplace/spi-reference and its pages createinstance, renewinstance,
refundrenewinstance, resumeinstance, expiredinstance, upgradeinstance, https://help.aliyun.com/document_detail/147368.html
(releaseInstance), 147370 (verify) and 147280 (the token).
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from app.gateways.marketplaces.alibaba_notices import CREATE, checked, moment_of, notice_of, required
from app.gateways.marketplaces.alibaba_openapi import AlibabaOpenApi
from app.gateways.marketplaces.base import (
    Call,
    CannotTell,
    Done,
    Facts,
    Heard,
    Notice,
    Outcome,
    Page,
    Refused,
    Reply,
    Subscription,
    instance_key,
    json_reply,
)
from app.models.cloud_accounts import Effect

SHANGHAI = ZoneInfo("Asia/Shanghai")

_VERIFY = "verify"
_MOST_PARAMETERS = 200
_FORM = "application/x-www-form-urlencoded"
_NOT_KEPT = frozenset({"token", "email", "mobile", "phone"})  # the secret, and whom to call at the buyer's


class AlibabaMarketplace:
    """`key` is the security key that the vendor's console shows. `products`: our product codes; none means all.
    `front_end_url` and `login_url` are what Alibaba's console shows the buyer: the latter is called back by `verify`.

    `openapi`: None if the provider cannot be asked. `verify_seconds`: how far the time of a password-less login may be
    off, to either side. `time_zone`: that of times without one; Alibaba does not say which it is.
    """

    name = "alibaba"
    typed = True

    def __init__(
        self,
        *,
        key: str,
        products: frozenset[str],
        openapi: AlibabaOpenApi | None,
        front_end_url: str,
        login_url: str,
        verify_seconds: int = 300,
        time_zone: ZoneInfo = SHANGHAI,
    ) -> None:
        self._key = key
        self._products = products
        self._openapi = openapi
        self._app_info = {"frontEndUrl": front_end_url, "authUrl": login_url}
        self._window = timedelta(seconds=verify_seconds)
        self._time_zone = time_zone

    def serves(self, channel: str, method: str) -> bool:
        return channel == "" and method in {"GET", "POST"}

    async def hear(self, call: Call) -> Heard:
        action = _action(call)
        try:
            given = _parameters(call)
            expected = token(given.items(), self._key)
            genuine = hmac.compare_digest(given.get("token", "").encode(), expected.encode())
        except ValueError:
            raise _refused(action, "bad_parameter", 400) from None
        if not genuine:
            raise _refused(action, "bad_token", 403)
        try:
            if action == _VERIFY:
                return self._verified(given, call.at)
            kept = {name: value for name, value in given.items() if name.lower() not in _NOT_KEPT}
            notice = self.parse(call.channel, kept, call.at)
        except ValueError:
            raise _refused(action, "bad_parameter", 400) from None
        if action == CREATE and self._products and notice.product not in self._products:
            raise _refused(action, "foreign_product", 400)
        return Heard(notice=notice, context={"action": action})

    def answer(self, heard: Heard, outcome: Outcome) -> Reply:
        """`success` is typed Boolean, but each of Alibaba's samples has it as text."""
        action = heard.context["action"]
        if action == _VERIFY:
            is_replay = outcome.done is Done.REPLAYED
            return Reply(410, page=Page.EXPIRED) if is_replay else Reply(404, page=Page.UNKNOWN)
        if action == CREATE:
            if outcome.subscription is None:
                return json_reply({"instanceId": "0"})
            return json_reply({"instanceId": outcome.subscription.instance_id, "appInfo": self._app_info})
        is_known = heard.notice is None or heard.notice.effect is not Effect.UNKNOWN
        if outcome.done is Done.WAITING and is_known:
            return json_reply({"success": "false", "message": "not applied"})
        return json_reply({"success": "true"})

    def later(self, call: Call) -> Reply:
        """Instance 0 is Alibaba's own word for "call again"; for the other actions none is documented."""
        action = _action(call)
        if action == CREATE:
            return json_reply({"instanceId": "0"})
        if action == _VERIFY:
            return Reply(503, page=Page.LATER)
        return json_reply({"success": "false", "message": "try again"}, 503)

    def parse(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        return notice_of(channel, body, at, self._time_zone)

    async def look_up(self, subscription: Subscription) -> Facts:
        if self._openapi is None:
            raise CannotTell("not_configured")
        facts = await self._openapi.look_up(subscription.instance_id)
        is_ours = not self._products or facts.product in self._products
        return facts if is_ours else Facts()

    async def close(self) -> None:
        if self._openapi is not None:
            await self._openapi.close()

    def _verified(self, given: Mapping[str, str], at: datetime) -> Heard:
        """A buyer's browser, sent here from the console. The window is ours to choose; a link is good once."""
        given = checked(given)
        instance_id, signed_at = required(given, "instanceId"), moment_of(given.get("timeStamp", ""), self._time_zone)
        if signed_at is None:
            raise ValueError("no time")
        if abs(at - signed_at) > self._window:
            raise Refused("expired", Reply(410, page=Page.EXPIRED))
        return Heard(
            once=f"{_VERIFY}:{given['token']}",
            once_until=signed_at + self._window,
            lands=(instance_key(instance_id),),
            context={"action": _VERIFY},
        )


def token(parameters: Iterable[tuple[str, str]], key: str) -> str:
    """The token of these parameters: all but `token`, decoded and not encoded again, also empty and unknown ones.

    Sorted by name as Java sorts text, by UTF-16 code unit. Raises UnicodeEncodeError for half a surrogate pair.
    """
    signed = sorted(parameters, key=lambda pair: pair[0].encode("utf-16-be"))
    text = "&".join([*(f"{name}={value}" for name, value in signed if name != "token"), f"key={key}"])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # Alibaba's choice


def _parameters(call: Call) -> dict[str, str]:
    """All parameters, of the query and of a form. Raises ValueError: a name that comes twice could be signed as either.

    Alibaba's page speaks of GET alone; public code of vendors takes forms too.
    """
    pairs = list(call.query)
    if call.method == "POST" and call.body:
        if call.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise ValueError("no form")
        pairs += parse_qsl(call.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    given = dict(pairs)
    if len(given) != len(pairs) or len(given) > _MOST_PARAMETERS or any(set("&=") & set(name) for name in given):
        raise ValueError("ambiguous")
    return given


def _action(call: Call) -> str:
    """For the form of the answer: empty for a call that cannot be read."""
    try:
        return _parameters(call).get("action", "")
    except ValueError:
        return next((value for name, value in call.query if name == "action"), "")


def _refused(action: str, why: str, status: int) -> Refused:
    """How to refuse is not documented: by status, and as `success` of the other answers. A person gets a page."""
    if action == _VERIFY:
        return Refused(why, Reply(status, page=Page.INVALID))
    return Refused(why, json_reply({"success": "false", "message": why.replace("_", " ")}, status))
