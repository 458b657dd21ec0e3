"""Login codes: how often they are sent, how long they live, how often they may be guessed, who can lock out whom."""

from datetime import timedelta

import httpx
import pytest
import time_machine

from app.core.clock import now
from tests.support.api import Api, Holder, calling_from

PHONE = "+8613800138000"
STRANGER = "203.0.113.9"
A_DAY = timedelta(days=1)


async def ask(api: Api, identifier: str) -> httpx.Response:
    return await api.client.post("/v1/login-codes", json={"identifier": identifier})


async def challenge(api: Api, identifier: str) -> str:
    answer = await ask(api, identifier)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["challenge_id"])


async def enter(api: Api, challenge_id: str, code: str) -> httpx.Response:
    body = {"method": "code", "challenge_id": challenge_id, "code": code}
    return await api.client.post("/v1/sessions", json=body)


def not_the(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# Sending


async def test_a_login_code_logs_in_once(api: Api) -> None:
    holder = await api.register()
    asked = await challenge(api, holder.email)
    code = await api.code(holder.email)

    assert (await enter(api, asked, code)).status_code == 201
    assert problem(await enter(api, asked, code)) == (409, "code_used")


async def test_a_code_goes_to_the_phone_only_when_the_phone_was_typed(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    for typed in ("138 0013 8000", holder.username, holder.email):
        await challenge(api, typed)
    sent = sorted((one.channel, one.to) for one in await api.deliver() if one.template == "login_code")

    assert sent == [("email", holder.email), ("email", holder.email), ("sms", PHONE)]


@pytest.mark.settings(code_resend_seconds=60)
async def test_the_next_code_has_to_wait_for_a_minute(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False) as clock:
        asked = (await ask(api, holder.email)).json()
        clock.shift(20)
        too_soon = await ask(api, holder.email)
        clock.shift(40)
        later = await ask(api, holder.email)
        begun = now() - timedelta(seconds=60)

    assert problem(too_soon) == (429, "resend_too_soon")
    assert too_soon.headers["Retry-After"] == "40"
    assert too_soon.headers["RateLimit-Policy"] == '"gap";q=1;w=60'
    assert too_soon.headers["RateLimit"] == '"gap";r=0;t=40'
    assert asked["resend_at"] == f"{(begun + timedelta(seconds=60)).isoformat(timespec='milliseconds')[:-6]}Z"
    assert later.status_code == 202


@pytest.mark.settings(daily_sends_per_target=3)
async def test_an_identifier_has_so_many_codes_a_day(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(3):
            await challenge(api, holder.email)
        refused = await ask(api, holder.email)
        assert problem(refused) == (429, "too_many_sends")
        assert refused.headers["Retry-After"] == "86400"
        clock.shift(A_DAY)
        await challenge(api, holder.email)


@pytest.mark.settings(daily_sends_per_target=3)
async def test_another_identifier_of_the_same_account_is_answered_but_sends_nothing_more(api: Api) -> None:
    holder = await api.register()
    for _ in range(3):
        last = await ask(api, holder.email)
    before = await api.messages(holder.email, "login_code")
    silent = await ask(api, holder.username)

    assert silent.status_code == 202
    assert silent.json().keys() == last.json().keys()
    assert await api.messages(holder.email, "login_code") == before


@pytest.mark.settings(hourly_sends_per_ip=2)
async def test_an_address_sends_so_many_messages_an_hour(api: Api) -> None:
    async with calling_from(api, STRANGER) as stranger, calling_from(api, "203.0.113.10") as another:
        with time_machine.travel(now(), tick=False) as clock:
            for name in ("one@example.com", "two@example.com"):
                await challenge(stranger, name)
            refused = await ask(stranger, "three@example.com")
            assert problem(refused) == (429, "too_many_sends")
            assert refused.headers["Retry-After"] == "3600"
            await challenge(another, "three@example.com")
            clock.shift(3600)
            await challenge(stranger, "three@example.com")


@pytest.mark.settings(hourly_sms_per_ip=1)
async def test_an_address_sends_so_many_text_messages_an_hour(api: Api) -> None:
    await challenge(api, "+8613800138001")

    assert problem(await ask(api, "+8613800138002")) == (429, "too_many_sends")
    await challenge(api, "somebody@example.com")


@pytest.mark.settings(daily_sms_per_dial_code=1)
async def test_a_dial_code_gets_so_many_text_messages_a_day(api: Api) -> None:
    async with calling_from(api, STRANGER) as stranger:
        await challenge(api, "+8613800138001")

        assert problem(await ask(stranger, "+8613800138002")) == (429, "too_many_sends")
        await challenge(stranger, "+6591234567")


# Life


@pytest.mark.parametrize(("seconds", "status"), [(599, 201), (600, 410)])
async def test_a_code_lives_for_ten_minutes(api: Api, seconds: int, status: int) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False) as clock:
        asked = await challenge(api, holder.email)
        code = await api.code(holder.email)
        clock.shift(seconds)

        assert (await enter(api, asked, code)).status_code == status


@pytest.mark.parametrize("by", ["username", "email"])
async def test_a_new_code_puts_the_last_one_out_of_use(api: Api, by: str) -> None:
    holder = await api.register()
    first = await challenge(api, holder.email)
    code = await api.code(holder.email)
    await challenge(api, {"username": holder.username, "email": holder.email}[by])

    assert problem(await enter(api, first, code)) == (409, "code_used")


async def test_a_code_for_something_else_leaves_the_login_code_alone(api: Api) -> None:
    holder = await api.register()
    asked = await challenge(api, holder.email)
    code = await api.code(holder.email)
    await api.client.post("/v1/password-resets", json={"identifier": holder.email})

    assert (await enter(api, asked, code)).status_code == 201


async def test_a_code_is_good_for_its_own_challenge_only(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    asked, code = await challenge(api, holder.email), await api.code(holder.email)
    others = await challenge(api, other.email)

    assert problem(await enter(api, others, code)) == (422, "wrong_code")
    assert (await enter(api, asked, code)).status_code == 201


# Guessing


async def test_after_five_wrong_guesses_the_code_itself_is_refused(api: Api) -> None:
    holder = await api.register()
    asked = await challenge(api, holder.email)
    code = await api.code(holder.email)
    left = []
    for _ in range(5):
        wrong = await enter(api, asked, not_the(code))
        assert problem(wrong) == (422, "wrong_code")
        left.append(wrong.json()["tries_left"])

    assert left == [4, 3, 2, 1, 0]
    assert problem(await enter(api, asked, code)) == (429, "too_many_tries")


async def use_up_tries(api: Api, holder: Holder) -> None:
    """The wrong guesses of a day, on as many codes as it takes."""
    for _ in range(api.settings.daily_tries // api.settings.code_tries):
        asked = await challenge(api, holder.email)
        code = await api.code(holder.email)
        for _ in range(api.settings.code_tries):
            assert problem(await enter(api, asked, not_the(code))) == (422, "wrong_code")


async def test_twenty_wrong_guesses_a_day_outlive_every_new_code(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False) as clock:
        await use_up_tries(api, holder)
        asked = await challenge(api, holder.username)
        refused = await enter(api, asked, await api.code(holder.email))
        assert problem(refused) == (429, "too_many_tries")
        clock.shift(int(refused.headers["Retry-After"]))
        asked = await challenge(api, holder.username)

        assert (await enter(api, asked, await api.code(holder.email))).status_code == 201


async def test_the_guesses_of_login_and_reset_are_counted_together(api: Api) -> None:
    holder = await api.register()
    await use_up_tries(api, holder)
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.email})).json()["id"]
    body = {"code": await api.code(holder.email), "new_password": "another long passphrase"}
    answer = await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)

    assert problem(answer) == (429, "too_many_tries")


