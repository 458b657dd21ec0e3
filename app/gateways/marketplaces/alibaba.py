"""Alibaba Cloud Marketplace: the production SPI of SaaS goods, one URL whose parameter `action` says what is meant.

Sources: https://help.aliyun.com/zh/marketplace/spi-reference and its pages createinstance, renewinstance,
refundrenewinstance, resumeinstance, expiredinstance, upgradeinstance, https://help.aliyun.com/document_detail/147368.html
(releaseInstance), 147370 (verify) and 147280 (the token).
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

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

_CREATE, _VERIFY = "createInstance", "verify"
_MOST_PARAMETERS = 200
_LONGEST_NAME, _LONGEST_TYPE = 255, 128
_FORM = "application/x-www-form-urlencoded"
# The token says where a parameter ends by `&` and `=` alone, and buyers see those of `verify`: an action made of
# several parameters, or a name of one, could be what was signed as something else.
_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NOT_KEPT = frozenset({"token", "email", "mobile", "phone"})  # the secret, and whom to call at the buyer's
_MILLISECONDS = re.compile(r"[0-9]{12,14}")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """`by`: the parameters that make another message of it, besides the action and the instance."""

    effect: Effect
    by: tuple[str, ...] = ()
    recurs: bool = False


_MEANINGS = {
    "renewInstance": _Meaning(Effect.UNFROZEN, by=("orderId",)),  # renewed, or the arrears of pay-as-you-go paid
    "resumeInstance": _Meaning(Effect.UNFROZEN, recurs=True),  # the arrears of goods with both ways of paying paid
    "refundRenewInstance": _Meaning(Effect.CHANGED, by=("expiredOn",)),
    "expiredInstance": _Meaning(Effect.FROZEN, recurs=True),  # expired or in arrears: freeze, keep the data
    "releaseInstance": _Meaning(Effect.RELEASED),
    "upgradeInstance": _Meaning(Effect.CHANGED, by=("skuId",)),
}


class AlibabaMarketplace:
    """`key` is the security key that the vendor's console shows. `products`: our product codes; none means all.

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
        verify_seconds: int = 300,
        time_zone: ZoneInfo = SHANGHAI,
    ) -> None:
        self._key = key
        self._products = products
        self._openapi = openapi
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
        if action == _CREATE and self._products and notice.product not in self._products:
            raise _refused(action, "foreign_product", 400)
        return Heard(notice=notice, context={"action": action})

    def answer(self, heard: Heard, outcome: Outcome) -> Reply:
        """`success` is typed Boolean, but each of Alibaba's samples has it as text."""
        action = heard.context["action"]
        if action == _VERIFY:
            is_replay = outcome.done is Done.REPLAYED
            return Reply(410, page=Page.EXPIRED) if is_replay else Reply(404, page=Page.UNKNOWN)
        if action == _CREATE:
            return json_reply({"instanceId": outcome.subscription.instance_id if outcome.subscription else "0"})
        is_known = heard.notice is None or heard.notice.effect is not Effect.UNKNOWN
        if outcome.done is Done.WAITING and is_known:
            return json_reply({"success": "false", "message": "not applied"})
        return json_reply({"success": "true"})

    def later(self, call: Call) -> Reply:
        """Instance 0 is Alibaba's own word for "call again"; for the other actions none is documented."""
        action = _action(call)
        if action == _CREATE:
            return json_reply({"instanceId": "0"})
        if action == _VERIFY:
            return Reply(503, page=Page.LATER)
        return json_reply({"success": "false", "message": "try again"}, 503)

    def parse(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        """Alibaba tells no time of its events: they happen when they come."""
        kept = _checked(body)
        action = kept.get("action", "")
        if not _ACTION.fullmatch(action):
            raise ValueError("no action")
        if action == _CREATE:
            return self._created(channel, kept, at)
        meaning = _MEANINGS.get(action)
        if meaning is None:
            return _other(channel, kept, at)
        instance_id = _required(kept, "instanceId")
        told = [self._told(kept, name) for name in meaning.by]
        return Notice(
            channel=channel,
            type=action,
            effect=meaning.effect,
            dedup=json.dumps([action, instance_id, *told]),
            at=at,
            body=kept,
            keys=(instance_key(instance_id),),
            recurs=meaning.recurs or not all(told),  # nothing tells it from the next one
        )

    async def look_up(self, subscription: Subscription) -> Facts:
        if self._openapi is None:
            raise CannotTell("not_configured")
        facts = await self._openapi.look_up(subscription.instance_id)
        is_ours = not self._products or facts.product in self._products
        return facts if is_ours else Facts()

    async def close(self) -> None:
        if self._openapi is not None:
            await self._openapi.close()

    def _created(self, channel: str, kept: dict[str, str], at: datetime) -> Notice:
        """The instance is called as Alibaba calls it (`orderBizId`), as it recommends."""
        instance_id, order_id = _required(kept, "orderBizId"), _required(kept, "orderId")
        return Notice(
            channel=channel,
            type=_CREATE,
            effect=Effect.ACTIVATED,
            dedup=json.dumps([_CREATE, instance_id]),
            at=at,
            body=kept,
            keys=(instance_key(instance_id), f"order:{order_id}"),
            account_number=_required(kept, "aliUid"),
            instance_id=instance_id,
            product=_required(kept, "productCode"),
            opens=True,
        )

    def _verified(self, given: Mapping[str, str], at: datetime) -> Heard:
        """A buyer's browser, sent here from the console. The window is ours to choose; a link is good once."""
        given = _checked(given)
        instance_id, signed_at = _required(given, "instanceId"), _moment(given.get("timeStamp", ""), self._time_zone)
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

    def _told(self, kept: Mapping[str, str], name: str) -> str:
        """A parameter as it is compared: a date is the same however it is written."""
        text = kept.get(name, "")
        moment = _moment(text, self._time_zone) if name == "expiredOn" else None
        return moment.isoformat() if moment else text


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


def _checked(body: Mapping[str, Any]) -> dict[str, str]:
    """As text that can be stored. Raises ValueError."""
    for text in (text for pair in body.items() for text in pair):
        if not isinstance(text, str) or "\0" in text:
            raise ValueError("no text")
        text.encode()  # half a surrogate pair: a ValueError
    return dict(body)


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if not 0 < len(value) <= _LONGEST_NAME:
        raise ValueError(name)
    return value


def _other(channel: str, kept: dict[str, str], at: datetime) -> Notice:
    """An action without consequence here (what `bindDomain` carries is not documented), or one that is not known."""
    action = kept["action"]
    told = json.dumps(sorted(kept.items())).encode()
    return Notice(
        channel=channel,
        type=action[:_LONGEST_TYPE],
        effect=Effect.NONE if action == "bindDomain" else Effect.UNKNOWN,
        dedup=hashlib.sha256(told).hexdigest(),
        at=at,
        body=kept,
        keys=(instance_key(_required(kept, "instanceId")),) if kept.get("instanceId") else (),
    )


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    """`yyyy-MM-dd HH:mm:ss`, or milliseconds since 1970 as public code of vendors meets them too; else None."""
    try:
        if _MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
