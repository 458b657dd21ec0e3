"""Webhook endpoints as their owner sees them: made, changed, limited, and nobody else's."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.core import ids
from app.core.callers import Origin, Service
from app.core.database import METADATA
from app.core.errors import ClientDisabled
from app.core.scopes import Scope
from app.models.events import EventType
from app.models.webhooks import EndpointStatus
from app.services.webhooks import Wish
from tests.support.api import Api, frozen, refusal
from tests.support.receivers import HERE, Endpoint, Names, answers, deliver, endpoint, happen, receiver
from tests.support.services import client

URL = "https://8.8.8.8/hooks"  # nothing is ever sent to it here
NOBODYS = f"whep_{'0' * 32}"
BAD_URLS = [
    ("https://127.0.0.1/hooks", "forbidden_address"),
    ("https://2130706433/hooks", "forbidden_address"),
    ("https://[::ffff:169.254.169.254]/latest/meta-data", "forbidden_address"),
    ("https://100.100.100.200/latest", "forbidden_address"),
    ("http://10.0.0.1/", "forbidden_address"),
    ("http://8.8.8.8/hooks", "https_required"),
    ("https://no-such-host.invalid/hooks", "unresolvable_host"),
    ("https://user:secret@8.8.8.8/hooks", "invalid_url"),
    ("https://8.8.8.8/hooks#top", "invalid_url"),
    ("https://8.8.8.8:65536/hooks", "invalid_url"),
    ("https://8.8.8.8\\@127.0.0.1/", "invalid_url"),
    ("ftp://8.8.8.8/hooks", "string_pattern_mismatch"),
    ("https://bücher.example/hooks", "string_pattern_mismatch"),
    ("https://8.8.8.8/two words", "string_pattern_mismatch"),
    (f"https://8.8.8.8/{'a' * 2000}", "string_too_long"),
    ("", "string_pattern_mismatch"),
]


def problems(answer: Any) -> tuple[int, list[tuple[str, str]]]:
    return answer.status_code, [(one["pointer"], one["code"]) for one in answer.json()["errors"]]


async def test_a_new_endpoint_shows_its_secret_once(api: Api) -> None:
    service = await client(api)
    wish = {"url": URL, "event_types": ["account.closed", "account.created", "account.closed"], "description": "发票"}

    made = await service.post("/webhook-endpoints", wish)

    assert made.status_code == 201
    body = made.json()
    secret = body.pop("secret")
    assert secret.startswith("whsec_")
    assert len(secret) == len("whsec_") + 44  # 32 bytes
    assert {name: body[name] for name in ("url", "event_types", "description", "status", "pause_reason")} == {
        "url": URL,
        "event_types": ["account.closed", "account.created"],
        "description": "发票",
        "status": "active",
        "pause_reason": None,
    }
    one, all_of_them = await service.get(f"/webhook-endpoints/{body['id']}"), await service.get("/webhook-endpoints")
    assert one.json() == body
    assert all_of_them.json() == {"items": [body], "next_cursor": None}


@pytest.mark.parametrize(("url", "code"), BAD_URLS)
async def test_a_bad_url_is_refused_when_it_is_made_and_when_it_is_changed(api: Api, url: str, code: str) -> None:
    service = await client(api)
    own = await endpoint(service, URL)

    made = await service.post("/webhook-endpoints", {"url": url})
    changed = await service.put(own.path, {"url": url})

    assert problems(made) == problems(changed) == (422, [("/url", code)])
    assert (await own.shown())["url"] == URL
    assert len((await service.get("/webhook-endpoints")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"event_types": ["account.deleted"]}, "/event_types/0"),
        ({"event_types": ["account.closed"] * 51}, "/event_types"),
        ({"event_types": None}, "/event_types"),
        ({"description": ""}, "/description"),
        ({"description": "x" * 201}, "/description"),
        ({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "/secret"),
        ({"status": "paused"}, "/status"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_its_name(api: Api, members: dict[str, Any], pointer: str) -> None:
    service = await client(api)

    status, errors = problems(await service.post("/webhook-endpoints", {"url": URL, **members}))

    assert (status, [where for where, _ in errors]) == (422, [pointer])


async def test_a_changed_endpoint_keeps_its_id_secret_and_status(api: Api) -> None:
    service = await client(api)
    own = await endpoint(service, URL, "account.closed")
    await own.set_status("paused")
    before = await own.shown()

    answer = await service.put(own.path, {"url": f"{URL}/2"})

    assert answer.status_code == 200
    changed = {"url": f"{URL}/2", "event_types": [], "description": None, "updated_at": answer.json()["updated_at"]}
    assert answer.json() == {**before, **changed}


async def test_pausing_twice_is_pausing_once(api: Api) -> None:
    own = await endpoint(await client(api), URL)
    with frozen() as clock:
        await own.set_status("paused")
        first = await own.shown()
        clock.shift(timedelta(minutes=1))
        await own.set_status("paused")
        assert await own.shown() == first

        assert (first["status"], first["pause_reason"]) == ("paused", "requested")
        assert first["paused_at"] is not None
        await own.set_status("active")
        resumed = await own.shown()
    assert (resumed["status"], resumed["pause_reason"], resumed["paused_at"]) == ("active", None, None)


async def test_a_client_has_at_most_twenty_endpoints(api: Api) -> None:
    service, other = await client(api), await client(api)
    made = [await endpoint(service, URL) for _ in range(20)]

    assert refusal(await service.post("/webhook-endpoints", {"url": URL})) == (409, "too_many_endpoints")

    await endpoint(other, URL)
    assert (await service.call("DELETE", made[0].path)).status_code == 204
    await endpoint(service, URL)


async def test_twenty_is_the_limit_also_for_thirty_at_once(pg_api: Api) -> None:
    service = await client(pg_api)

    answers = await asyncio.gather(*(service.post("/webhook-endpoints", {"url": URL}) for _ in range(30)))

    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 10


async def test_the_list_comes_in_pages_newest_first(api: Api) -> None:
    service = await client(api)
    made = [(await endpoint(service, URL)).id for _ in range(5)]

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while cursor is not None:
        page = (await service.get("/webhook-endpoints", limit=2, **cursor)).json()
        seen += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert seen == made[::-1]


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PUT", "", {"url": URL}),
    ("DELETE", "", None),
    ("PUT", "/status", {"status": "paused"}),
    ("POST", "/secret", None),
    ("POST", "/redeliveries", {"since": "2020-01-01T00:00:00Z"}),
    ("POST", "/redeliveries", {"event_id": f"evnt_{'0' * 32}"}),
    ("GET", "/attempts", None),
]


@pytest.mark.parametrize(("method", "step", "body"), CALLS)
@pytest.mark.parametrize("whose", ["another client's", "nobody's", "a deleted one", "no id at all"])
async def test_what_is_not_the_callers_is_not_there(api: Api, method: str, step: str, body: Any, whose: str) -> None:
    service, other = await client(api), await client(api)
    foreign, gone = await endpoint(other, URL), await endpoint(service, URL)
    await service.call("DELETE", gone.path)
    paths = {"another client's": foreign.id, "nobody's": NOBODYS, "a deleted one": gone.id, "no id at all": "whep_1"}
    before = await foreign.shown()

    answer = await service.call(method, f"/webhook-endpoints/{paths[whose]}{step}", json=body)

    assert refusal(answer) == (404, "not_found")
    assert await foreign.shown() == before
    assert (await service.get("/webhook-endpoints")).json()["items"] == []


async def test_without_the_scope_no_endpoint_is_seen_or_made(api: Api) -> None:
    service = await client(api, *(scope for scope in Scope if scope is not Scope.WEBHOOKS))

    for method, path, body in (("GET", "", None), ("POST", "", {"url": URL}), ("DELETE", f"/{NOBODYS}", None)):
        answer = await service.call(method, f"/webhook-endpoints{path}", json=body)
        assert answer.status_code == 403
        assert Scope.WEBHOOKS in answer.text


async def test_a_client_that_was_disabled_a_moment_ago_neither_makes_nor_resumes_an_endpoint(api: Api) -> None:
    """The token was good when it was looked at: nothing may go out to the client any more all the same."""
    caller = await client(api)
    own = await endpoint(caller, URL)
    client_id, endpoint_id = ids.read(ids.CLIENT, caller.client_id), ids.read(ids.WEBHOOK_ENDPOINT, own.id)
    assert client_id is not None
    assert endpoint_id is not None
    service = Service(client_id, ids.new(), frozenset(Scope), Origin("192.0.2.1", None, "request"))
    await api.container.clients.disable(client_id=client_id)

    with pytest.raises(ClientDisabled):
        await api.container.webhooks.create(service=service, wish=Wish(URL, [], None))
    with pytest.raises(ClientDisabled):
        await api.container.webhooks.set_status(service=service, endpoint_id=endpoint_id, status=EndpointStatus.ACTIVE)


async def test_no_secret_is_readable_in_the_database_or_the_log(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    service = await client(api)
    made = await service.post("/webhook-endpoints", {"url": URL}, headers={"Idempotency-Key": "make"})
    own = Endpoint(service, made.json()["id"], made.json()["secret"])
    rotated = await service.post(f"{own.path}/secret", headers={"Idempotency-Key": "rotate"})

    logs, rows = capfd.readouterr().out, await _everything(api)

    assert "/internal/v1/webhook-endpoints" in logs
    assert own.id.removeprefix("whep_") in rows.replace("-", "")
    for secret in (own.secret, rotated.json()["secret"]):
        assert secret.removeprefix("whsec_") not in logs + rows


async def _everything(api: Api) -> str:
    """Every value of every table, as the database gives it."""
    found = []
    async with api.container.engine.connect() as connection:
        for table in METADATA.sorted_tables:
            for row in await connection.execute(text(f"SELECT * FROM {table.name}")):  # noqa: S608 - our own names
                found += [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row]
    return "\n".join(found)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"event_id": f"evnt_{'0' * 32}", "since": "2026-01-01T00:00:00Z"},
        {"until": "2026-01-01T00:00:00Z"},
        {"event_id": f"evnt_{'0' * 32}", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00"},
        {"event_id": "evnt_1"},
        {"since": 0},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"since": "2026-01-01T00:00:00Z", "until": "9999-12-31T23:59:59-14:00"},
    ],
)
async def test_a_redelivery_names_one_event_or_a_span_of_time(api: Api, body: dict[str, str]) -> None:
    own = await endpoint(await client(api), URL)

    assert (await own.service.post(f"{own.path}/redeliveries", body)).status_code == 422


@pytest.mark.settings(webhook_allowed_networks=[HERE])
async def test_the_attempt_log_has_every_request_in_pages_and_by_outcome(api: Api) -> None:
    async with receiver(answers(500)) as hooks:
        own = await endpoint(await client(api), hooks.url)
        await happen(api, EventType.ACCOUNT_CREATED, EventType.SUSPENDED, account=ids.new())
        await deliver(api)
        hooks.behave = answers(204)
        await own.redeliver(since="2020-01-01T00:00:00Z")
        await deliver(api)

    attempts = await own.attempts()
    assert [(one["event_id"], one["status"]) for one in attempts] == list(
        zip(hooks.ids, [500, 500, 204, 204], strict=True)
    )
    assert {(one["outcome"], one["error"], one["next_at"] is None) for one in attempts} == {
        ("retrying", None, False),
        ("delivered", None, True),
    }
    assert await own.attempts(outcome="delivered") == attempts[2:]
    assert await own.attempts(outcome="failed") == []

    path, newest_first = f"{own.path}/attempts", attempts[::-1]
    first = (await own.service.get(path, limit=3)).json()
    rest = (await own.service.get(path, limit=3, cursor=first["next_cursor"])).json()
    assert (first["items"], rest["items"], rest["next_cursor"]) == (newest_first[:3], newest_first[3:], None)
    assert refusal(await own.service.get(path, outcome="lost")) == (422, "validation_failed")


@pytest.mark.settings(webhook_allowed_networks=[HERE])
async def test_a_name_that_was_public_when_it_was_made_does_not_lead_here_later(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiver() as inside:
        Names(monkeypatch, hooks_example_com=[["93.184.215.14"], ["10.0.0.1"], ["0.0.0.0"]])  # noqa: S104
        own = await endpoint(await client(api), f"https://hooks.example.com:{inside.port}/hooks")
        await happen(api, EventType.ACCOUNT_CREATED)
        await deliver(api)
        await own.redeliver(since="2020-01-01T00:00:00Z")
        await deliver(api)

    assert [one["error"] for one in await own.attempts()] == ["forbidden_address"] * 2
    assert inside.connections == 0
