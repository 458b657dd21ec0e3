"""A waiting change that something else ends: whoever was told of it is told that it will not happen."""

from collections.abc import Awaitable, Callable

import pytest

from tests.support.api import PASSWORD, Api, Holder

PHONE = "+8613800138000"


async def waiting(api: Api) -> tuple[Holder, str]:
    """A holder whose email is to change after the wait, and the change."""
    holder = await api.register(phone=PHONE)
    change = (await api.start(holder, "email", "other")).json()["id"]
    await api.step(holder, change, "verify-current", {"code": await api.code(PHONE)})
    await api.step(holder, change, "new-value", {"value": "fresh@example.org"})
    done = await api.step(holder, change, "confirm", {"code": await api.code("fresh@example.org")})
    assert done.json()["state"] == "waiting"
    return holder, change


async def end_by_password(api: Api, holder: Holder) -> None:
    body = {"current_password": PASSWORD, "new_password": "trombone giraffe sandbox"}
    await api.client.put("/v1/account/password", json=body, headers=holder.auth)


async def end_by_another_session(api: Api, holder: Holder) -> None:
    other = await api.log_in(holder)
    await api.client.delete(f"/v1/sessions/{holder.session_id}", headers=other.auth)


@pytest.mark.parametrize("end", [end_by_password, end_by_another_session])
async def test_the_old_contact_and_the_trail_learn_that_a_waiting_change_ended(
    api: Api, end: Callable[[Api, Holder], Awaitable[None]]
) -> None:
    holder, _ = await waiting(api)

    await end(api, holder)

    assert len(await api.messages(holder.email, "credential_change_cancelled")) == 1
    trail = (await api.client.get("/v1/account/activity?limit=100", headers=await by_code(api, holder))).json()["items"]
    assert [one["actor"] for one in trail if one["action"] == "credential_change.cancelled"] == ["system"]


async def by_code(api: Api, holder: Holder) -> dict[str, str]:
    """Headers of a session that began by code, whatever became of the password."""
    asked = await api.client.post("/v1/login-codes", json={"identifier": holder.username})
    body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}
    session = await api.client.post("/v1/sessions", json=body)
    return {"Authorization": f"Bearer {session.json()['access_token']}"}
