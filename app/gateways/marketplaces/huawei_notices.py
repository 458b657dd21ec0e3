"""What KooGallery's messages mean, access V2.0: the activities of purchases, and the tenants of joint operation (联营).

Sources, under https://support.huaweicloud.com/intl/en-us/accessg-marketplace/: topic_0070649092.html to 0070649097;
for tenants zh-cn_topic_0070649433.html to 0070649435, under https://support.huaweicloud.com/accessg-marketplace/.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from app.gateways.marketplaces.base import Notice, instance_key
from app.gateways.marketplaces.huawei_signed import moment
from app.models.cloud_accounts import Effect

PURCHASES = ""  # the channel of the base interface
SYNC = "produceAPI/v2/"  # joint operation's begin with it
OPERATIONS = {SYNC + name for name in ("tenantSync", "applicationSync", "authSync", "singleOrgSync", "allOrgSync")}

# What is kept of a body: no people, no secrets of applications, no names of tenants.
_OF_PURCHASES = (
    "activity",
    "businessId",
    "expireTime",
    "instanceId",
    "orderId",
    "orderLineId",
    "productId",
    "scene",
    "status",
    "testFlag",
)
_OF_TENANTS = ("appId", "flag", "instanceId", "orderId", "tenantId", "testFlag", "timeStamp")

_SCENES = {
    "TRIAL_TO_FORMAL": Effect.ACTIVATED,
    "RENEWAL": Effect.UNFROZEN,  # what had expired is frozen until it is renewed
    "UNSUBSCRIBE_RENEWAL_PERIOD": Effect.CHANGED,
    "RENEWAL_CHANGE": Effect.CHANGED,  # not on the page, but other sellers meet it
}
_STATUSES = {"FREEZE": Effect.FROZEN, "UNFREEZE": Effect.UNFROZEN}
# Deleted, added, changed. A tenant that is deleted ends no purchase: that is releaseInstance's to say.
_FLAGS = {"0": Effect.NONE, "1": Effect.REGISTERED, "2": Effect.REGISTERED}

_MOST_INSTANCES = 100  # in one query, by the page
_LONGEST_TYPE = 128
_LONGEST_TEXT = 255
_ID = re.compile(r"[!-+\--.0-~]{1,64}")  # printable ASCII, but for `,` and `/` that stand between ids


def kept(channel: str, message: Mapping[str, Any]) -> dict[str, str]:
    """What of a message is stored, as text. Raises ValueError for what is none, or could not be."""
    return chosen(_OF_PURCHASES if channel == PURCHASES else _OF_TENANTS, message)


def chosen(names: Iterable[str], message: Mapping[str, Any]) -> dict[str, str]:
    """Those members of a message, as text. Raises ValueError for what is none, or could not be stored."""
    return {name: _word(name, message[name]) for name in names if message.get(name) is not None}


def notice(channel: str, body: Mapping[str, Any]) -> Notice:
    """Of what was kept, and the `timestamp` and `nonce` of its signature beside it. Raises ValueError."""
    if channel == PURCHASES:
        return _purchase(body)
    if channel in OPERATIONS:
        return _sync(channel, body)
    raise ValueError("channel")


def asked(message: Mapping[str, Any]) -> tuple[str, ...]:
    """The instances of a query, each once; what can be no instance's id is left out. Raises ValueError."""
    value = message.get("instanceId")
    ids = value.split(",", _MOST_INSTANCES) if isinstance(value, str) and value else []
    if not 0 < len(ids) <= _MOST_INSTANCES:
        raise ValueError("instanceId")
    return tuple(dict.fromkeys(name for name in map(str.strip, ids) if _ID.fullmatch(name)))


def is_test(message: Mapping[str, Any]) -> bool:
    """Raises ValueError for a flag that says neither."""
    flag = _word("testFlag", message["testFlag"]) if message.get("testFlag") is not None else ""
    if flag not in {"", "0", "1"}:
        raise ValueError("testFlag")
    return flag == "1"


