"""`Idempotency-Key` on the internal surface: what is made is made once, and only who may make it hears of it."""

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text, update

from app.core import ids
from app.core.scopes import Scope
from app.main import documents
from app.models.idempotency import IdempotentAnswer
from tests.support.api import PASSWORD, Api, Holder, may_log_in, refusal
from tests.support.clouds import ALIBABA_KEY, alibaba, alibaba_bought
from tests.support.real_names import enterprise, submit
from tests.support.services import ServiceClient, client, staff, token

Json = dict[str, Any]
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
ENDPOINT = {"url": "https://8.8.8.8/hooks", "event_types": [], "description": "Invoices"}


@dataclass(frozen=True)
class Request:
    """A POST that makes something; `counts` is where it shows, `other` the same with another body."""

    path: str
    body: Json | None
    other: Json | None
    counts: str
    secret: str | None = None  # the member of the answer that is shown once


def account(**changes: str) -> Json:
    return {"username": "acme", "email": "li@example.com", "company_name": "Acme Ltd"} | changes


async def requests(service: ServiceClient) -> dict[str, Request]:
    """One for each operation that takes a key, on things that are there."""
    holder = await service.api.register()
    endpoint = (await service.post("/webhook-endpoints", ENDPOINT)).json()["id"]
    ticket = {"account_id": holder.account_id, "workspace_id": "wksp_1", "actor": "user_5b1e"}
    span = {"since": "2020-01-01T00:00:00Z"}
    hook = f"/webhook-endpoints/{endpoint}"
    return {
        "create_account": Request(
            "/accounts", account(), account(company_name="Other"), "SELECT count(*) FROM accounts"
        ),
        "issue_login_ticket": Request(
            "/login-tickets", ticket, ticket | {"actor": "other"}, "SELECT count(*) FROM login_tickets", "ticket"
        ),
        "create_endpoint": Request(
            "/webhook-endpoints",
            ENDPOINT,
            ENDPOINT | {"description": "Other"},
            "SELECT count(*) FROM webhook_endpoints",
            "secret",
        ),
        "rotate_endpoint_secret": Request(
            f"{hook}/secret", None, None, "SELECT count(*) FROM webhook_endpoints", "secret"
        ),
        "redeliver_events": Request(
            f"{hook}/redeliveries",
            span,
            span | {"until": "2020-01-02T00:00:00Z"},
            "SELECT count(*) FROM webhook_deliveries",
        ),
    }


NAMES = ["create_account", "issue_login_ticket", "create_endpoint", "rotate_endpoint_secret", "redeliver_events"]
WITH_BODY = [name for name in NAMES if name != "rotate_endpoint_secret"]
WITH_SECRET = ["issue_login_ticket", "create_endpoint", "rotate_endpoint_secret"]
each_request = pytest.mark.parametrize("name", NAMES)


async def send(service: ServiceClient, request: Request, *, key: str = KEY, **changes: Any) -> httpx.Response:
    body = changes.get("body", request.body)
    return await service.call(
        "POST", request.path, headers={"Idempotency-Key": key}, **({"json": body} if body is not None else {})
    )


async def scalar(api: Api, sql: str) -> object:
    async with api.container.engine.connect() as connection:
        return await connection.scalar(text(sql))


async def narrowed(service: ServiceClient, scope: Scope) -> ServiceClient:
    """The same client with a token for this scope alone."""
    answer = await token(service.api, service.client_id, service.secret, scope=scope)
    assert answer.status_code == 200, answer.text
    return ServiceClient(
        service.api, service.client_id, service.secret, frozenset([scope]), answer.json()["access_token"]
    )


def test_every_post_takes_a_key_but_those_that_only_read() -> None:
    paths = documents()["internal"]["paths"]
    posts = [item["post"] for path, item in paths.items() if "post" in item and path.startswith("/internal/")]
    without = {one["operationId"] for one in posts if "Idempotency-Key" not in str(one.get("parameters"))}

    assert without == {"look_up_accounts", "look_up_settlements"}
    assert {one["operationId"] for one in posts} - without == {*NAMES, "decide_submission", "apply_notice"}


