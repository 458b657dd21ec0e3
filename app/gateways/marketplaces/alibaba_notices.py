"""What Alibaba Cloud Marketplace says of instances, by the `action` of a call.

Sources: https://help.aliyun.com/zh/marketplace/spi-reference and its pages createinstance, renewinstance,
refundrenewinstance, resumeinstance, expiredinstance, upgradeinstance, and
https://help.aliyun.com/document_detail/147368.html (releaseInstance).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.gateways.marketplaces.base import Notice, instance_key
from app.models.cloud_accounts import Effect

CREATE = "createInstance"
_LONGEST_NAME, _LONGEST_TYPE = 255, 128
# The token says where a parameter ends by `&` and `=` alone, and buyers see those of `verify`: an action made of
# several parameters could be what was signed as something else.
_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
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


def notice_of(channel: str, body: Mapping[str, Any], at: datetime, zone: ZoneInfo) -> Notice:
    """The notice in a call's parameters. Raises ValueError.

    Alibaba tells no time of its events: they happen when they come (`at`).
    """
    kept = checked(body)
    action = kept.get("action", "")
    if not _ACTION.fullmatch(action):
        raise ValueError("no action")
    if action == CREATE:
        return _created(channel, kept, at)
    meaning = _MEANINGS.get(action)
    if meaning is None:
        return _other(channel, kept, at)
    instance_id = required(kept, "instanceId")
    told = [_told(kept, name, zone) for name in meaning.by]
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


def checked(body: Mapping[str, Any]) -> dict[str, str]:
    """As text that can be stored. Raises ValueError."""
    for text in (text for pair in body.items() for text in pair):
        if not isinstance(text, str) or "\0" in text:
            raise ValueError("no text")
        text.encode()  # half a surrogate pair: a ValueError
    return dict(body)


def required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if not 0 < len(value) <= _LONGEST_NAME:
        raise ValueError(name)
    return value


def moment_of(text: str, zone: ZoneInfo) -> datetime | None:
    """`yyyy-MM-dd HH:mm:ss`, or milliseconds since 1970 as public code of vendors meets them too; else None."""
    try:
        if _MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _created(channel: str, kept: dict[str, str], at: datetime) -> Notice:
    """The instance is called as Alibaba calls it (`orderBizId`), as it recommends."""
    instance_id, order_id = required(kept, "orderBizId"), required(kept, "orderId")
    return Notice(
        channel=channel,
        type=CREATE,
        effect=Effect.ACTIVATED,
        dedup=json.dumps([CREATE, instance_id]),
        at=at,
        body=kept,
        keys=(instance_key(instance_id), f"order:{order_id}"),
        account_number=required(kept, "aliUid"),
        instance_id=instance_id,
        product=required(kept, "productCode"),
        opens=True,
    )


def _told(kept: Mapping[str, str], name: str, zone: ZoneInfo) -> str:
    """A parameter as it is compared: a date is the same however it is written."""
    text = kept.get(name, "")
    moment = moment_of(text, zone) if name == "expiredOn" else None
    return moment.isoformat() if moment else text


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
        keys=(instance_key(required(kept, "instanceId")),) if kept.get("instanceId") else (),
    )
