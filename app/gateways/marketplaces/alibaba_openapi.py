"""Alibaba Cloud Marketplace asked about an instance and its order, as the vendor of the product (Market 2015-11-01).

Sources: https://help.aliyun.com/zh/marketplace/api-describeinstanceforisv, the models of both actions in the vendor's
SDK (alibabacloud_market20151101 4.3.1), and the API's metadata, which documents no error but UnknownError (500) for
them. What "no such instance" looks like is not published: see `_UNKNOWN` and `_order_of`.
"""

import math
import re
import secrets
from collections.abc import Mapping
from typing import Any

import httpx

from app.core import acs3, clock
from app.core.outgoing import quiet_client
from app.gateways.exchange import Unanswered, mapping, members, send
from app.gateways.marketplaces.base import CannotTell, Facts
from app.models.cloud_accounts import CloudStatus

_VERSION = "2015-11-01"
_LONGEST = 255  # characters of a name

# `Status` has the words of the kind of goods, `RelationalData.ServiceStatus` those of a service. In the vendor's own
# sample an application is OPENED while its service is READYING: the first is what counts.
_STATUSES = {
    "OPENING": CloudStatus.PENDING,
    "OPENED": CloudStatus.ACTIVE,
    "READYING": CloudStatus.PENDING,
    "STARTED": CloudStatus.ACTIVE,
    "CONFIRM": CloudStatus.PENDING,
    "EXPIRED": CloudStatus.FROZEN,
    "CLOSED": CloudStatus.ENDED,
}
_GONE = frozenset({"REFUND", "DELETE"})  # `OrderStatus`

# By the pattern of the vendor's other products, by ReturnNull ("No results found.") of DescribePrice, and by "null",
# which the vendor's own Terraform provider takes for an order that does not exist. It must speak of an instance or an
# order: InvalidAccessKeyId.NotFound and InvalidAction.NotFound are something else.
_UNKNOWN = re.compile(r"null|return_?null|[a-z.]*(instance|order)[a-z]*[._]?not_?(found|exists?)", re.IGNORECASE)
_KEPT_OUT = ("Signature", "IncompleteSignature", "InvalidAccessKey", "Forbidden", "NoPermission", "IllegalPermission")


class AlibabaOpenApi:
    """Two signed questions. `timeout` is in seconds, for each of them.

    International sites have an endpoint of their own, https://market.ap-southeast-1.aliyuncs.com.
    """

    def __init__(
        self, key_id: str, key_secret: str, endpoint: str = "https://market.aliyuncs.com", *, timeout: float
    ) -> None:
        self._key_id = key_id
        self._key_secret = key_secret
        self._endpoint = httpx.URL(endpoint)
        self._timeout = timeout
        self._client = quiet_client(math.ceil(timeout))

    async def look_up(self, instance_id: str) -> Facts:
        """Who bought the instance, and what became of it. Facts with nothing if the provider does not know it.

        The instance names no buyer, its order does: so the order must name the instance in turn. Raises CannotTell.
        """
        instance = await self._ask("DescribeInstanceForIsv", {"InstanceId": instance_id})
        if instance is None or (order_id := _order_of(instance)) is None:
            return Facts()
        product = _name(instance.get("ProductCode"))
        if product is None:
            raise CannotTell("unreadable")
        order = await self._ask("DescribeOrderForIsv", {"OrderId": order_id})
        if order is None or _name(order.get("OrderId")) != order_id or instance_id not in _instances_of(order):
            raise CannotTell("contradictory")
        return Facts(
            account_number=_name(order.get("AliUid")),
            status=CloudStatus.ENDED if order.get("OrderStatus") in _GONE else _status_of(instance),
            product=product,
            keys=(f"order:{order_id}",),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, action: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """The members of the answer; None if there is no such instance or order. Raises CannotTell."""
        try:
            request = self._signed(action, query)
        except UnicodeEncodeError:  # half of a surrogate pair: nothing has such a name
            return None
        try:
            status, body = await send(self._client, request, within=self._timeout)
        except Unanswered as failure:
            raise CannotTell(failure.why) from None
        if status != httpx.codes.OK and not httpx.codes.is_client_error(status):
            raise CannotTell(f"http_{status}")
        try:
            answer = members(body)
        except Unanswered as failure:
            raise CannotTell(failure.why if status == httpx.codes.OK else _why("", status)) from None
        code = answer.get("Code")
        if status == httpx.codes.OK and code is None:
            return answer
        code = code[:_LONGEST] if isinstance(code, str) else ""
        if _UNKNOWN.fullmatch(code):
            return None
        raise CannotTell(_why(code, status))

    def _signed(self, action: str, query: Mapping[str, str]) -> httpx.Request:
        """`POST /` with the parameters in the query: that is how the vendor's SDK calls both actions."""
        call = acs3.Call(host=self._endpoint.netloc.decode("ascii"), action=action, version=_VERSION, query=query)
        headers = acs3.sign(
            call, key_id=self._key_id, secret=self._key_secret, at=clock.now(), nonce=secrets.token_hex(16)
        )
        url = self._endpoint.copy_with(path="/", query=acs3.canonical_query(query).encode("ascii"))
        return self._client.build_request(call.method, url, headers=headers)


def _why(code: str, status: int) -> str:
    """One word of few: what the provider writes may be anything."""
    if status == httpx.codes.TOO_MANY_REQUESTS or code.startswith("Throttling"):
        return "throttled"
    if code.startswith(_KEPT_OUT):
        return "kept_out"
    return "unreadable" if status == httpx.codes.OK else f"http_{status}"


def _order_of(instance: Mapping[str, Any]) -> str | None:
    """The order's id. None if the answer is an empty one, as the vendor's Terraform provider reads an order of 0."""
    order_id = _name(instance.get("OrderId"))
    if order_id is None and (instance.get("OrderId") or _name(instance.get("RequestId")) is None):
        raise CannotTell("unreadable")
    return order_id


def _instances_of(order: Mapping[str, Any]) -> set[str | None]:
    """`InstanceIds` is a list; in the buyer's DescribeOrder it is a list within an object."""
    listed = order.get("InstanceIds")
    listed = mapping(listed).get("InstanceId", listed)
    if not isinstance(listed, list):
        raise CannotTell("unreadable")
    return {_name(value) for value in listed}


def _status_of(instance: Mapping[str, Any]) -> CloudStatus | None:
    """None for words that are not known here."""
    told = (instance.get("Status"), mapping(instance.get("RelationalData")).get("ServiceStatus"))
    return next((_STATUSES[word] for word in told if isinstance(word, str) and word in _STATUSES), None)


def _name(value: object) -> str | None:
    """A name out of an answer, be it text or a number. None for 0, which the provider writes for nothing."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    is_one = 0 < len(text) <= _LONGEST and text != "0" and text.isprintable()
    return text if is_one else None
