"""What was submitted is erased when nobody needs it any more, and not before."""

import asyncio
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import select, text
from time_machine import Traveller

from app.core import ids
from app.core.clock import now
from app.models.real_name import Submission
from app.workers.upkeep import Upkeep
from tests.repositories.test_event_positions import someone_waits
from tests.support.api import Api, Holder, frozen
from tests.support.real_names import (
    ID_NUMBER,
    OTHER_CREDIT_CODE,
    ask,
    decided,
    enterprise,
    gate,
    individual,
    status,
    submitted,
    withdraw,
)
from tests.support.services import ServiceClient, client, staff

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
RETENTION, CLOSED = 30 * DAY, 183 * DAY  # the settings' defaults
PHONE = "13800138000"
SHOWN_TO_HOLDER: Final = ("name", "registration_number", "legal_representative", "phone")
SHOWN_TO_STAFF: Final = ("name", "number", "legal_representative", "legal_id_number", "phone")
LEGAL = {"name": "李雷", "id_number": ID_NUMBER}
MATCHED, OTHER = enterprise(), enterprise("Bravo Ltd.", OTHER_CREDIT_CODE)
MISMATCHED = enterprise("Acme (mismatched)", legal_representative=LEGAL)
PERSON = individual("张三 (mismatched)", phone=PHONE)
SILENT = enterprise("Acme (unavailable)")


async def forget(api: Api) -> None:
    """What the clock does every few minutes."""
    settings = api.settings
    await Upkeep(
        api.container.profile.uow,
        api.container.waiting,
        api.container.data_keys,
        retention=timedelta(days=settings.retention_days),
        known_address=timedelta(days=settings.known_address_days),
        events_kept=timedelta(days=settings.event_retention_days),
    ).forget()


async def kept(api: Api) -> set[str]:
    """The submissions whose names and numbers are still there."""
    async with api.container.engine.connect() as connection:
        found = await connection.scalars(select(Submission.id).where(Submission.sealed.is_not(None)))
        return {ids.show(ids.REAL_NAME, one) for one in found}


async def passes(api: Api, clock: Traveller, time: timedelta) -> None:
    clock.shift(time)
    await forget(api)


async def overriding(service: ServiceClient, submission: str, actor: str) -> httpx.Response:
    """One of the two who approve what a provider refused."""
    path = f"/real-name/submissions/{submission}/decision"
    return await service.post(path, {"decision": "approve"}, headers=staff(actor))


async def override(service: ServiceClient, submission: str) -> list[int]:
    return [(await overriding(service, submission, actor)).status_code for actor in ("han.meimei", "li.lei")]


async def in_queue(service: ServiceClient, submission: str) -> dict[str, Any]:
    page = await service.get("/real-name/submissions", limit=100)
    found: dict[str, Any] = next(one for one in page.json()["items"] if one["id"] == submission)
    return found


async def close(api: Api, holder: Holder) -> None:
    answer = await api.client.post("/v1/account/closure", headers=holder.auth)
    assert answer.status_code == 204, answer.text


# --- How a submission comes to nothing ------------------------------------------------------------------------------


async def rejected(api: Api, holder: Holder) -> str:
    return await decided(api, holder, MISMATCHED)


async def rejected_person(api: Api, holder: Holder) -> str:
    return await decided(api, holder, PERSON)


async def rejected_by_staff(api: Api, holder: Holder) -> str:
    submission = await decided(api, holder, enterprise("Acme (not found)", legal_representative=LEGAL))
    path = f"/real-name/submissions/{submission}/decision"
    answer = await (await client(api)).post(path, {"decision": "reject"}, headers=staff())
    assert answer.status_code == 200, answer.text
    return submission


async def withdrawn(api: Api, holder: Holder) -> str:
    submission = await submitted(api, holder, individual(phone=PHONE))
    assert (await withdraw(api, holder, submission)).status_code == 204
    return submission


async def superseded(api: Api, holder: Holder) -> str:
    submission = await decided(api, holder, MATCHED)
    await decided(api, holder, OTHER)
    return submission


WAYS = [rejected, rejected_person, rejected_by_staff, withdrawn, superseded]


@pytest.mark.parametrize("comes_to_nothing", WAYS, ids=lambda way: str(way.__name__))
async def test_what_came_to_nothing_is_erased_in_its_time_and_not_before(api: Api, comes_to_nothing: Any) -> None:
    with frozen() as clock:
        holder, service = await api.register(), await client(api)
        submission = await comes_to_nothing(api, holder)

        await passes(api, clock, RETENTION - SECOND)
        await service.renew()
        assert submission in await kept(api)
        assert (await in_queue(service, submission))["name"] is not None

        await passes(api, clock, SECOND)
        await service.renew()
        assert submission not in await kept(api)
        seen, holder = await in_queue(service, submission), await api.log_in(holder)
        page = await api.client.get("/v1/account/real-name/submissions", headers=holder.auth)
        (own,) = (one for one in page.json()["items"] if one["id"] == submission)

    assert {seen[member] for member in SHOWN_TO_STAFF} == {None}
    assert {own[member] for member in SHOWN_TO_HOLDER} == {None}
    assert own["status"] == seen["status"]
    assert own["decided_at"] is not None


@pytest.mark.settings(real_name_retention_days=2)
async def test_how_long_it_is_kept_is_a_setting(api: Api) -> None:
    with frozen() as clock:
        submission = await rejected(api, await api.register())

        await passes(api, clock, 2 * DAY - SECOND)
        assert await kept(api) == {submission}

        await passes(api, clock, SECOND)
        assert await kept(api) == set()


