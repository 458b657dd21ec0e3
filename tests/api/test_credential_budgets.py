"""How many tries and sends a credential change has, and what outlives it."""

from datetime import timedelta

import pytest

from app.core.clock import now
from tests.support.api import (
    Api,
    Holder,
    calling_from,
    cancel,
    change_of,
    frozen,
    may_log_in,
    refusal,
    renewed,
    resend,
    wrong,
)
from tests.support.changes import (
    EMAIL_CASE,
    NEW_EMAIL,
    completed,
    proven,
    shown,
    started,
)


async def guess(api: Api, holder: Holder, change: str, step: str, code: str, *, times: int) -> list[tuple[int, str]]:
    return [refusal(await api.step(holder, change, step, {"code": code})) for _ in range(times)]


WRONG, SPENT = (422, "wrong_code"), (429, "too_many_tries")


async def test_wrong_code_is_counted_even_though_the_request_fails(api: Api) -> None:
    holder = await api.register()
    change = await started(api, holder)
    code = wrong(await api.code(holder.email))
    left = []
    for _ in range(5):
        answer = await api.step(holder, change, "verify-current", {"code": code})
        assert refusal(answer) == WRONG
        left.append((answer.json()["tries_left"], (await change_of(api, holder, change))["tries_left"]))
    assert left == [(4, 4), (3, 3), (2, 2), (1, 1), (0, 0)]


@pytest.mark.parametrize("step", ["verify-current", "confirm"])
async def test_right_code_is_refused_after_five_wrong_ones_until_another_is_sent(api: Api, step: str) -> None:
    with frozen():
        holder = await api.register()
        target = holder.email
        if step == "verify-current":
            change = await started(api, holder)
        else:
            target = NEW_EMAIL
            change = await api.reach_confirm(holder, target, proves=holder.email)
        code = await api.code(target)
        assert await guess(api, holder, change, step, wrong(code), times=5) == [WRONG] * 5
        refused = await api.step(holder, change, step, {"code": code})
        assert refusal(refused) == SPENT
        assert refused.headers["Retry-After"] == "600"  # the life of the code
        assert (await resend(api, holder, change)).json()["tries_left"] == 5
        answer = await api.step(holder, change, step, {"code": await api.code(target)})
        assert answer.status_code == 200


async def test_ten_wrong_codes_over_both_steps_end_the_flow(api: Api) -> None:
    holder = await api.register()
    change = await started(api, holder)
    code = await api.code(holder.email)
    assert await guess(api, holder, change, "verify-current", wrong(code), times=4) == [WRONG] * 4
    await api.step(holder, change, "verify-current", {"code": code})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    code = await api.code(NEW_EMAIL)
    assert await guess(api, holder, change, "confirm", wrong(code), times=3) == [WRONG] * 3
    assert (await resend(api, holder, change)).json()["tries_left"] == 3
    code = await api.code(NEW_EMAIL)
    assert await guess(api, holder, change, "confirm", wrong(code), times=3) == [WRONG] * 3
    assert (await guess(api, holder, change, "confirm", code, times=1)) == [SPENT]
    assert (await change_of(api, holder, change))["state"] == "expired"
    assert not await may_log_in(api, NEW_EMAIL)
    listed = await api.client.get("/v1/account/credential-changes", headers=holder.auth)
    assert listed.json()["items"] == []
    await started(api, holder)  # it makes room


@pytest.mark.parametrize("step", ["resend", "new-value"])
async def test_flow_without_tries_sends_no_more_codes(api: Api, step: str) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await guess(api, holder, change, "confirm", wrong(await api.code(NEW_EMAIL)), times=5)
    await resend(api, holder, change)
    await guess(api, holder, change, "confirm", wrong(await api.code(NEW_EMAIL)), times=5)
    if step == "resend":
        answer = await resend(api, holder, change)
    else:
        answer = await api.step(holder, change, step, {"value": "b@example.org"})
    assert refusal(answer) == (410, "change_expired")


