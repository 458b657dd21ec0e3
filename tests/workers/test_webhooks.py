"""Which events go to which endpoint, in which order, by whom, and what the owner's hand on it changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.core import ids
from app.core.clock import now, shown
from app.models.events import EventType
from tests.support.api import Api, frozen, refusal, running
from tests.support.receivers import HERE, Endpoint, Gate, Receiver, answers, deliver, endpoint, happen, receiver
from tests.support.services import ServiceClient, client, feed, spread

pytestmark = pytest.mark.settings(webhook_allowed_networks=[HERE])
CREATED, CLOSED, SUSPENDED = EventType.ACCOUNT_CREATED, EventType.CLOSED, EventType.SUSPENDED


@pytest.fixture
async def hooks() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def service(api: Api) -> ServiceClient:
    return await client(api)


async def ids_of(service: ServiceClient, *types: str) -> list[str]:
    """The events of the feed, all or those of some types."""
    return [item["id"] for item in await feed(service) if not types or item["type"] in types]


async def test_each_endpoint_is_sent_what_it_wants_of_what_happens_since_it_was_made(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    await happen(api, CREATED, CLOSED)
    async with receiver() as some, receiver() as later, receiver() as others:
        await endpoint(service, hooks.url)
        await endpoint(service, some.url, "account.closed", "account.suspended")
        await endpoint(await client(api), others.url, "account.created")
        await happen(api, CREATED, CLOSED, SUSPENDED)
        await endpoint(service, later.url)
        await deliver(api)
        await deliver(api)

    _, _, created, closed, suspended = await ids_of(service)
    assert sorted(hooks.ids) == sorted([created, closed, suspended])
    assert sorted(some.ids) == sorted([closed, suspended])
    assert others.ids == [created]
    assert later.ids == []


async def test_a_changed_filter_holds_for_what_happens_from_then_on(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    own = await endpoint(service, hooks.url, "account.created")
    await happen(api, CREATED, CLOSED)
    await spread(api)
    await service.put(own.path, {"url": hooks.url, "event_types": ["account.closed"]})
    await happen(api, CREATED, CLOSED)
    await deliver(api)

    first, _, _, last = await ids_of(service)
    assert sorted(hooks.ids) == sorted([first, last])


async def test_the_events_of_an_account_come_one_after_the_other_and_accounts_beside_each_other(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    async def slowly(*_: object) -> None:
        await asyncio.sleep(0.01)
        await answers(200)(*_)  # type: ignore[arg-type]

    hooks.behave = slowly
    await endpoint(service, hooks.url)
    accounts = [ids.new() for _ in range(6)]
    for kind in (CREATED, SUSPENDED, EventType.RESTORED, EventType.PROFILE_UPDATED, CLOSED):
        for account in accounts:
            await happen(api, kind, account=account)
    await deliver(api)

    assert 1 < hooks.most_at_once <= 8
    events = {item["id"]: item["subject"] for item in await feed(service)}
    for account in accounts:
        subject = ids.show(ids.ACCOUNT, account)
        expected = [event for event, whose in events.items() if whose == subject]
        assert [event for event in hooks.ids if events[event] == subject] == expected


async def test_a_paused_endpoint_loses_nothing(api: Api, service: ServiceClient, hooks: Receiver) -> None:
    own = await endpoint(service, hooks.url)
    account = ids.new()
    await happen(api, CREATED, account=account)
    await spread(api)
    await own.set_status("paused")
    await happen(api, SUSPENDED, CLOSED, account=account)
    await deliver(api)
    assert hooks.connections == 0

    await own.set_status("active")
    await deliver(api)

    assert hooks.ids == await ids_of(service)


async def test_one_event_is_sent_again_under_its_own_id(api: Api, service: ServiceClient, hooks: Receiver) -> None:
    own = await endpoint(service, hooks.url, "account.created")
    await happen(api, CREATED, CREATED, CLOSED)
    await deliver(api)
    first, _, unwanted = await ids_of(service)
    sent = hooks.received[hooks.ids.index(first)]

    assert await own.redeliver(event_id=first) == 1
    await deliver(api)

    again = hooks.received[2]
    assert (len(hooks.received), again.id, again.body) == (3, first, sent.body)
    assert [one["number"] for one in await own.attempts() if one["event_id"] == first] == [1, 1]
    for event in (unwanted, f"evnt_{'0' * 32}"):
        answer = await service.post(f"{own.path}/redeliveries", {"event_id": event})
        assert refusal(answer) == (404, "not_found")


async def test_a_span_of_time_is_sent_again_from_its_first_instant_to_before_its_last(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    with frozen() as clock:
        start = now()
        own = await endpoint(service, hooks.url, "account.created")
        for _ in range(4):
            await happen(api, CREATED, CLOSED)
            clock.shift(timedelta(minutes=1))
        await deliver(api)
        before, first, second, after = await ids_of(service, "account.created")
        hooks.received.clear()

        span = {"since": shown(start + timedelta(minutes=1)), "until": shown(start + timedelta(minutes=3))}
        assert await own.redeliver(**span) == 2
        await deliver(api)
        assert sorted(hooks.ids) == sorted([first, second])

        assert await own.redeliver(since=shown(start)) == 4
        await deliver(api)
    assert sorted(hooks.ids[2:]) == sorted([before, first, second, after])


async def test_a_redelivery_asked_for_during_an_attempt_is_sent_and_both_are_in_the_log(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    hooks.behave = gate = Gate()
    own = await endpoint(service, hooks.url)
    await happen(api, CREATED)
    sending = asyncio.create_task(deliver(api))
    await gate.reached.wait()

    (event,) = await ids_of(service)
    assert await own.redeliver(event_id=event) == 1
    gate.opened.set()
    await sending
    await deliver(api)

    assert hooks.ids == [event] * 2
    assert [(one["event_id"], one["outcome"]) for one in await own.attempts()] == [(event, "delivered")] * 2


Change = Callable[[Endpoint, Receiver], Awaitable[None]]


async def _pause(own: Endpoint, _: Receiver) -> None:
    await own.set_status("paused")


async def _delete(own: Endpoint, _: Receiver) -> None:
    await own.service.call("DELETE", own.path)


async def _move(own: Endpoint, new: Receiver) -> None:
    await own.service.put(own.path, {"url": new.url})


async def _disable(own: Endpoint, _: Receiver) -> None:
    client_id = ids.read(ids.CLIENT, own.service.client_id)
    assert client_id is not None
    await own.service.api.container.clients.disable(client_id=client_id)


@pytest.mark.parametrize(("change", "arrive"), [(_pause, 0), (_delete, 0), (_disable, 0), (_move, 4)])
async def test_what_its_owner_changes_holds_from_the_next_event_on(
    api: Api, service: ServiceClient, hooks: Receiver, change: Change, arrive: int
) -> None:
    """Also while the endpoint is being served: nothing more goes to the old place."""
    hooks.behave = gate = Gate()
    own = await endpoint(service, hooks.url)
    account = ids.new()
    await happen(api, CREATED, *[EventType.PROFILE_UPDATED] * 4, account=account)
    sending = asyncio.create_task(deliver(api))
    await gate.reached.wait()

    async with receiver() as new:
        await change(own, new)
        gate.opened.set()
        await sending
        await deliver(api)

    assert len(hooks.received) == 1
    assert new.ids == (await ids_of(await client(api)))[1:][:arrive]


async def test_a_disabled_clients_endpoints_keep_what_happens_until_it_resumes_them(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    own = await endpoint(service, hooks.url)
    await _disable(own, hooks)
    await happen(api, CREATED)
    await deliver(api)
    client_id = ids.read(ids.CLIENT, service.client_id)
    assert client_id is not None
    await api.container.clients.enable(client_id=client_id)
    await deliver(api)
    assert hooks.connections == 0
    assert (await own.shown())["pause_reason"] == "client_disabled"

    await own.set_status("active")
    await deliver(api)

    assert hooks.ids == await ids_of(service)


async def test_two_workers_never_send_one_delivery_both(api: Api, service: ServiceClient, hooks: Receiver) -> None:
    url = api.settings.database_url.get_secret_value()
    for _ in range(3):
        await endpoint(service, hooks.url)
    await happen(api, *[CREATED] * 20)
    async with running(url, webhook_allowed_networks=[HERE]) as other:
        await asyncio.gather(spread(api), spread(other))
        for _ in range(5):
            await asyncio.gather(deliver(api), deliver(other), deliver(api), deliver(other))

    expected = await ids_of(service)
    assert len(expected) == 20
    assert sorted(hooks.ids) == sorted(expected * 3)


async def test_requests_are_answered_while_receivers_keep_the_worker_waiting(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    hooks.behave = gate = Gate()
    for _ in range(20):
        await endpoint(service, hooks.url)
    await happen(api, *[CREATED] * 20)
    sending = asyncio.create_task(deliver(api))
    await gate.reached.wait()

    began = time.monotonic()
    assert (await service.get("/events")).status_code == 200
    await api.register()
    assert time.monotonic() - began < 3
    assert not sending.done()

    gate.opened.set()
    await sending
    assert len(hooks.received) >= 400


@pytest.mark.settings(webhook_allowed_networks=[HERE], retention_days=1, event_retention_days=3)
async def test_what_was_delivered_is_forgotten_after_the_retention_and_what_waits_is_not(
    api: Api, service: ServiceClient, hooks: Receiver
) -> None:
    with frozen() as clock:
        await endpoint(service, hooks.url)
        waiting = await endpoint(service, hooks.url)
        await waiting.set_status("paused")
        await happen(api, CREATED)
        await deliver(api)
        assert await counts(api) == (2, 1)

        clock.shift(timedelta(days=1, seconds=1))
        await api.container.runner.upkeep.forget()
        assert await counts(api) == (1, 0)

        await service.renew()
        await waiting.set_status("active")
        await deliver(api)
    assert hooks.ids == (await ids_of(service)) * 2


async def counts(api: Api) -> tuple[int, int]:
    """How many deliveries and attempts are kept."""
    async with api.container.engine.connect() as connection:
        deliveries = await connection.scalar(text("SELECT count(*) FROM webhook_deliveries"))
        attempts = await connection.scalar(text("SELECT count(*) FROM webhook_attempts"))
    return int(deliveries), int(attempts)
