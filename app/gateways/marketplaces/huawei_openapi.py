"""KooGallery's open API: who bought what. A newInstance call names the order alone, the buyer is in the order.

Source: Huawei Cloud, "Querying an Order"
(https://support.huaweicloud.com/intl/en-us/accessg-marketplace/topic_0070649116.html).
"""

import re
from typing import Any

import httpx

from app.core import clock, sdk_hmac
from app.core.outgoing import quiet_client
from app.gateways.exchange import Unanswered, mapping, members, send
from app.gateways.marketplaces.base import CannotTell, Facts

_PATH = "/api/mkp-openapi-public/global/v1/order/query"
_FOUND = "MKT.0000"
_NOT_KNOWN = {"MKT.0100", "MKT.0101", "MKT.0199", "MKT.9001"}  # no such order, by one word or another
_CODE = re.compile(r"MKT\.[0-9]{4}")


class HuaweiOpenApi:
    """`endpoint` differs by site: mkt.myhuaweicloud.com, mkt-intl.myhuaweicloud.com, mkt.myhuaweicloud.eu.

    `key_id` and `key_secret` are an AK/SK pair of the seller. `timeout` is in seconds, for the whole exchange.
    """

    def __init__(
        self, *, key_id: str, key_secret: str, timeout: float, endpoint: str = "https://mkt.myhuaweicloud.com"
    ) -> None:
        self._key_id = key_id
        self._key_secret = key_secret
        self._endpoint = httpx.URL(endpoint)
        self._timeout = timeout
        self._client = quiet_client(timeout)

    async def order(self, order_id: str, order_line_id: str) -> Facts:
        """The buyer's account id and the product of an order line; the names and contacts beside them are not kept.

        Raises CannotTell. For an order that is not known there, Facts with nothing.
        """
        try:
            status, body = await send(self._client, self._request(order_id, order_line_id), within=self._timeout)
            if status >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise CannotTell(f"http_{status}")
            answer = members(body)
        except Unanswered as failure:
            raise CannotTell(failure.why) from None
        code = answer.get("resultCode")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise CannotTell("unreadable" if status == httpx.codes.OK else f"http_{status}")
        if code in _NOT_KNOWN:
            return Facts()
        if code != _FOUND or status != httpx.codes.OK:
            raise CannotTell(code if code != _FOUND else f"http_{status}")
        return _facts(answer.get("orderInfo"), order_line_id)

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, order_id: str, order_line_id: str) -> httpx.Request:
        call = sdk_hmac.Call(
            host=self._endpoint.netloc.decode("ascii"),
            path=_PATH,
            query={"orderId": order_id, "orderLineId": order_line_id},
            headers={"content-type": "application/json"},
        )
        headers = sdk_hmac.sign(call, key_id=self._key_id, secret=self._key_secret, at=clock.now())
        query = sdk_hmac.canonical_query(call.query).encode("ascii")
        return self._client.build_request(
            call.method, self._endpoint.copy_with(path=_PATH, query=query), headers=headers
        )


def _facts(order: object, order_line_id: str) -> Facts:
    """Raises CannotTell if the order has no such line: what it says would be of something else."""
    found = mapping(order)
    lines = [mapping(line) for line in _list(found.get("orderLine"))]
    line = next((line for line in lines if line.get("orderLineId") == order_line_id), None)
    if line is None:
        raise CannotTell("unreadable")
    products = [mapping(product) for product in _list(line.get("productInfo"))]
    return Facts(
        account_number=_text(mapping(found.get("buyerInfo")).get("customerId")),
        product=_text(products[0].get("productId")) if products else None,
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    """A name that can be stored; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() else None
