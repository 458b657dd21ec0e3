"""The codes of a credential change, and how long each thing lives."""

import asyncio
from datetime import timedelta

import pytest

from tests.support.api import (
    Api,
    cancel,
    change_of,
    frozen,
    may_log_in,
    refusal,
    renewed,
    resend,
)
from tests.support.changes import (
    NEW_EMAIL,
    proven,
    started,
)


@pytest.mark.parametrize("source", ["an earlier flow", "another account", "a login", "an earlier send"])
async def test_code_of_elsewhere_is_wrong_at_the_first_step(api: Api, source: str) -> None:
    holder = await api.register()
    earlier = await started(api, holder)
    code = await api.code(holder.email)
    if source == "another account":
        stranger = await api.register()
        await started(api, stranger)
        code = await api.code(stranger.email)
    if source == "an earlier send":
        await resend(api, holder, earlier)
        change = earlier
    else:
        await cancel(api, holder, earlier)
        change = await started(api, holder)
    right = await api.code(holder.email)
    if source == "a login":
        await api.client.post("/v1/login-codes", json={"identifier": holder.username})
        code = await api.code(holder.email)
    # Six digits may be alike by chance: then there is nothing to tell apart.
    assert code == right or refusal(await api.step(holder, change, "verify-current", {"code": code})) == (
        422,
        "wrong_code",
    )
    assert (await api.step(holder, change, "verify-current", {"code": right})).json()["state"] == "propose"


async def test_code_of_the_first_step_and_that_of_another_claim_are_wrong_at_the_last(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    change = await started(api, holder)
    first = await api.code(holder.email)
    await api.step(holder, change, "verify-current", {"code": first})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    right = await api.code(NEW_EMAIL)
    await api.reach_confirm(stranger, NEW_EMAIL, proves=stranger.email)
    claims = await api.code(NEW_EMAIL)
    for foreign in {first, claims} - {right}:
        assert refusal(await api.step(holder, change, "confirm", {"code": foreign})) == (422, "wrong_code")
    assert (await api.step(holder, change, "confirm", {"code": right})).json()["state"] == "completed"


async def test_code_expires_after_ten_minutes_and_another_may_be_asked_for(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        code = await api.code(holder.email)
        clock.shift(timedelta(minutes=10))
        holder = await renewed(api, holder)
        assert refusal(await api.step(holder, change, "verify-current", {"code": code})) == (410, "code_expired")
        await resend(api, holder, change)
        code = await api.code(holder.email)
        assert (await api.step(holder, change, "verify-current", {"code": code})).status_code == 200


async def test_code_works_until_its_last_second(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        code = await api.code(holder.email)
        clock.shift(timedelta(minutes=9, seconds=59))
        assert (await api.step(holder, change, "verify-current", {"code": code})).status_code == 200


async def test_one_right_code_sent_many_times_at_once_changes_the_login_once(pg_api: Api) -> None:
    holder = await pg_api.register()
    change = await pg_api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    code = {"code": await pg_api.code(NEW_EMAIL)}
    answers = await asyncio.gather(*(pg_api.step(holder, change, "confirm", code) for _ in range(4)))
    refused = [refusal(answer) for answer in answers if answer.status_code != 200]
    assert len(refused) == 3
    assert set(refused) <= {(409, "wrong_state"), (409, "code_used"), (409, "credentials_moved")}
    assert (await change_of(pg_api, holder, change))["state"] == "completed"
    assert len(await pg_api.messages(NEW_EMAIL, "credential_changed_new")) == 1


async def test_proof_is_good_for_ten_minutes(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await proven(api, holder)
        clock.shift(timedelta(minutes=9, seconds=59))
        assert (await api.step(holder, change, "new-value", {"value": NEW_EMAIL})).status_code == 200
        clock.shift(timedelta(seconds=1))
        holder = await renewed(api, holder)
        again = await api.step(holder, change, "new-value", {"value": "typo@example.org"})
        assert refusal(again) == (410, "change_expired")
        code = await api.code(NEW_EMAIL)
        assert (await api.step(holder, change, "confirm", {"code": code})).json()["state"] == "completed"


async def test_proof_that_nothing_followed_ends_the_flow(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await proven(api, holder)
        clock.shift(timedelta(minutes=10))
        holder = await renewed(api, holder)
        assert (await change_of(api, holder, change))["state"] == "expired"
        answer = await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
        assert refusal(answer) == (410, "change_expired")


@pytest.mark.parametrize("step", ["confirm", "new-value", "resend"])
async def test_flow_ends_after_thirty_minutes(api: Api, step: str) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        clock.shift(timedelta(minutes=9))
        await api.step(holder, change, "verify-current", {"code": await api.code(holder.email)})
        clock.shift(timedelta(minutes=9))
        holder = await renewed(api, holder)
        await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
        clock.shift(timedelta(minutes=8))
        await resend(api, holder, change)
        code = await api.code(NEW_EMAIL)
        clock.shift(timedelta(minutes=3, seconds=59))
        holder = await renewed(api, holder)
        assert (await change_of(api, holder, change))["state"] == "verify_new"
        clock.shift(timedelta(seconds=1))
        assert (await change_of(api, holder, change))["state"] == "expired"
        if step == "resend":
            answer = await resend(api, holder, change)
        else:
            answer = await api.step(holder, change, step, {"code": code} if step == "confirm" else {"value": "b@c.org"})
        assert refusal(answer) == (410, "change_expired")
        assert not await may_log_in(api, NEW_EMAIL)


async def test_flow_whose_time_is_over_makes_room_for_another(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        await started(api, holder)
        clock.shift(timedelta(minutes=30))
        holder = await renewed(api, holder)
        listed = await api.client.get("/v1/account/credential-changes", headers=holder.auth)
        assert listed.json()["items"] == []
        change = await started(api, holder)
        assert (await change_of(api, holder, change))["state"] == "verify_current"