async def test_a_decision_is_made_once(api: Api) -> None:
    """Without the key the same person's second approval would be refused."""
    holder, service = await api.register(), await client(api)
    submission = (await submit(api, holder, enterprise("Northwind (mismatched)"))).json()["id"]
    await api.container.real_name_worker.ask_due()
    path, headers = f"/real-name/submissions/{submission}/decision", staff() | {"Idempotency-Key": KEY}

    first, again = [await service.post(path, {"decision": "approve"}, headers=headers) for _ in range(2)]

    assert (first.status_code, again.status_code) == (200, 200)
    assert (first.content, again.headers["Idempotency-Replayed"]) == (again.content, "true")


@pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY)
async def test_a_marketplaces_message_is_applied_again_once(api: Api) -> None:
    """The kept answer still says what it said then, though the purchase has become known since."""
    service = await client(api)
    await alibaba(api, "expiredInstance", instanceId="122000001")
    [notice] = (await service.get("/marketplace/notices")).json()["items"]
    path, headers = f"/marketplace/notices/{notice['id']}/apply", staff() | {"Idempotency-Key": KEY}

    first = await service.post(path, headers=headers)
    await alibaba_bought(api, instance="122000001")
    again, anew = await service.post(path, headers=headers), await service.post(path, headers=staff())

    assert [one.status_code for one in (first, again, anew)] == [200, 200, 200]
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert [one.json()["state"] for one in (first, again, anew)] == ["waiting", "waiting", "applied"]


@each_request
async def test_the_same_request_again_gets_the_same_answer_and_takes_effect_once(api: Api, name: str) -> None:
    service = await client(api)
    request = (await requests(service))[name]
    first = await send(service, request)
    assert first.is_success, first.text
    count = await scalar(api, request.counts)

    again = await send(service, request)

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await scalar(api, request.counts) == count


@pytest.mark.parametrize("name", WITH_BODY)
async def test_the_key_with_another_body_is_refused(api: Api, name: str) -> None:
    service = await client(api)
    request = (await requests(service))[name]
    assert (await send(service, request)).is_success

    assert refusal(await send(service, request, body=request.other)) == (422, "idempotency_key_reused")


async def test_the_key_for_another_operation_is_refused(api: Api) -> None:
    service = await client(api)
    wanted = await requests(service)
    assert (await send(service, wanted["create_endpoint"])).is_success

    assert refusal(await send(service, wanted["rotate_endpoint_secret"])) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("name", ["issue_login_ticket", "create_endpoint"])
