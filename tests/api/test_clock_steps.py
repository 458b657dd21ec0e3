"""A clock that is set an hour forward or back under a running service: who is in stays in, logins and codes work."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine

from app.core.clock import now
from tests.support.api import Api

STEPS = [timedelta(hours=1), timedelta(hours=-1)]
pytestmark = pytest.mark.parametrize("step", STEPS, ids=["forward", "back"])


@contextmanager
def stepped(step: timedelta) -> Iterator[None]:
    with time_machine.travel(now() + step, tick=True):
        yield


async def profile_status(api: Api, tokens: dict[str, str]) -> int:
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    return (await api.client.get("/v1/account/profile", headers=headers)).status_code


async def refreshed(api: Api, tokens: dict[str, str]) -> dict[str, str]:
    answer = await api.client.post("/v1/sessions/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_who_is_logged_in_stays_so(api: Api, step: timedelta) -> None:
    """An access token of ten minutes is over when the clock goes an hour forward; a refresh gives another."""
    holder = await api.register()
    tokens = {"access_token": holder.access_token, "refresh_token": holder.refresh_token}
    with stepped(step):
        assert await profile_status(api, tokens) == (401 if step > timedelta() else 200)
        tokens = await refreshed(api, tokens)
        assert await profile_status(api, tokens) == 200
    assert await profile_status(api, tokens) == (200 if step > timedelta() else 401)
    assert await profile_status(api, await refreshed(api, tokens)) == 200


async def test_login_and_registration_work_at_once_and_when_it_is_set_right_again(api: Api, step: timedelta) -> None:
    holder = await api.register()
    with stepped(step):
        during = await api.register()
        await api.log_in(holder)
    await api.log_in(holder)
    await api.log_in(during)
    await api.register()


async def test_its_keys_sign_whatever_the_clock_says(api: Api, step: timedelta) -> None:
    with stepped(step):
        await api.container.keys.reload()
        checks = (await api.client.get("/readyz")).json()["checks"]

        assert [name for name, holds in checks.items() if not holds and name != "clock"] == []


async def test_a_code_that_was_on_its_way_goes_out_or_is_past_its_time(api: Api, step: timedelta) -> None:
    """Set back, it goes out at once, since its first attempt waits for nothing; set forward, it is asked for anew."""
    body = {"username": "li.lei", "email": "li@example.com", "company_name": "Northwind Trading"}
    await api.client.post("/v1/registrations", json=body)
    with stepped(step):
        sent = [message.to for message in await api.deliver()]

    assert sent == (["li@example.com"] if step < timedelta() else [])


@pytest.mark.settings(anonymous_requests_per_minute=1)
async def test_a_refused_address_is_let_in_again(api: Api, step: timedelta) -> None:
    """Set back, so much later as it was set back; set forward, at once."""
    path = "/v1/usernames/anybody"
    assert [(await api.client.get(path)).status_code for _ in range(2)] == [200, 429]
    with stepped(step):
        assert (await api.client.get(path)).status_code == (429 if step < timedelta() else 200)
    with stepped(step + timedelta(hours=1, minutes=1)):
        assert (await api.client.get(path)).status_code == 200
