"""KooGallery's access V1.0, deprecated: calls are GET with everything in the query, and every answer is signed.

Sources, under https://support.huaweicloud.com/intl/en-us/accessg-marketplace/en-us_topic_…: who signed a call
0070649066.html, how an answer is signed 0070649067.html; the activities newInstance 0070649013.html, refreshInstance
0070649014.html, expireInstance 0070649055.html, instanceStatus 0070649069.html, upgrade 0213512664.html.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.gateways.marketplaces.base import Notice, Reply
from app.gateways.marketplaces.huawei_notices import (
    chosen,
    id_of,
    is_test,
    of_instance,
    one_of,
    product_of,
    text_of,
)
from app.models.cloud_accounts import Effect

V1 = "v1"  # the channel of its notices; its calls come where those of V2.0 do

# What is kept of a call: neither names nor the encrypted contacts of people, and not its token.
_KEPT = (
    "activity",
    "businessId",
    "customerId",
    "expireTime",
    "instanceId",
    "instanceStatus",
    "orderId",
    "productId",
    "testFlag",
    "timeStamp",
)
_STATUSES = {"FREEZE": Effect.FROZEN, "NORMAL": Effect.UNFROZEN}
_TIME = re.compile(r"[0-9]{17}")


@dataclass(frozen=True, slots=True)
class Token:
    """The authToken of a call, its timeStamp, and what is signed: all other parameters, by their names."""

    value: str
    time: str
    text: str

    @property
    def at(self) -> datetime:
        return _moment(self.time)

    def fits(self, key: str) -> bool:
        """Whether who holds `key` made it. A token in another spelling of Base64 is none: it may come only once."""
        return hmac.compare_digest(_hmac(f"{key}{self.time}", self.text.encode()).encode(), self.value.encode())


def token_of_query(query: Sequence[tuple[str, str]]) -> Token:
    """Raises ValueError if there is none, or something twice, or what cannot be signed."""
    members = dict(query)
    if len(members) != len(query):
        raise ValueError("twice")
    value = members.pop("authToken", "")
    text = "&".join(f"{name}={members[name]}" for name in sorted(members))
    (value + text).encode()  # lone surrogates: UnicodeEncodeError is a ValueError
    token = Token(value, text_of(members, "timeStamp"), text)
    _moment(token.time)
    return token


def kept_v1(message: Mapping[str, Any]) -> dict[str, str]:
    """What of a call is stored. Raises ValueError for what could not be."""
    return chosen(_KEPT, message)


def notice_v1(body: Mapping[str, Any]) -> Notice:
    """Of what was kept. Raises ValueError."""
    activity, at = text_of(body, "activity"), _moment(text_of(body, "timeStamp"))
    meaning = _MEANINGS[activity](body) if activity in _MEANINGS else {"effect": Effect.UNKNOWN}
    if is_test(body):
        meaning = {"effect": Effect.NONE}
    said = "&".join(f"{name}={body[name]}" for name in sorted(body))
    return Notice(**{"channel": V1, "type": activity, "at": at, "body": body, "dedup": f"{V1}/{said}", **meaning})


def signed(reply: Reply, key: str) -> Reply:
    """With the signature of its body, to the byte."""
    sign = f'sign_type="HMAC-SHA256", signature="{_hmac(key, reply.body)}"'
    return replace(reply, headers={**reply.headers, "Body-Sign": sign})


def _new(body: Mapping[str, Any]) -> dict[str, Any]:
    """An order has one instance, or of what is paid per use one for each product; order lines are not told of.

    The businessId is another one whenever the call is made again.
    """
    product = product_of(body)
    order = "/".join((id_of(body, "orderId"), "", product)) if product else id_of(body, "orderId")
    return {
        "effect": Effect.ACTIVATED,
        "dedup": f"newInstance/{order}",
        "keys": (f"order:{order}",),
        "account_number": text_of(body, "customerId"),
        "instance_id": id_of(body, "businessId"),
        "product": product,
        "opens": True,
    }


def _refreshed(body: Mapping[str, Any]) -> dict[str, Any]:
    """A renewal, a trial that becomes a purchase, or a renewal taken back: whatever it is, the instance goes on."""
    return {**of_instance(body, Effect.UNFROZEN, id_of(body, "orderId")), "product": product_of(body)}


def _expired(body: Mapping[str, Any]) -> dict[str, Any]:
    """No order stands behind it, and what was renewed may expire again: each call counts."""
    return of_instance(body, Effect.FROZEN, text_of(body, "timeStamp"))


def _switched(body: Mapping[str, Any]) -> dict[str, Any]:
    effect = one_of(_STATUSES, body, "instanceStatus")
    return of_instance(body, effect, f"{body['instanceStatus']}/{text_of(body, 'timeStamp')}")


def _released(body: Mapping[str, Any]) -> dict[str, Any]:
    return of_instance(body, Effect.RELEASED, "")


def _upgraded(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**of_instance(body, Effect.CHANGED, id_of(body, "orderId")), "product": product_of(body)}


_MEANINGS = {
    "newInstance": _new,
    "refreshInstance": _refreshed,
    "expireInstance": _expired,
    "releaseInstance": _released,
    "upgrade": _upgraded,
    "instanceStatus": _switched,
}


def _moment(time: str) -> datetime:
    """Of yyyyMMddHHmmssSSS, which is UTC. Raises ValueError."""
    if not _TIME.fullmatch(time):
        raise ValueError("timeStamp")
    return datetime.fromisoformat(f"{time[:8]}T{time[8:14]}.{time[14:]}Z")  # strptime guesses where months end


def _hmac(key: str, text: bytes) -> str:
    return b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest()).decode("ascii")
