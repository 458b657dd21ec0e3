"""Failed password logins slow down the next ones; who is slowed by whom."""

from datetime import timedelta

import httpx
import pytest
import time_machine
from sqlalchemy import select

from app.core.clock import now
from app.models.throttles import LoginThrottle
from tests.support.api import PASSWORD, Api, calling_from

STRANGER = "203.0.113.9"


async def log_in(api: Api, identifier: str, password: str = "a guess") -> httpx.Response:
    body = {"method": "password", "identifier": identifier, "password": password}
    return await api.client.post("/v1/sessions", json=body)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def fail(api: Api, identifier: str, times: int = 5) -> None:
    """So many failures that are looked at."""
    for _ in range(times):
        assert problem(await log_in(api, identifier)) == (401, "invalid_credentials")


async def waits(api: Api, identifier: str, clock: time_machine.Traveller, times: int) -> list[int]:
    """The waiting times that follow, each served and followed by another failure."""
    found = []
    for _ in range(times):
        slowed = await log_in(api, identifier)
        assert problem(slowed) == (429, "login_slowed")
        found.append(int(slowed.headers["Retry-After"]))
        clock.shift(found[-1])
        await fail(api, identifier, 1)
    return found


@pytest.mark.parametrize("known", [True, False])
async def test_after_five_failures_each_doubles_the_wait_whether_anybody_has_the_identifier_or_not(
    api: Api, known: bool
) -> None:
    holder = await api.register()
    identifier = holder.username if known else "nobody"
    with time_machine.travel(now(), tick=False) as clock:
        await fail(api, identifier)

        assert await waits(api, identifier, clock, 5) == [1, 2, 4, 8, 16]


@pytest.mark.settings(login_delay_max_seconds=5)
async def test_the_wait_has_a_longest(api: Api) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        await fail(api, "nobody")

        assert await waits(api, "nobody", clock, 5) == [1, 2, 4, 5, 5]


async def test_the_wait_says_which_limit_it_is(api: Api) -> None:
    with time_machine.travel(now(), tick=False):
        await fail(api, "nobody")
        slowed = await log_in(api, "nobody")

    assert slowed.headers["RateLimit-Policy"] == '"login-failures";q=5;w=900'
    assert slowed.headers["RateLimit"] == '"login-failures";r=0;t=1'


async def test_the_right_password_too_early_is_not_looked_at(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False) as clock:
        await fail(api, holder.username)
        assert problem(await log_in(api, holder.username, PASSWORD)) == (429, "login_slowed")
        clock.shift(1)

        assert (await log_in(api, holder.username, PASSWORD)).status_code == 201


async def test_coming_too_early_does_not_lengthen_the_wait(api: Api) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        await fail(api, "nobody", 5)
        for _ in range(5):
            await log_in(api, "nobody")
        clock.shift(1)

        await fail(api, "nobody", 1)


@pytest.mark.parametrize("by", ["username", "email"])
async def test_a_success_forgets_the_failures_of_every_identifier(api: Api, by: str) -> None:
    holder = await api.register()
    identifier = {"username": holder.username, "email": holder.email}[by]
    with time_machine.travel(now(), tick=False):
        await fail(api, holder.username, 4)
        assert (await log_in(api, identifier, PASSWORD)).status_code == 201
        await fail(api, holder.username, 5)

        assert problem(await log_in(api, holder.username)) == (429, "login_slowed")


async def test_a_day_without_a_failure_forgets_them(api: Api) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        await fail(api, "nobody", 4)
        clock.shift(timedelta(days=1))

        await fail(api, "nobody", 5)


async def test_one_identifier_is_slowed_alone(api: Api) -> None:
    with time_machine.travel(now(), tick=False):
        await fail(api, "nobody")

        await fail(api, "anybody", 1)


async def test_an_identifier_is_the_same_however_it_is_typed(api: Api) -> None:
    with time_machine.travel(now(), tick=False):
        for typed in ("13800138000", "138 0013 8000", "+8613800138000", "+86 138-0013-8000", " 13800138000"):
            await fail(api, typed, 1)

        assert problem(await log_in(api, "１３８００１３８０００")) == (429, "login_slowed")


async def test_a_stranger_does_not_slow_the_holder_at_a_known_address(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False):
        async with calling_from(api, STRANGER) as stranger:
            await fail(stranger, holder.username)
            assert problem(await log_in(stranger, holder.username, PASSWORD)) == (429, "login_slowed")

        assert (await log_in(api, holder.username, PASSWORD)).status_code == 201


async def test_changing_the_address_does_not_help_a_stranger(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False):
        for number in range(5):
            async with calling_from(api, f"203.0.113.{number}") as stranger:
                await fail(stranger, holder.username, 1)
        async with calling_from(api, STRANGER) as stranger:
            assert problem(await log_in(stranger, holder.username)) == (429, "login_slowed")


async def test_a_code_login_forgets_the_failures(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now(), tick=False):
        await fail(api, holder.username)
        asked = await api.client.post("/v1/login-codes", json={"identifier": holder.email})
        body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}
        assert (await api.client.post("/v1/sessions", json=body)).status_code == 201

        assert (await log_in(api, holder.username, PASSWORD)).status_code == 201


async def test_a_reset_forgets_the_failures(api: Api) -> None:
    holder, new = await api.register(), "another long passphrase"
    with time_machine.travel(now(), tick=False):
        await fail(api, holder.username)
        reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.email})).json()["id"]
        body = {"code": await api.code(holder.email), "new_password": new}
        assert (await api.client.post(f"/v1/password-resets/{reset}/confirm", json=body)).status_code == 204

        assert (await log_in(api, holder.username, new)).status_code == 201


async def test_failures_of_an_account_do_not_wear_off_and_names_that_nobody_has_are_forgotten_in_a_day(
    api: Api,
) -> None:
    holder = await api.register()
    await fail(api, holder.username, times=1)
    await fail(api, "nobody_here", times=1)

    async with api.container.engine.connect() as connection:
        ends = (await connection.scalars(select(LoginThrottle.expires_at))).all()
    in_two_days = now() + timedelta(days=2)
    assert [end > in_two_days for end in sorted(ends)] == [False, False, False, True]


async def test_a_failure_that_a_faster_clock_counted_slows_nobody_down(api: Api) -> None:
    with time_machine.travel(now() + timedelta(minutes=4)):
        await fail(api, "somebody", 1)

    await fail(api, "somebody", 1)
