"""Nimbus, a cloud that does not exist: what it takes to add a marketplace is this one module, and a line to plug it in.

It signs `<time>.<body>` with a shared key, posts JSON, and has its buyers sent on with a signed link.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.core.outgoing import quiet_client
from app.gateways.exchange import Unanswered, members, send
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
from app.models.cloud_accounts import CloudStatus, Effect

KEY = "the key that nimbus gave us"
API = "https://api.nimbus.example"
_WORDS = {
    "bought": Effect.ACTIVATED,
    "resized": Effect.CHANGED,
    "unpaid": Effect.FROZEN,
    "paid": Effect.UNFROZEN,
    "cancelled": Effect.CLOSED,
}
_STATES = {"active": CloudStatus.ACTIVE, "unpaid": CloudStatus.FROZEN, "cancelled": CloudStatus.ENDED}
_KEPT = ("id", "event", "subscription", "customer", "plan", "at")
_WINDOW = timedelta(minutes=1)


def signature(time: str, text: bytes) -> str:
    return hmac.new(KEY.encode(), f"{time}.".encode() + text, hashlib.sha256).hexdigest()


class NimbusMarketplace:
    """`words` are the events that it knows: nimbus invents more every year."""

    name = "nimbus"
    typed = True

    def __init__(self) -> None:
        self.words = dict(_WORDS)
        self._client = quiet_client(3)

    def serves(self, channel: str, method: str) -> bool:
        return (channel, method) in {("", "POST"), ("landing", "GET")}

    async def hear(self, call: Call) -> Heard:
        query = dict(call.query)
        given = query if call.channel else call.headers
        time, signed = given.get("x-nimbus-time", ""), given.get("x-nimbus-signature", "")
        said = query.get("subscription", "").encode() if call.channel else call.body
        if not hmac.compare_digest(signed.encode(), signature(time, said).encode()):
            raise Refused("signature", self._sorry(call, 401, Page.INVALID))
        if abs(call.at - datetime.fromtimestamp(int(time), UTC)) > _WINDOW:
            raise Refused("stale", self._sorry(call, 401, Page.EXPIRED))
        if call.channel:
            return Heard(once=signed, once_until=call.at + 2 * _WINDOW, lands=(instance_key(said.decode()),))
        try:
            body = members(call.body)
            return Heard(self.parse("", {name: body[name] for name in _KEPT if name in body}, call.at))
        except (Unanswered, ValueError):
            raise Refused("malformed", json_reply({"ok": False}, 400)) from None

    def answer(self, heard: Heard, outcome: Outcome) -> Reply:
        if heard.lands:
            is_replay = outcome.done is Done.REPLAYED
            return Reply(410, page=Page.EXPIRED) if is_replay else Reply(404, page=Page.UNKNOWN)
        return json_reply({"ok": True, "status": outcome.subscription.status if outcome.subscription else None})

    def later(self, call: Call) -> Reply:
        return self._sorry(call, 503, Page.LATER)

    def parse(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        said = {name: body.get(name) for name in _KEPT}
        subscription, event, message = (str(said[name] or "") for name in ("subscription", "event", "id"))
        if not (subscription and event and message):
            raise ValueError("incomplete")
        return Notice(
            channel=channel,
            type=event,
            effect=self.words.get(event, Effect.UNKNOWN),
            dedup=message,
            at=datetime.fromisoformat(str(said["at"])),
            body=body,
            keys=(instance_key(subscription),),
            account_number=said["customer"],
            instance_id=subscription,
            product=said["plan"],
            opens=event == "bought",
        )

    async def look_up(self, subscription: Subscription) -> Facts:
        request = self._client.build_request("GET", f"{API}/subscriptions/{subscription.instance_id}")
        try:
            status, body = await send(self._client, request, within=3)
            if status == httpx.codes.NOT_FOUND:
                return Facts()
            found = members(body)
        except Unanswered as failure:
            raise CannotTell(failure.why) from None
        if status != httpx.codes.OK:
            raise CannotTell(f"http_{status}")
        return Facts(account_number=found["customer"], status=_STATES.get(found["state"]), product=found["plan"])

    async def close(self) -> None:
        await self._client.aclose()

    def _sorry(self, call: Call, status: int, page: Page) -> Reply:
        return Reply(status, page=page) if call.channel else json_reply({"ok": False}, status)


# The cloud's side


def message(event: str, subscription: str, *, at: datetime, **members: Any) -> dict[str, Any]:
    """What it says; also things that are none of our business."""
    return {
        "id": f"{event}-{subscription}-{at.timestamp()}",
        "event": event,
        "subscription": subscription,
        "at": at.isoformat(),
        "contact": "li.lei@nimbus.example",
        "callback_secret": "what-nobody-may-see",
        **members,
    }


def signed(body: Mapping[str, Any], *, at: datetime) -> tuple[dict[str, str], bytes]:
    """Headers and body of a call of that time."""
    content, time = json.dumps(body).encode(), str(int(at.timestamp()))
    return {"x-nimbus-time": time, "x-nimbus-signature": signature(time, content)}, content


def link(subscription: str, *, at: datetime) -> dict[str, str]:
    """The query with which it sends a buyer on to us."""
    time = str(int(at.timestamp()))
    signed = signature(time, subscription.encode())
    return {"subscription": subscription, "x-nimbus-time": time, "x-nimbus-signature": signed}