async def test_two_clients_with_one_key_are_apart(api: Api, name: str) -> None:
    service, other = await client(api), await client(api)
    request = (await requests(service))[name]

    first, second = await send(service, request), await send(other, request)

    assert (first.status_code, second.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in second.headers
    assert request.secret is not None
    assert first.json()[request.secret] != second.json()[request.secret]


async def test_of_many_with_one_key_at_once_one_takes_effect(api: Api) -> None:
    service = await client(api, Scope.ACCOUNTS_CREATE)
    request = Request("/accounts", account(), None, "SELECT count(*) FROM accounts")

    answers = await asyncio.gather(*(send(service, request) for _ in range(6)))

    outcomes = Counter(str(one.status_code) if one.is_success else one.json()["code"] for one in answers)
    assert set(outcomes) <= {"201", "request_running"}
    assert sum("Idempotency-Replayed" not in one.headers for one in answers if one.is_success) == 1
    assert await scalar(api, request.counts) == 1
    assert (await send(service, request)).headers["Idempotency-Replayed"] == "true"


# --- What is kept, and for whom -------------------------------------------------------------------------------------


async def test_a_refusal_for_want_of_a_scope_is_not_kept(api: Api) -> None:
    service = await client(api)
    request = Request("/accounts", account(), None, "")
    assert refusal(await send(await narrowed(service, Scope.EVENTS), request)) == (403, "insufficient_scope")

    made = await send(service, request)

    assert (made.status_code, "Idempotency-Replayed" in made.headers) == (201, False)


async def test_a_ticket_that_was_refused_while_the_account_was_suspended_is_given_later(api: Api) -> None:
    service = await client(api)
    request = (await requests(service))["issue_login_ticket"]
    assert request.body is not None
    status = f"/accounts/{request.body['account_id']}/status"
    await service.put(status, {"status": "suspended"}, headers=staff())
    assert refusal(await send(service, request)) == (403, "account_suspended")
    await service.put(status, {"status": "active"}, headers=staff())

    assert (await send(service, request)).status_code == 201


@each_request
async def test_an_answer_is_not_replayed_to_a_token_without_the_scope(api: Api, name: str) -> None:
    service = await client(api)
    request = (await requests(service))[name]
    assert (await send(service, request)).is_success

    assert refusal(await send(await narrowed(service, Scope.EVENTS), request)) == (403, "insufficient_scope")


async def test_an_answer_in_clear_is_not_replayed_to_a_token_that_sees_contacts_masked(api: Api) -> None:
    """The holder has another email by now, which the caller may not know."""
    service = await client(api)
    request = Request("/accounts", account(reference="r-1", password=PASSWORD), None, "")
    made = await send(service, request, key="first")
    session = await api.client.post(
        "/v1/sessions", json={"method": "password", "identifier": "acme", "password": PASSWORD}
    )
    holder = Holder(made.json()["id"], "", session.json()["access_token"], "", "acme", "li@example.com", PASSWORD)
    assert (await api.change_email(holder, "new.one@example.com")).status_code == 200
    assert (await send(service, request)).json()["email"] == "new.one@example.com"

    again = await send(await narrowed(service, Scope.ACCOUNTS_CREATE), request)

    assert "new.one" not in again.text


async def test_an_answer_is_not_replayed_to_a_client_that_is_disabled(api: Api) -> None:
    service = await client(api)
    request = (await requests(service))["create_endpoint"]
    assert (await send(service, request)).is_success
    client_id = ids.read(ids.CLIENT, service.client_id)
    assert client_id is not None

    await api.container.clients.disable(client_id=client_id)

    assert refusal(await send(service, request)) == (401, "client_disabled")


@pytest.mark.parametrize("name", WITH_SECRET)
async def test_what_is_shown_once_cannot_be_read_from_a_kept_answer(api: Api, name: str) -> None:
    service = await client(api)
    request = (await requests(service))[name]
    assert request.secret is not None

    secret = (await send(service, request)).json()[request.secret]

    kept = await dump(api)
    for spelling in (secret, secret.removeprefix("whsec_")):
        assert spelling.encode() not in kept
        assert base64.b64encode(spelling.encode())[:20] not in kept
        assert spelling.encode().hex().encode() not in kept
    assert b"whep_" not in kept  # nor any other part of it
    assert KEY.encode() not in kept


async def dump(api: Api) -> bytes:
    """Every column of every kept answer, one at least."""
    async with api.container.engine.connect() as connection:
        rows = (await connection.execute(select(IdempotentAnswer.__table__))).all()
    assert rows
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)


async def test_a_kept_answer_that_was_moved_to_another_key_does_not_open(api: Api) -> None:
    """Who can write to the table but has not the secret cannot have one client read another's answer."""
    service, other = await client(api), await client(api)
    wanted = await requests(service)
    mine = await send(service, wanted["create_endpoint"])
    secret = mine.json()["secret"]
    await send(other, wanted["create_endpoint"])

    async with api.container.engine.begin() as connection:
        bodies = (await connection.execute(select(IdempotentAnswer.key, IdempotentAnswer.body))).all()
        for (key, _), (_, body) in zip(bodies, reversed(bodies), strict=True):
            await connection.execute(update(IdempotentAnswer).where(IdempotentAnswer.key == key).values(body=body))

    assert secret not in (await send(other, wanted["create_endpoint"])).text


# --- The caller's own reference ------------------------------------------------------------------------------------


async def test_a_reference_makes_an_account_once_also_under_other_keys_and_with_the_password_hashed_anew(
    api: Api,
) -> None:
    service = await client(api, Scope.ACCOUNTS_CREATE)
    body = account(reference="registration-42", password=PASSWORD)

    answers = [await service.post("/accounts", body, headers={"Idempotency-Key": key}) for key in ("a", "b", "c")]

    assert [one.status_code for one in answers] == [201, 200, 200]
    assert len({one.json()["id"] for one in answers}) == 1
    assert await may_log_in(api, "acme")
