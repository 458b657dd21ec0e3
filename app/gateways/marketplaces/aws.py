"""AWS Marketplace, for products of the type SaaS: its buyers come in a browser, its news by SNS and EventBridge.

Sources: https://docs.aws.amazon.com/marketplace/latest/userguide/saas-product-customer-setup.html,
https://docs.aws.amazon.com/marketplace/latest/userguide/saas-eventbridge-integration.html and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html.
"""

import hmac
import math
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import structlog

from app.core.outgoing import quiet_client
from app.gateways.exchange import Unanswered, members
from app.gateways.marketplaces.aws_customer import Seller, of_facts, page, resolve, token_in, turned_away
from app.gateways.marketplaces.aws_events import kept_event, kept_message, of_event, of_message
from app.gateways.marketplaces.base import (
    Call,
    CannotTell,
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
from app.gateways.marketplaces.sns import CONFIRMATION, UNSUBSCRIBED, SnsReader

__all__ = ["AwsMarketplace", "Seller"]

log = structlog.get_logger()

_SNS, _EVENTS = "sns", "events"


class AwsMarketplace:
    """`sellers` by the channel where their buyers land: `landing`, and `landing/china` for Amazon Web Services China.

    `topics` are the ARNs of the SNS topics that may send. `events_secret` comes with each event of an API destination,
    whose connection sends it as the header `x-api-key`, or as `authorization` after `Bearer `: without one there are
    no events. `timeout` is in seconds, for all tries at AWS in one landing.
    """

    name = "aws"
    typed = False

    def __init__(
        self,
        *,
        sellers: Mapping[str, Seller],
        topics: Collection[str],
        events_secret: str | None,
        timeout: float,
    ) -> None:
        self._sellers = dict(sellers)
        self._products = frozenset[str]().union(*(seller.products for seller in sellers.values()))
        self._sns = SnsReader(topics) if topics else None
        self._events_secret = events_secret
        self._timeout = timeout
        self._client = quiet_client(math.ceil(timeout))

    def serves(self, channel: str, method: str) -> bool:
        if channel in self._sellers:
            return method in {"GET", "HEAD", "POST"}
        open_ = {_SNS: self._sns is not None, _EVENTS: bool(self._events_secret)}
        return method == "POST" and open_.get(channel, False)

    async def hear(self, call: Call) -> Heard:
        if self.serves(call.channel, call.method):
            if seller := self._sellers.get(call.channel):
                return await self._land(seller, call)
            if call.channel == _EVENTS:
                return self._event(call)
            if self._sns is not None:
                return await self._message(self._sns, call)
        raise Refused("unserved", json_reply({}, 404))

    def answer(self, heard: Heard, outcome: Outcome) -> Reply:
        """EventBridge and SNS are done once a message is kept. A customer could not be sent on."""
        return page(Page.LATER) if heard.lands else json_reply({})

    def later(self, call: Call) -> Reply:
        """5xx makes both EventBridge and SNS try again."""
        return page(Page.LATER) if call.channel in self._sellers else json_reply({}, 503)

    def parse(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        if channel == _EVENTS:
            return of_event(channel, body, at, self._products)
        if channel == _SNS:
            return of_message(channel, body, at, self._products)
        return of_facts(channel, body, at)

    async def look_up(self, subscription: Subscription) -> Facts:
        """AWS tells a buyer's account only at the landing, and what is agreed only with another API."""
        raise CannotTell("not_supported")

    async def close(self) -> None:
        await self._client.aclose()
        if self._sns is not None:
            await self._sns.close()

    async def _land(self, seller: Seller, call: Call) -> Heard:
        if call.method != "POST":
            raise turned_away("help", Page.HELP)
        facts = await resolve(self._client, seller, token_in(call.body), within=self._timeout)
        if facts.get("ProductCode") not in seller.products:
            log.warning("aws_product_not_ours", product=facts.get("ProductCode"), type="ResolveCustomer")
            raise turned_away("product", Page.INVALID)
        try:
            notice = self.parse(call.channel, facts, call.at)
        except ValueError:
            raise turned_away("incomplete", Page.INVALID) from None
        return Heard(notice, lands=notice.keys or (instance_key(notice.instance_id or ""),))

    async def _message(self, sns: SnsReader, call: Call) -> Heard:
        envelope = await sns.open(call)
        notice = self._parsed(_SNS, kept_message(envelope), call.at)
        if envelope.type == CONFIRMATION:
            await sns.confirm(envelope)
            log.info("aws_topic_confirmed", topic=envelope.topic)
        if envelope.type == UNSUBSCRIBED:  # nothing comes from it any more, until somebody subscribes again
            log.warning("aws_topic_unsubscribed", topic=envelope.topic)
        return Heard(notice)

    def _event(self, call: Call) -> Heard:
        if not self._is_ours(call.headers):
            raise Refused("secret", json_reply({}, 403))
        try:
            event = members(call.body)
        except Unanswered:
            raise _malformed() from None
        return Heard(self._parsed(_EVENTS, kept_event(event), call.at))

    def _is_ours(self, headers: Mapping[str, str]) -> bool:
        secret = (self._events_secret or "").encode()
        bearer, key = headers.get("authorization", ""), headers.get("x-api-key", "")
        matches = [
            hmac.compare_digest(bearer.encode(errors="surrogatepass"), b"Bearer " + secret),
            hmac.compare_digest(key.encode(errors="surrogatepass"), secret),
        ]
        return bool(secret) and any(matches)

    def _parsed(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        try:
            notice = self.parse(channel, body, at)
        except ValueError:
            raise _malformed() from None
        if notice.product is not None and notice.product not in self._products:
            log.info("aws_product_not_ours", product=notice.product, type=notice.type)
        return notice


def _malformed() -> Refused:
    return Refused("malformed", json_reply({}, 400))