@pytest.mark.settings(daily_tries=6)
@pytest.mark.parametrize("step", ["verify-current", "confirm"])
async def test_daily_tries_of_an_account_outlive_its_flows(api: Api, step: str) -> None:
    holder = await api.register()

    async def reach(target: str) -> tuple[str, str]:
        if step == "verify-current":
            return await started(api, holder), await api.code(holder.email)
        return await api.reach_confirm(holder, target, proves=holder.email), await api.code(target)

    with frozen() as clock:
        holder = await renewed(api, holder)
        change, code = await reach("first@example.org")
        assert await guess(api, holder, change, step, wrong(code), times=4) == [WRONG] * 4
        await cancel(api, holder, change)
        clock.shift(timedelta(hours=1))
        holder = await renewed(api, holder)
        change, code = await reach("second@example.org")
        assert await guess(api, holder, change, step, wrong(code), times=2) == [WRONG] * 2
        refused = await api.step(holder, change, step, {"code": code})
        assert refusal(refused) == SPENT
        assert refused.headers["Retry-After"] == str(23 * 3600)
        clock.shift(timedelta(hours=23))
        holder = await renewed(api, holder)
        change, code = await reach("third@example.org")
        assert (await api.step(holder, change, step, {"code": code})).status_code == 200


@pytest.mark.settings(daily_tries=3)
async def test_right_codes_do_not_use_up_the_daily_tries(api: Api) -> None:
    holder = await api.register()
    for _ in range(5):
        change = await proven(api, holder)
        await cancel(api, holder, change)


@pytest.mark.settings(daily_tries=3)
async def test_guesses_of_strangers_do_not_use_up_the_tries_of_the_session(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    async with calling_from(api, "203.0.113.9") as elsewhere:
        asked = await elsewhere.client.post("/v1/login-codes", json={"identifier": holder.email})
        entry = {"method": "code", "challenge_id": asked.json()["challenge_id"]}
        code = wrong(await api.code(holder.email))
        guesses = [await elsewhere.client.post("/v1/sessions", json=entry | {"code": code}) for _ in range(5)]
    assert refusal(guesses[-1]) == SPENT
    claim = await api.reach_confirm(stranger, holder.email, proves=stranger.email)
    code = wrong(await api.code(holder.email))
    assert (await guess(api, stranger, claim, "confirm", code, times=5))[-1] == SPENT
    await completed(api, holder, EMAIL_CASE)


@pytest.mark.settings(code_resend_seconds=60)
async def test_codes_are_sent_a_minute_apart(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        change = await started(api, holder)
        clock.shift(59)
        early = await resend(api, holder, change)
        assert (refusal(early), early.headers["Retry-After"]) == ((429, "resend_too_soon"), "1")
        clock.shift(1)
        sent = await resend(api, holder, change)
        assert sent.json()["resend_at"] == shown(now() + timedelta(seconds=60))
        assert len(await api.messages(holder.email, "change_current_code")) == 2


@pytest.mark.settings(code_resend_seconds=60)
async def test_flow_that_follows_a_cancelled_one_keeps_the_minute(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        await cancel(api, holder, await started(api, holder))
        assert refusal(await api.start(holder)) == (429, "resend_too_soon")
        clock.shift(60)
        await started(api, holder)


async def test_flow_sends_five_codes_over_both_steps(api: Api) -> None:
    with frozen():
        holder = await api.register()
        change = await started(api, holder)
        await resend(api, holder, change)
        await api.step(holder, change, "verify-current", {"code": await api.code(holder.email)})
        await api.step(holder, change, "new-value", {"value": "tpyo@example.org"})
        await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
        assert (await resend(api, holder, change)).status_code == 200
        code = await api.code(NEW_EMAIL)
        again = await resend(api, holder, change)
        assert (refusal(again), again.headers["Retry-After"]) == ((429, "too_many_sends"), "1800")
        another = await api.step(holder, change, "new-value", {"value": "b@example.org"})
        assert refusal(another) == (429, "too_many_sends")
        assert (await api.step(holder, change, "confirm", {"code": code})).json()["state"] == "completed"


@pytest.mark.settings(daily_sends_per_target=3)
async def test_daily_sends_to_a_contact_outlive_a_flow(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        for _ in range(3):
            await cancel(api, holder, await started(api, holder))
        refused = await api.start(holder)
        assert (refusal(refused), refused.headers["Retry-After"]) == ((429, "too_many_sends"), "86400")
        clock.shift(timedelta(days=1))
        await started(api, await renewed(api, holder))


@pytest.mark.settings(daily_sends_per_target=3)
async def test_strangers_who_propose_a_contact_do_not_stop_its_holder(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    change = await proven(api, stranger)
    proposals = [await api.step(stranger, change, "new-value", {"value": holder.email}) for _ in range(4)]
    assert refusal(proposals[-1]) == (429, "too_many_sends")
    await completed(api, holder, EMAIL_CASE)
