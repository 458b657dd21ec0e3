"""Health, keys, metrics, and the messages that only a development instance shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import text

from app.core import migrations
from app.notifiers.base import Message
from tests.support.api import Api, running

PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "real_name_providers": {},
    "billing": "http",
    "billing_url": "https://bills.example.com",
    "secret_key": "a secret of at least thirty-two characters",
    "allow_sqlite": True,
    "issuer": "https://accounts.example.com",
    "spa_url": "https://billing.example.com",
    "email_notifier": "smtp",
    "smtp_url": "smtp://localhost:2525",
    "sms_notifier": "http",
    "sms_http_url": "https://sms.example.com",
}


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Any]:
    """Starts the service, with the settings given, on a database that no other test shares."""
    url = f"sqlite:///{tmp_path / 'app.db'}"
    await asyncio.to_thread(migrations.upgrade, url)
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Api:
            return await stack.enter_async_context(running(settings.pop("database_url", url), **settings))

        yield begin


def message(number: int, **changes: Any) -> Message:
    members: dict[str, Any] = {
        "id": f"mesg_{number:032}",
        "channel": "email",
        "to": "li.lei@example.com",
        "template": "login_code",
        "locale": "en",
        "params": {"code": f"{number:06}", "minutes": "10", "target": "l***@example.com"},
    }
    return Message(**members | changes)


async def test_process_is_alive(api: Api) -> None:
    answer = await api.client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_service_is_ready_when_database_schema_and_key_are_there(api: Api) -> None:
    answer = await api.client.get("/readyz")
    checks = {"database": True, "schema": True, "clock": True, "signing_key": True, "data_key": True}
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": checks})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = 'behind'",
        "UPDATE alembic_version SET version_num = '2026_11_23_account_core'",
        "UPDATE alembic_version SET version_num = '2026_01_01_of_a_branch'",
        "DROP TABLE alembic_version",
    ],
)
async def test_service_is_not_ready_on_another_schema(start: Any, statement: str) -> None:
    api = await start()
    async with api.container.engine.begin() as connection:
        await connection.execute(text(statement))
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json()["code"] == "not_ready"
    assert answer.json()["checks"] == {
        "database": True,
        "schema": False,
        "clock": True,
        "signing_key": True,
        "data_key": True,
    }


async def test_service_stays_ready_while_the_schema_goes_forward_under_it(start: Any) -> None:
    """Else every replica would leave the proxy in the moment in which the next version's migrations have run."""
    api = await start()
    async with api.container.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '2027_01_01_next'"))
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["schema"]) == (200, True)


@pytest.mark.parametrize(
    ("minutes", "agrees"), [(-60, False), (-6, False), (-4, True), (4, True), (6, False), (60, False)]
)
async def test_a_process_whose_clock_is_far_from_the_databases_is_not_ready(
    pg_api: Api, minutes: int, agrees: bool
) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes)):
        answer = await pg_api.client.get("/readyz")
    assert answer.json()["checks"]["clock"] is agrees
    if not agrees:
        assert answer.status_code == 503
    assert (await pg_api.client.get("/readyz")).status_code == 200


async def test_service_is_not_ready_without_a_key_that_signs(start: Any) -> None:
    api = await start()
    [key] = await api.container.keys.all()
    await api.container.keys.revoke(kid=key.kid)
    answer = await api.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": True,
        "schema": True,
        "clock": True,
        "signing_key": False,
        "data_key": True,
    }


async def test_production_makes_no_key_by_itself(start: Any) -> None:
    api = await start(**PRODUCTION)
    assert (await api.client.get("/readyz")).json()["checks"]["signing_key"] is False
    assert (await api.client.get("/.well-known/jwks.json")).json() == {"keys": []}


async def test_without_a_key_that_signs_nobody_is_let_in_half_way(start: Any) -> None:
    """The session is not begun, and the answer is one that clients know how to take."""
    api = await start()
    holder = await api.register()
    [key] = await api.container.keys.all()
    await api.container.keys.revoke(kid=key.kid)
    body = {"method": "password", "identifier": holder.username, "password": holder.password}
    refused = await api.client.post("/v1/sessions", json=body)
    assert refused.status_code == 503
    await api.container.keys.rotate(at_once=True)
    holder = await api.log_in(holder)
    listed = (await api.client.get("/v1/sessions", headers=holder.auth)).json()["items"]
    assert [session["method"] for session in listed] == ["password", "registration"]


