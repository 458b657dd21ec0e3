"""A closed account: nobody logs in to it in any way, nothing personal of it stays, and others are told."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.core.database import METADATA
from app.models.accounts import Account
from app.notifiers.templates import render
from app.workers.upkeep import Upkeep
from tests.support.api import PASSWORD, Api, Holder, calling_from, frozen, may_act, may_log_in, refusal, undo
from tests.support.changes import NEW_EMAIL, PHONE
from tests.support.clouds import (
    ALIBABA_KEY,
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_lands,
    claim_of,
    typed,
)
from tests.support.services import ServiceClient, client, feed

Json = dict[str, Any]
PERSON, ABOUT, ADDRESS = "Guanyin Person", "Who we are and what we do", "203.0.113.77"
KEPT = timedelta(days=183)


async def register(api: Api, **members: Any) -> Holder:
    told: Json = {"phone": PHONE, "contact_name": PERSON, "company_description": ABOUT, "locale": "zh-CN", **members}
    return await api.register(**told)


async def close(api: Api, holder: Holder) -> None:
    answer = await api.client.post("/v1/account/closure", headers=holder.auth)
    assert answer.status_code == 204, answer.text


async def post(api: Api, path: str, body: Json) -> Any:
    return await api.client.post(f"/v1{path}", json=body)


async def tables_with(api: Api, *texts: str) -> set[str]:
    """Where in the whole database any of the texts stands."""
    async with api.container.engine.connect() as connection:
        found = {table.name: str(list(await connection.execute(select(table)))) for table in METADATA.sorted_tables}
    return {name for name, content in found.items() if any(text in content for text in texts)}


def upkeep(api: Api) -> Upkeep:
    settings = api.settings
    return Upkeep(
        api.container.profile.uow,
        api.container.waiting,
        api.container.data_keys,
        retention=timedelta(days=settings.retention_days),
        known_address=timedelta(days=settings.known_address_days),
        events_kept=timedelta(days=settings.event_retention_days),
    )


async def read(service: ServiceClient, holder: Holder) -> Json:
    answer = await service.get(f"/accounts/{holder.account_id}")
    assert answer.status_code == 200, answer.text
    entry: Json = answer.json()
    return entry


# --- Nobody logs in -------------------------------------------------------------------------------------------------


async def test_every_session_ends_and_the_cookie_is_taken_back(api: Api) -> None:
    holder = await register(api)
    other = await api.log_in(holder)

    answer = await api.client.post("/v1/account/closure", headers=holder.auth)

    assert answer.status_code == 204
    assert "__Secure-guance_refresh=" in answer.headers["Set-Cookie"] and "Max-Age=0" in answer.headers["Set-Cookie"]
    for session in (holder, other):
        assert not await may_act(api, session)
        refreshed = await post(api, "/sessions/refresh", {"refresh_token": session.refresh_token})
        assert refusal(refreshed) == (401, "invalid_refresh_token")


async def test_the_password_logs_in_by_no_identifier_and_looks_wrong(api: Api) -> None:
    holder = await register(api)
    await close(api, holder)

    for identifier in (holder.username, holder.email, PHONE):
        assert not await may_log_in(api, identifier)
    nobody = await post(api, "/sessions", {"method": "password", "identifier": "nobody", "password": PASSWORD})
    theirs = await post(api, "/sessions", {"method": "password", "identifier": holder.username, "password": PASSWORD})
    assert (theirs.status_code, theirs.json()["code"]) == (nobody.status_code, nobody.json()["code"])


async def test_a_code_and_a_reset_that_were_asked_for_before_are_void(api: Api) -> None:
    holder = await register(api)
    asked = (await post(api, "/login-codes", {"identifier": holder.username})).json()["challenge_id"]
    login = {"method": "code", "challenge_id": asked, "code": await api.code(holder.email)}
    reset = (await post(api, "/password-resets", {"identifier": holder.username})).json()["id"]
    code = {"code": await api.code(holder.email), "new_password": "another long passphrase"}

    await close(api, holder)

    assert not (await post(api, "/sessions", login)).is_success
    assert not (await post(api, f"/password-resets/{reset}/confirm", code)).is_success
    assert not await may_log_in(api, holder.username, code["new_password"])


@pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY)
async def test_a_claim_cannot_be_taken_for_it_with_a_code_that_was_asked_for_before(api: Api) -> None:
    holder = await register(api)
    claim = f"/marketplace-claims/{claim_of(await alibaba_lands(api, await alibaba_bought(api)))}"
    asked = (await post(api, f"{claim}/account-codes", {"username": holder.username})).json()["challenge_id"]
    body = {"challenge_id": asked, "code": await api.code(holder.email)}

    await close(api, holder)

    assert refusal(await post(api, f"{claim}/accept-with-code", body)) == (410, "code_expired")
    sent = len(await api.deliver())
    assert (await post(api, f"{claim}/account-codes", {"username": holder.username})).status_code == 202
    assert len(await api.deliver()) == sent
    assert (await api.client.get(f"/v1{claim}")).json()["status"] == "active"  # it is still there for another account


@pytest.mark.parametrize("way", ["/login-codes", "/password-resets"])
async def test_no_code_is_sent_for_any_identifier_and_it_looks_as_if_it_were(api: Api, way: str) -> None:
    holder = await register(api)
    await close(api, holder)
    sent = len(await api.deliver())

    for identifier in (holder.username, holder.email, PHONE):
        assert (await post(api, way, {"identifier": identifier})).status_code == 202

    assert len(await api.deliver()) == sent


async def test_the_undo_of_a_change_is_void(api: Api) -> None:
    with frozen() as clock:
        holder = await register(api)
        await api.change_email(holder, NEW_EMAIL)
        token = await api.token(holder.email)
        clock.shift(timedelta(hours=25))
        await close(api, await api.log_in(holder))

        assert refusal(await undo(api, token)) == (410, "reversal_expired")
        assert not await may_log_in(api, holder.email)


async def test_closing_again_finds_nobody(api: Api) -> None:
    holder = await register(api)
    await close(api, holder)

    answer = await api.client.post("/v1/account/closure", headers=holder.auth)

    assert refusal(answer) == (401, "session_ended")


# --- What stays and what does not -----------------------------------------------------------------------------------


async def test_the_names_stay_and_what_is_personal_is_gone(api: Api) -> None:
    with frozen():
        holder, service = await register(api), await client(api)
        before = await read(service, holder)

        await close(api, holder)

        after = await read(service, holder)
        gone = {
            "email": None,
            "phone": None,
            "contact_name": None,
            "status": "closed",
            "closed_at": after["updated_at"],
        }
        assert after == before | gone | {"updated_at": after["updated_at"]}
        assert (await service.get("/accounts", username=holder.username)).json() == after
    async with api.container.engine.connect() as connection:
        row = (await connection.execute(select(Account.__table__))).one()
    assert (row.password_hash, row.company_description, row.contact_name, row.phone) == (None, None, None, None)


async def test_nothing_personal_is_left_anywhere_but_the_notice_that_is_on_its_way(api: Api) -> None:
    with frozen() as clock:
        holder, service = await register(api), await client(api)
        await post(api, "/login-codes", {"identifier": holder.username})
        await api.start(holder, "phone")
        ticket = {"account_id": holder.account_id, "workspace_id": "wksp_1", "actor": "user_5b1e"}
        assert (await service.post("/login-tickets", ticket)).status_code == 201

        await close(api, holder)

        personal = (holder.email, PHONE, PHONE[1:], PERSON, ABOUT)
        assert await tables_with(api, *personal) <= {"outbox_messages"}
        for table in ("challenges", "credential_changes", "login_tickets"):
            assert holder.account_id[5:] not in await content(api, table)
        await api.deliver()
        clock.shift(timedelta(days=31))
        await upkeep(api).forget()
        assert await tables_with(api, *personal) == set()


async def content(api: Api, table: str) -> str:
    async with api.container.engine.connect() as connection:
        rows = await connection.execute(select(METADATA.tables[table]))
        return str([[getattr(value, "hex", value) for value in row] for row in rows])


async def test_its_email_and_phone_may_register_anew_and_its_username_may_not(api: Api) -> None:
    holder = await register(api)
    await close(api, holder)

    again = await register(api, email=holder.email, username="another")

    assert again.account_id != holder.account_id
    taken = {"username": holder.username.upper(), "email": "new@example.com", "company_name": "Northwind Trading"}
    assert refusal(await post(api, "/registrations", taken)) == (409, "username_taken")
    free = await api.client.get(f"/v1/usernames/{holder.username}")
    assert free.json()["available"] is False
    assert refusal(await (await client(api)).post("/accounts", taken)) == (409, "username_taken")


async def test_the_reference_under_which_it_was_made_stays_used(api: Api) -> None:
    """A late repetition of the order makes no second account, and nothing of the order is kept to compare with."""
    service = await client(api)
    order = {"username": "acme", "email": "li@example.com", "company_name": "Northwind", "reference": "reg-42"}
    made = await service.post("/accounts", order | {"password": PASSWORD})
    body = {"method": "password", "identifier": "acme", "password": PASSWORD}
    session = (await post(api, "/sessions", body)).json()["access_token"]
    closed = await api.client.post("/v1/account/closure", headers={"Authorization": f"Bearer {session}"})
    assert (made.status_code, closed.status_code) == (201, 204)

    assert refusal(await service.post("/accounts", order)) == (409, "reference_taken")
    assert refusal(await service.post("/accounts", order | {"username": "other"})) == (409, "reference_taken")


async def test_two_accounts_may_be_closed(api: Api) -> None:
    """What takes the place of an email is as unique as an email."""
    for _ in range(2):
        await close(api, await register(api))


async def test_a_closed_account_is_not_found_by_its_contacts_nor_by_what_took_their_place(api: Api) -> None:
    holder, service = await register(api), await client(api)
    await close(api, holder)
    async with api.container.engine.connect() as connection:
        key = await connection.scalar(select(Account.email_key))

    for query in ({"email": holder.email}, {"phone": PHONE}, {"email": str(key)}, {"username": str(key)}):
        assert refusal(await service.get("/accounts", **query)) == (404, "not_found")


async def test_its_trail_and_addresses_are_kept_as_long_as_is_set_and_then_deleted(api: Api) -> None:
    with frozen() as clock:
        async with calling_from(api, ADDRESS) as home:
            holder = await home.register()
            await close(home, holder)
        clock.shift(KEPT - timedelta(seconds=1))
        await upkeep(api).forget()
        service = await client(api)
        trail = await service.get(f"/accounts/{holder.account_id}/activity")
        assert [one["action"] for one in trail.json()["items"]] == ["account.closed", "account.registered"]

        clock.shift(timedelta(seconds=2))
        await upkeep(api).forget()

        await service.renew()
        assert (await service.get(f"/accounts/{holder.account_id}/activity")).json()["items"] == []
        assert await tables_with(api, ADDRESS) == set()
        assert (await read(service, holder))["username"] == holder.username


async def test_who_types_its_username_afterwards_leaves_nothing_for_long(api: Api) -> None:
    with frozen() as clock:
        holder = await register(api)
        await close(api, holder)
        clock.shift(KEPT + timedelta(seconds=1))
        await upkeep(api).forget()

        async with calling_from(api, ADDRESS) as stranger:
            assert not await may_log_in(stranger, holder.username, "a guess")
            await post(stranger, "/login-codes", {"identifier": holder.username})
        clock.shift(timedelta(days=32))
        await upkeep(api).forget()

        assert await tables_with(api, ADDRESS) == set()
        assert holder.account_id[5:] not in await content(api, "activity")


@pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY)
async def test_what_it_bought_stays_its_own_and_the_provider_speaks_to_nobody_any_more(api: Api) -> None:
    """Who paid is evidence; but there is nobody to be told."""
    holder, other, service = await register(api), await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder, instance="122000001")
    await close(api, holder)
    sent, told = len(await api.deliver()), len(await feed(service))

    answers = [
        await alibaba(api, "expiredInstance", instanceId="122000001"),
        await alibaba(api, "renewInstance", instanceId="122000001", orderId="2", expiredOn="2027-01-01 00:00:00"),
    ]

    assert [one.json() for one in answers] == [{"success": "true"}] * 2
    assert (len(await api.deliver()), len(await feed(service))) == (sent, told)
    assert refusal(await typed(api, other, instance="122000001")) == (409, "cloud_account_taken")
    [of_account, *_] = (await service.get("/marketplace/notices", cloud_account_id=cloud_account)).json()["items"]
    assert of_account["state"] == "applied"


# --- Others are told ------------------------------------------------------------------------------------------------


async def test_it_is_an_event_without_anything_personal(api: Api) -> None:
    holder, service = await register(api), await client(api)

    await close(api, holder)

    event = (await feed(service))[-1]
    assert (event["type"], event["subject"]) == ("account.closed", holder.account_id)
    assert event["data"] == {"account_id": holder.account_id}


@pytest.mark.parametrize(
    ("locale", "subject"), [("zh-CN", "【观测云】账号已注销"), ("en", "[Guance] Your account was closed")]
)
async def test_the_holder_is_told_by_mail_once_at_the_address_that_was_theirs(
    api: Api, locale: str, subject: str
) -> None:
    holder = await register(api, locale=locale)

    await close(api, holder)

    (notice,) = await api.messages(holder.email, "account_closed")
    text = render(notice.template, notice.locale, notice.params)
    assert text.subject == subject
    assert holder.username in text.email


async def test_the_trail_says_from_where_it_was_closed(api: Api) -> None:
    holder, service = await register(api), await client(api)
    async with calling_from(api, ADDRESS) as elsewhere:
        await close(elsewhere, holder)

    entry = (await service.get(f"/accounts/{holder.account_id}/activity")).json()["items"][0]

    assert (entry["action"], entry["actor"], entry["ip"]) == ("account.closed", "holder", ADDRESS)
    assert entry["session_id"] == holder.session_id