@pytest.mark.settings(daily_sends_per_target=100)
async def test_right_codes_use_no_guesses_up(api: Api) -> None:
    holder = await api.register()
    for _ in range(api.settings.daily_tries + 1):
        asked = await challenge(api, holder.email)
        assert (await enter(api, asked, await api.code(holder.email))).status_code == 201


async def test_a_year_of_guessing_succeeds_with_less_than_one_percent(api: Api) -> None:
    """A stranger takes every code that can be had, by every identifier and for login and reset, and guesses all day."""
    holder, days, compared = await api.register(phone=PHONE), 4, 0
    with time_machine.travel(now(), tick=False) as clock:
        for day in range(days):
            async with calling_from(api, f"203.0.113.{day}") as stranger:
                compared += await guess_all_day(stranger, (holder.username, holder.email, PHONE))
            clock.shift(A_DAY)

    assert compared == days * api.settings.daily_tries
    assert compared / days * 365 / 10**6 < 0.01


async def guess_all_day(stranger: Api, identifiers: tuple[str, ...]) -> int:
    """How many guesses were compared with a code."""
    compared = 0
    for identifier in identifiers:
        while (asked := await ask(stranger, identifier)).status_code == 202:
            while (await enter(stranger, asked.json()["challenge_id"], "000000")).status_code == 422:
                compared += 1
            reset = await stranger.client.post("/v1/password-resets", json={"identifier": identifier})
            if reset.status_code != 202:
                break
            url = f"/v1/password-resets/{reset.json()['id']}/confirm"
            body = {"code": "000000", "new_password": "another long passphrase"}
            while (await stranger.client.post(url, json=body)).status_code == 422:
                compared += 1
    return compared


# Locking out


async def shut_the_door(api: Api, holder: Holder) -> None:
    """A stranger uses up all that anybody may do to the account: guesses and messages."""
    async with calling_from(api, STRANGER) as stranger:
        await use_up_tries(stranger, holder)
        for identifier in (holder.email, holder.username):
            while (await ask(stranger, identifier)).status_code == 202:
                pass


async def test_a_stranger_cannot_lock_out_the_holder_from_an_address_with_an_earlier_session(api: Api) -> None:
    holder = await api.register()
    await shut_the_door(api, holder)
    before = len(await api.messages(holder.email, "login_code"))
    asked = await challenge(api, holder.email)

    assert len(await api.messages(holder.email, "login_code")) == before + 1
    assert (await enter(api, asked, await api.code(holder.email))).status_code == 201


async def test_a_stranger_can_shut_other_addresses_for_a_day_and_no_longer(api: Api) -> None:
    holder = await api.register()
    async with calling_from(api, "198.51.100.7") as travelling:
        with time_machine.travel(now(), tick=False) as clock:
            await shut_the_door(api, holder)
            assert problem(await ask(travelling, holder.email)) == (429, "too_many_sends")
            clock.shift(A_DAY)
            asked = await challenge(travelling, holder.email)

            assert (await enter(travelling, asked, await api.code(holder.email))).status_code == 201


async def test_an_address_is_known_for_ninety_days_after_a_login(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now() + timedelta(days=91), tick=False):
        await shut_the_door(api, holder)

        assert problem(await ask(api, holder.email)) == (429, "too_many_sends")
