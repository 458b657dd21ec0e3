"""The documented journey, end to end."""

from tests.support.api import Api


async def test_a_holder_registers_changes_everything_and_sees_it_under_activity(api: Api) -> None:
    holder = await api.register(phone="+8613800138000")
    for identifier in (holder.username.upper(), holder.email, "138 0013 8000"):
        await api.log_in(holder, identifier=identifier)

    done = await api.change_email(holder, "new@example.org")
    assert done.json()["state"] == "completed"
    refused = await api.client.post(
        "/v1/sessions", json={"method": "password", "identifier": holder.email, "password": holder.password}
    )
    assert refused.json()["code"] == "invalid_credentials"
    await api.log_in(holder, identifier="new@example.org")

    change = await api.reach_confirm(holder, "+8613900139000", credential="phone", proves="+8613800138000")
    await api.step(holder, change, "confirm", {"code": await api.code("+8613900139000")})
    await api.log_in(holder, identifier="+8613900139000")

    new_password = "another long passphrase"
    changed = await api.client.put(
        "/v1/account/password",
        json={"current_password": holder.password, "new_password": new_password},
        headers=holder.auth,
    )
    assert changed.status_code == 204
    await api.log_in(holder, password=new_password)

    activity = await api.client.get("/v1/account/activity?limit=100", headers=holder.auth)
    actions = {entry["action"] for entry in activity.json()["items"]}
    assert actions >= {"account.registered", "session.started", "email.changed", "phone.changed", "password.changed"}
