"""Receivers that verify: one with the Standard Webhooks library, one with nothing but HMAC; before, in and after the
overlap of two secrets."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from app.core import ids
from app.core.clock import now
from app.models.events import EventType
from app.models.webhooks import WebhookEndpoint
from app.services.webhooks import EndpointSecrets
from tests.support.api import Api, frozen
from tests.support.receivers import HERE, Endpoint, Received, Receiver, answers, deliver, endpoint, happen, receiver
from tests.support.services import ServiceClient, client, feed

pytestmark = pytest.mark.settings(webhook_allowed_networks=[HERE], webhook_secret_overlap_hours=2)
Verify = Callable[[str, Received], bool]


def by_library(secret: str, received: Received) -> bool:
    try:
        Webhook(secret).verify(received.body, dict(received.headers))
    except WebhookVerificationError:
        return False
    return True


def by_hand(secret: str, received: Received) -> bool:
    """As https://www.standardwebhooks.com says it, in five lines."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{received.id}.{received.headers['webhook-timestamp']}.".encode() + received.body
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    in_time = abs(now().timestamp() - int(received.headers["webhook-timestamp"])) <= 300
    return in_time and any(hmac.compare_digest(expected, one) for one in received.headers["webhook-signature"].split())


@pytest.fixture
async def hooks() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def service(api: Api) -> ServiceClient:
    return await client(api)


async def newest(api: Api, hooks: Receiver) -> Received:
    """What arrives for one more event."""
    await happen(api, EventType.ACCOUNT_CREATED)
    await deliver(api)
    return hooks.received[-1]


async def rotated(own: Endpoint) -> tuple[str, str]:
    """The new secret, and until when the old one signs beside it."""
    answer = await own.service.post(f"{own.path}/secret")
    assert answer.status_code == 200, answer.text
    return answer.json()["secret"], answer.json()["previous_secret_until"]


@pytest.mark.parametrize("verify", [by_library, by_hand])
async def test_what_arrives_verifies_with_the_secret_shown_and_with_no_other(
    api: Api, service: ServiceClient, hooks: Receiver, verify: Verify
) -> None:
    own, other = await endpoint(service, hooks.url), await endpoint(service, hooks.url, "account.closed")

    got = await newest(api, hooks)

    assert verify(own.secret, got)
    assert not verify(other.secret, got)
    for changed in (
        Received(got.method, got.target, got.headers, got.body + b" "),
        Received(got.method, got.target, {**got.headers, "webhook-id": f"evnt_{'0' * 32}"}, got.body),
        Received(got.method, got.target, {**got.headers, "webhook-timestamp": str(int(now().timestamp()) - 1)}, b"{}"),
    ):
        assert not verify(own.secret, changed)


async def test_what_arrives_is_the_item_of_the_feed(api: Api, service: ServiceClient, hooks: Receiver) -> None:
    await endpoint(service, hooks.url)
    holder = await api.register(company_name="北风贸易 & <Søn>")
    await api.change_email(holder, "new@example.com")

    await deliver(api)

    items = await feed(service)
    assert {"account.created", "account.email_changed"} <= {item["type"] for item in items}
    assert [json.loads(got.body) for got in hooks.received] == items
    assert hooks.ids == [item["id"] for item in items]
    assert {got.headers["content-type"] for got in hooks.received} == {"application/cloudevents+json"}


@pytest.mark.parametrize("verify", [by_library, by_hand])
async def test_both_secrets_verify_in_the_overlap_and_then_only_the_new_one(
    api: Api, service: ServiceClient, hooks: Receiver, verify: Verify
) -> None:
    with frozen() as clock:
        own = await endpoint(service, hooks.url)
        started = now()
        secret, until = await rotated(own)
        assert until == f"{started + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}.000Z"
        got = await newest(api, hooks)
        assert (verify(own.secret, got), verify(secret, got)) == (True, True)

        clock.shift(timedelta(hours=2, seconds=-1))
        got = await newest(api, hooks)
        assert (verify(own.secret, got), verify(secret, got)) == (True, True)

        clock.shift(timedelta(seconds=1))
        got = await newest(api, hooks)
        assert (verify(own.secret, got), verify(secret, got)) == (False, True)
        await service.renew()
        assert (await own.shown())["previous_secret_until"] is None


async def test_a_secret_before_the_previous_one_is_out(api: Api, service: ServiceClient, hooks: Receiver) -> None:
    own = await endpoint(service, hooks.url)
    second, _ = await rotated(own)
    third, _ = await rotated(own)

    got = await newest(api, hooks)

    assert [by_hand(secret, got) for secret in (own.secret, second, third)] == [False, True, True]


async def test_a_later_attempt_is_signed_at_its_own_time_so_that_it_verifies(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    hooks.behave = answers(500)
    with frozen() as clock:
        own = await endpoint(service, hooks.url)
        first = await newest(api, hooks)
        clock.shift(timedelta(hours=1))
        await deliver(api)
        second = hooks.received[1]

        assert not by_library(own.secret, first)  # too old: what keeps an old request from being played again
        assert by_library(own.secret, second)
        assert by_hand(own.secret, second)
        assert (second.id, second.body) == (first.id, first.body)


async def test_a_secret_sealed_under_another_key_fails_visibly_and_a_new_one_mends_it(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    own = await endpoint(service, hooks.url)
    endpoint_id = ids.read(ids.WEBHOOK_ENDPOINT, own.id)
    assert endpoint_id is not None
    _, sealed = EndpointSecrets(b"the GUANCE_SECRET_KEY before this one").mint(endpoint_id)
    async with api.container.engine.begin() as connection:
        await connection.execute(update(WebhookEndpoint).values(secret=sealed))
    await happen(api, EventType.ACCOUNT_CREATED)
    await deliver(api)
    assert hooks.connections == 0
    assert [(one["outcome"], one["error"]) for one in await own.attempts()] == [("retrying", "unreadable_secret")]

    secret = (await service.post(f"{own.path}/secret")).json()["secret"]
    await own.redeliver(since="2020-01-01T00:00:00Z")
    await deliver(api)

    (got,) = hooks.received
    assert by_library(secret, got)


async def test_neither_the_url_nor_a_secret_nor_a_signature_stands_in_the_log(
    api: Api, service: ServiceClient, hooks: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    own = await endpoint(service, f"{hooks.url}?token=never-to-be-seen")
    got = await newest(api, hooks)
    hooks.behave = answers(500)
    await newest(api, hooks)

    logs = capfd.readouterr()
    assert logs.out.count("webhook_settled") == 2
    signature = got.headers["webhook-signature"].removeprefix("v1,")
    for hidden in ("never-to-be-seen", own.secret.removeprefix("whsec_"), signature):
        assert hidden not in logs.out + logs.err


async def test_the_rotation_s_answer_is_the_same_for_the_same_idempotency_key(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    own = await endpoint(service, hooks.url)
    key = {"Idempotency-Key": "rotate-1"}

    first = await service.post(f"{own.path}/secret", headers=key)
    again = await service.post(f"{own.path}/secret", headers=key)

    assert again.json() == first.json()
    got = await newest(api, hooks)
    assert by_hand(own.secret, got)
    assert by_hand(first.json()["secret"], got)