async def test_without_a_database_the_process_lives_and_says_when_to_come_again(start: Any) -> None:
    api = await start(database_url="postgresql://nobody@127.0.0.1:1/none", database_timeout_seconds=1)
    assert (await api.client.get("/livez")).status_code == 200
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, False)
    refused = await api.client.post("/v1/login-codes", json={"identifier": "acme"})
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert int(refused.headers["Retry-After"]) > 0


async def test_key_set_may_be_kept_for_as_long_as_keys_are_published_ahead(api: Api) -> None:
    answer = await api.client.get("/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == f"public, max-age={api.settings.jwks_ahead_seconds}"
    assert [key["alg"] for key in answer.json()["keys"]]


async def test_metrics_count_requests_by_route_and_never_by_what_was_asked_for(api: Api) -> None:
    await api.client.get("/v1/usernames/somebodys-name")
    await api.client.get("/nowhere/somebodys-name")
    answer = await api.client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    counted = 'guance_http_requests_total{method="GET",route="/v1/usernames/{username}",status="200"}'
    assert counted in answer.text
    assert 'route="unmatched"' in answer.text
    assert "somebodys-name" not in answer.text


async def test_metrics_leave_the_public_port_when_they_have_one_of_their_own(start: Any) -> None:
    api = await start(**PRODUCTION, metrics_port=9464)
    assert (await api.client.get("/metrics")).status_code == 404


async def test_development_shows_what_was_sent_newest_first(start: Any, tmp_path: Path) -> None:
    api = await start(dev_messages_file=tmp_path / "messages.jsonl")
    assert (await api.client.get("/dev/messages", headers={"Accept": "application/json"})).json() == {"items": []}
    for number in (1, 2):
        await api.container.notifiers["email"].send(message(number))
    await api.container.notifiers["sms"].send(message(3, channel="sms", to="+8613800138000", locale="zh-CN"))
    items = (await api.client.get("/dev/messages", headers={"Accept": "application/json"})).json()["items"]
    assert [item["id"][-1] for item in items] == ["3", "2", "1"]
    members = {"id", "channel", "to", "template", "locale", "params", "text", "sent_at"}
    assert all(item.keys() == members for item in items)
    assert (items[0]["channel"], items[0]["to"], items[0]["locale"]) == ("sms", "+8613800138000", "zh-CN")
    assert (items[0]["params"]["code"], "000003" in items[0]["text"]) == ("000003", True)


async def test_development_shows_a_page_to_people(start: Any, tmp_path: Path) -> None:
    api = await start(dev_messages_file=tmp_path / "messages.jsonl")
    for number in (111111, 222222):
        await api.container.notifiers["email"].send(message(number))
    page = await api.client.get("/dev/messages", headers={"Accept": "text/html"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.text.index("222222") < page.text.index("111111")


async def test_page_of_messages_shows_markup_as_text(start: Any, tmp_path: Path) -> None:
    api = await start(dev_messages_file=tmp_path / "messages.jsonl")
    evil = "<script>alert(1)</script>"
    await api.container.notifiers["email"].send(
        message(1, to=evil, params={"code": evil, "minutes": "1", "target": evil})
    )
    page = await api.client.get("/dev/messages")
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


async def test_production_shows_no_messages(start: Any) -> None:
    api = await start(**PRODUCTION)
    for accept in ("text/html", "application/json"):
        answer = await api.client.get("/dev/messages", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_api_documentation_names_no_outside_address(api: Api) -> None:
    page = await api.client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    assert (await api.client.get("/openapi.json")).json()["openapi"].startswith("3.1")


async def test_a_key_that_another_process_revokes_stops_here_by_itself(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main._KEYS_EVERY", 0.05)
    here, elsewhere = await start(), await start()
    holder = await here.register()
    old = here.container.tokens.jwks()[0]["kid"]
    await elsewhere.container.keys.rotate(at_once=True)
    await elsewhere.container.keys.revoke(kid=old)

    async with asyncio.timeout(10):
        while (answer := await here.client.get("/v1/account", headers=holder.auth)).status_code == 200:  # noqa: ASYNC110 - what we wait for is told over HTTP
            await asyncio.sleep(0.05)
    assert answer.json()["code"] == "invalid_token"