async def test_what_is_in_force_stays_for_as_long_as_it_is(api: Api) -> None:
    with frozen() as clock:
        holder, service = await api.register(), await client(api)
        await decided(api, holder, MATCHED)
        before = await gate(service, holder)

        await passes(api, clock, 10 * CLOSED)
        await service.renew()

        assert await gate(service, holder) == before
        assert before["verified_name"] == "Acme Ltd."


async def test_what_waits_for_a_provider_or_for_staff_stays(api: Api) -> None:
    with frozen() as clock:
        waiting = {
            await decided(api, await api.register(), SILENT),
            await decided(api, await api.register(), enterprise("Bravo (not found)", OTHER_CREDIT_CODE)),
            await submitted(api, await api.register(), enterprise("Acme Pte. Ltd.", "201912345K", country="SG")),
        }

        await passes(api, clock, 10 * CLOSED)

        assert await kept(api) == waiting


async def test_the_name_before_stays_until_its_time_after_the_new_one_is_in_force(api: Api) -> None:
    """Not from when it was verified itself: that may be years ago."""
    with frozen() as clock:
        first = await decided(api, holder := await api.register(), MATCHED)
        await passes(api, clock, CLOSED)
        second = await decided(api, await api.log_in(holder), OTHER)

        await passes(api, clock, RETENTION - SECOND)
        assert await kept(api) == {first, second}

        await passes(api, clock, SECOND)
        assert await kept(api) == {second}


async def test_the_status_of_an_erased_submission_is_still_told(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        await rejected(api, holder)
        await passes(api, clock, RETENTION)

        shown = await status(api, await api.log_in(holder))

    assert shown["status"] == "rejected"
    assert (shown["latest"]["reason"], shown["latest"]["field"]) == ("mismatched", "name")


async def test_more_than_one_look_can_take_is_erased_by_the_next_ones(api: Api) -> None:
    with frozen() as clock:
        for holder in [await api.register() for _ in range(3)]:
            await withdrawn(api, holder)
        clock.shift(RETENTION)
        async with api.container.profile.uow() as uow:
            looks = [await uow.real_name.erase_due(now(), limit=2) for _ in range(3)]

    assert looks == [2, 1, 0]
    assert await kept(api) == set()


# --- Staff changes its mind -----------------------------------------------------------------------------------------


async def test_what_was_refused_and_then_approved_is_never_erased(api: Api) -> None:
    with frozen() as clock:
        holder, service = await api.register(), await client(api)
        submission = await rejected(api, holder)
        await passes(api, clock, RETENTION - SECOND)
        await service.renew()
        assert await override(service, submission) == [200, 200]

        await passes(api, clock, 10 * RETENTION)
        await service.renew()

        assert await kept(api) == {submission}
        assert (await gate(service, holder))["verified_name"] == "Acme (mismatched)"


async def test_a_proposal_alone_does_not_keep_it(api: Api) -> None:
    with frozen() as clock:
        service = await client(api)
        submission = await rejected(api, await api.register())
        assert (await overriding(service, submission, "han.meimei")).status_code == 200

        await passes(api, clock, RETENTION)
        await service.renew()

        assert await kept(api) == set()
        late = await overriding(service, submission, "li.lei")
        assert (late.status_code, late.json()["code"]) == (409, "wrong_state")


async def test_what_is_approved_while_it_is_being_erased_is_either_in_force_or_erased(pg_api: Api) -> None:
    """The eraser has chosen it already and waits for the one who approves."""
    with frozen() as clock:
        service = await client(pg_api)
        submission = await rejected(pg_api, await pg_api.register())
        assert (await overriding(service, submission, "han.meimei")).status_code == 200
        clock.shift(RETENTION)
        await service.renew()

        async with pg_api.container.engine.begin() as connection:
            approve = text("UPDATE real_name_submissions SET status = 'verified', erase_at = NULL")
            await connection.execute(approve)
            erasing = asyncio.create_task(forget(pg_api))
            await someone_waits(pg_api)
        await erasing

    assert await kept(pg_api) == {submission}


# --- Closed accounts ------------------------------------------------------------------------------------------------


async def test_closing_erases_everything_but_what_was_in_force_and_that_in_its_time(api: Api) -> None:
    with frozen() as clock:
        holder, service = await api.register(), await client(api)
        for nothing in (withdrawn, rejected_person, superseded):
            await nothing(api, holder)
        in_force = await decided(api, holder, MATCHED)
        await submitted(api, holder, enterprise("Acme Pte. Ltd.", "201912345K", country="SG"))
        assert len(await kept(api)) == 6

        await close(api, holder)
        assert await kept(api) == {in_force}

        await passes(api, clock, CLOSED - SECOND)
        assert await kept(api) == {in_force}

        await passes(api, clock, SECOND)
        await service.renew()

        assert await kept(api) == set()
        assert (await gate(service, holder))["reason"] == "account_closed"


async def test_what_was_pending_at_closing_is_never_asked_about_nor_decided(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    submission = await submitted(api, holder, MATCHED)

    await close(api, holder)

    assert await ask(api) == 0
    assert (await overriding(service, submission, "han.meimei")).status_code == 409
    seen = await in_queue(service, submission)
    assert (seen["status"], seen["name"], seen["calls"]) == ("cancelled", None, [])