def _purchase(body: Mapping[str, Any]) -> Notice:
    """Raises ValueError."""
    activity, nonce = text_of(body, "activity"), text_of(body, "nonce")
    made = partial(Notice, channel=PURCHASES, type=activity, at=moment(text_of(body, "timestamp")), body=body)
    meaning = _MEANINGS[activity](body) if activity in _MEANINGS else {"effect": Effect.UNKNOWN}
    if is_test(body):
        meaning = {"effect": Effect.NONE}
    return made(**{"dedup": f"{activity}/{nonce}", **meaning})


def _new(body: Mapping[str, Any]) -> dict[str, Any]:
    """Its businessId is another one whenever the call is made again: what is the same is the order.

    One order line may hold several instances of what is paid per use, told apart by productId.
    """
    product = product_of(body)
    order = "/".join(filter(None, (id_of(body, "orderId"), id_of(body, "orderLineId"), product)))
    return {
        "effect": Effect.ACTIVATED,
        "dedup": f"newInstance/{order}",
        "keys": (f"order:{order}",),
        "instance_id": id_of(body, "businessId"),
        "product": product,
        "opens": True,
    }


def _refreshed(body: Mapping[str, Any]) -> dict[str, Any]:
    effect = one_of(_SCENES, body, "scene")
    order = f"{body['scene']}/{id_of(body, 'orderId')}/{id_of(body, 'orderLineId')}"
    return {**of_instance(body, effect, order), "product": product_of(body)}


def _switched(body: Mapping[str, Any]) -> dict[str, Any]:
    """No order stands behind it, and an instance may be frozen many times: each call counts."""
    return of_instance(body, one_of(_STATUSES, body, "status"), text_of(body, "nonce"))


def _released(body: Mapping[str, Any]) -> dict[str, Any]:
    return of_instance(body, Effect.RELEASED, "")


def _upgraded(body: Mapping[str, Any]) -> dict[str, Any]:
    return of_instance(body, Effect.CHANGED, f"{id_of(body, 'orderId')}/{id_of(body, 'orderLineId')}")


_MEANINGS = {
    "newInstance": _new,
    "refreshInstance": _refreshed,
    "updateInstanceStatus": _switched,
    "releaseInstance": _released,
    "upgradeInstance": _upgraded,
}


def of_instance(body: Mapping[str, Any], effect: Effect, what: str) -> dict[str, Any]:
    """What a notice about an instance has; `what` tells it from others of its activity. Raises ValueError."""
    instance = id_of(body, "instanceId")
    return {"effect": effect, "dedup": f"{body['activity']}/{instance}/{what}", "keys": (instance_key(instance),)}


def _sync(channel: str, body: Mapping[str, Any]) -> Notice:
    """Only tenants say something about a purchase. Raises ValueError.

    A seller who applies for credentials gets an empty instanceId. No call is taken for the repeat of another: a tenant
    may be added and deleted in turn.
    """
    operation, nonce = channel.removeprefix(SYNC), text_of(body, "nonce")
    made = partial(
        Notice,
        channel=channel,
        type=operation,
        dedup=f"{operation}/{nonce}",
        at=moment(text_of(body, "timestamp")),
        body=body,
    )
    if is_test(body) or operation != "tenantSync" or not body.get("instanceId"):
        return made(effect=Effect.NONE)
    return made(effect=one_of(_FLAGS, body, "flag"), keys=(instance_key(id_of(body, "instanceId")),))


def text_of(body: Mapping[str, Any], name: str) -> str:
    """Raises ValueError if there is none."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def id_of(body: Mapping[str, Any], name: str) -> str:
    """Text that can be part of a key. Raises ValueError."""
    value = text_of(body, name)
    if not _ID.fullmatch(value):
        raise ValueError(name)
    return value


def product_of(body: Mapping[str, Any]) -> str | None:
    """Raises ValueError for one that is no id."""
    return id_of(body, "productId") if body.get("productId") else None


def one_of(effects: Mapping[str, Effect], body: Mapping[str, Any], name: str) -> Effect:
    """What the member means. Raises ValueError for a word that is not among them."""
    value = text_of(body, name)
    if value not in effects:
        raise ValueError(name)
    return effects[value]


def _word(name: str, value: object) -> str:
    """Text, or a whole number's digits. Only the type of a message nobody knows may be too long: it is cut."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        text = str(value)[:_LONGEST_TYPE] if name == "activity" else str(value)
        if len(text) <= _LONGEST_TEXT and text.isprintable():
            return text
    raise ValueError(name)
