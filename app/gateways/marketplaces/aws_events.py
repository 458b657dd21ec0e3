"""What AWS Marketplace says of subscriptions: events of EventBridge, and the older messages of its SNS topics.

Sources: https://docs.aws.amazon.com/marketplace/latest/userguide/notifications-eventbridge.html and
https://docs.aws.amazon.com/marketplace/latest/userguide/saas-notification.html.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.gateways.exchange import Unanswered, mapping, members
from app.gateways.marketplaces.aws_names import Names, arn_of, fact, licence_of, moment, storable
from app.gateways.marketplaces.base import Notice
from app.gateways.marketplaces.sns import NOTIFICATION, Envelope
from app.models.cloud_accounts import Effect

_SOURCE = "aws.agreement-marketplace"
_ROLE = re.compile(r" - (?:Proposer|Manufacturer)$")  # as what the seller hears of it
_EVENTS = {
    "Purchase Agreement Created": Effect.REGISTERED,
    "Purchase Agreement Amended": Effect.CHANGED,
    "License Updated": Effect.ACTIVATED,  # it says so of the first grant too
    "License Deprovisioned": Effect.CLOSED,
}
_ENDED = "Purchase Agreement Ended"
_ENDS = {
    "CANCELLED": Effect.ENDING,  # License Deprovisioned follows, within an hour or so
    "EXPIRED": Effect.ENDING,
    "TERMINATED": Effect.ENDING,
    "RENEWED": Effect.SUPERSEDED,
    "REPLACED": Effect.SUPERSEDED,
}
_NEWS = (
    "Purchase Agreement Advisory ",  # a risk in the buyer's account: for people
    "Purchase Agreement Ending",  # 180 to 30 days before
    "Purchase Agreement Billing Adjustment ",
    "Purchase Agreement Renewal ",
    "Agreement Cancellation Request ",
)
_ACTIONS = {
    "subscribe-success": Effect.ACTIVATED,
    "subscribe-fail": Effect.FAILED,
    "unsubscribe-pending": Effect.ENDING,
    "unsubscribe-success": Effect.CLOSED,
    "entitlement-updated": Effect.CHANGED,
}
# Of an event's `detail`, what names things: the rest is amounts, and what people wrote for asking to cancel.
_DETAIL = ("requestId", "catalog", "agreement", "acceptor", "proposer", "offer", "product", "license")
_HEAD = ("id", "detail-type", "source", "account", "time", "region")
_LONGEST_TYPE = 128


def kept_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an event."""
    detail = mapping(event.get("detail"))
    return {
        **{name: storable(event[name]) for name in _HEAD if name in event},
        "detail": {name: storable(detail[name]) for name in _DETAIL if name in detail},
    }


def kept_message(envelope: Envelope) -> dict[str, Any]:
    """What is kept of an SNS message; of one about the subscription to the topic, that it came."""
    kept: dict[str, Any] = {
        "Type": envelope.type,
        "MessageId": envelope.message_id,
        "TopicArn": envelope.topic,
        "Timestamp": envelope.timestamp,
    }
    if envelope.type == NOTIFICATION:
        try:
            inner = members(envelope.message.encode())
        except Unanswered:
            return {**kept, "Message": storable(envelope.message)}
        kept["Message"] = kept_event(inner) if "detail-type" in inner else storable(inner)
    return kept


def of_event(channel: str, body: Mapping[str, Any], at: datetime, products: Collection[str]) -> Notice:
    """The notice in a kept event. One about a product that is not among `products` has no effect. Raises ValueError."""
    detail = mapping(body.get("detail"))
    type_, effect = _told(body, detail)
    name = fact(body.get("id"))
    if name is None:
        raise ValueError("an event has an id")
    notice = Notice(channel, type_, effect, f"event:{name}", moment(body.get("time"), at), body)
    if effect is Effect.UNKNOWN:
        return notice
    names, keys = _names(detail), _keys(detail)
    effect = _effect(effect, names.product, products, known=bool(keys))
    opens = effect is Effect.ACTIVATED and names.licence is not None and names.product is not None
    return replace(
        notice,
        effect=effect,
        keys=keys,
        hints=names.hints,
        strand=names.agreement or "",
        account_number=names.account,
        instance_id=arn_of(fact(mapping(detail.get("license")).get("arn"))) if opens else None,
        product=names.product,
        opens=opens,
    )


def of_message(channel: str, body: Mapping[str, Any], at: datetime, products: Collection[str]) -> Notice:
    """The notice in a kept SNS message, which may be a whole event of EventBridge. Raises ValueError."""
    kind, inner, name = body.get("Type"), body.get("Message"), fact(body.get("MessageId"))
    if not isinstance(kind, str) or name is None:
        raise ValueError("not a message")
    if kind == NOTIFICATION and "detail-type" in mapping(inner):
        return replace(of_event(channel, mapping(inner), at, products), body=body)
    when = moment(body.get("Timestamp"), at)
    if kind != NOTIFICATION:
        return Notice(channel, kind[:_LONGEST_TYPE], Effect.NONE, f"sns:{name}", when, body)
    said = mapping(inner)
    action = _word(said.get("action"))
    notice = Notice(channel, action or kind, Effect.UNKNOWN, f"sns:{name}", when, body)
    if action not in _ACTIONS:
        return notice
    customer = fact(said.get("customer-identifier", said.get("CustomerIdentifier")))
    names = Names(customer=customer, product=fact(said.get("product-code", said.get("ProductCode"))))
    effect = _effect(_ACTIONS[action], names.product, products, known=bool(names.hints))
    return replace(notice, effect=effect, hints=names.hints, product=names.product)


def _told(body: Mapping[str, Any], detail: Mapping[str, Any]) -> tuple[str, Effect]:
    """Its type, without the role, and the effect of that."""
    type_ = _ROLE.sub("", _word(body.get("detail-type")))
    if not type_:
        raise ValueError("an event has a type")
    if body.get("source") != _SOURCE:  # the catalogue's own events, or anybody's
        return type_, Effect.UNKNOWN
    if type_ == _ENDED:
        return type_, _ENDS.get(_word(mapping(detail.get("agreement")).get("status")), Effect.UNKNOWN)
    if type_.startswith(_NEWS):
        return type_, Effect.NONE
    return type_, _EVENTS.get(type_, Effect.UNKNOWN)


def _effect(effect: Effect, product: str | None, products: Collection[str], *, known: bool) -> Effect:
    """What names nothing is not understood; what is about another product than ours is none of our business."""
    if product is not None and product not in products:
        return Effect.NONE
    return effect if known or effect is Effect.NONE else Effect.UNKNOWN


def _names(detail: Mapping[str, Any]) -> Names:
    def of(section: str, name: str) -> str | None:
        return fact(mapping(detail.get(section)).get(name))

    return Names(
        licence=licence_of(of("license", "arn")),
        agreement=of("agreement", "id"),
        account=of("acceptor", "accountId"),
        product=of("product", "code"),
    )


def _keys(detail: Mapping[str, Any]) -> tuple[str, ...]:
    """A renewal and a replacement have an agreement of their own: they are known by the one before it as well."""
    keys, agreement = _names(detail).keys, mapping(detail.get("agreement"))
    if _word(agreement.get("intent")) in {"RENEW", "REPLACE"}:
        keys += Names(agreement=fact(agreement.get("previousAgreementId"))).keys
    return tuple(dict.fromkeys(keys))


def _word(value: object) -> str:
    return value.strip()[:_LONGEST_TYPE].strip() if isinstance(value, str) else ""
