"""Changes of email, phone and password."""

from tests.catalogue import Call, case, request
from tests.support.api import PASSWORD, Api
from tests.support.changes import NEW_EMAIL, PHONE, proven, started

_CHANGES = "/v1/account/credential-changes"
_NEW = "an even longer horse battery"


@case(f"POST {_CHANGES}")
async def _(api: Api) -> Call:
    body = {"credential": "email", "proof": "current"}
    return request(api, "POST", _CHANGES, json=body, headers=(await api.register()).auth)


@case(f"GET {_CHANGES}/{{id}}")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "GET", f"{_CHANGES}/{await started(api, holder)}", headers=holder.auth)


@case(f"DELETE {_CHANGES}/{{id}}")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "DELETE", f"{_CHANGES}/{await started(api, holder)}", headers=holder.auth)


@case(f"POST {_CHANGES}/{{id}}/resend")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "POST", f"{_CHANGES}/{await started(api, holder)}/resend", headers=holder.auth)


@case(f"POST {_CHANGES}/{{id}}/verify-current")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"{_CHANGES}/{await started(api, holder)}/verify-current"
    return request(api, "POST", url, json={"code": await api.code(holder.email)}, headers=holder.auth)


@case(f"PUT {_CHANGES}/{{id}}/new-value")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"{_CHANGES}/{await proven(api, holder)}/new-value"
    return request(api, "PUT", url, json={"value": NEW_EMAIL}, headers=holder.auth)


@case(f"POST {_CHANGES}/{{id}}/confirm")
async def _(api: Api) -> Call:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    url = f"{_CHANGES}/{change}/confirm"
    return request(api, "POST", url, json={"code": await api.code(NEW_EMAIL)}, headers=holder.auth)


@case(f"POST {_CHANGES}/{{id}}/confirm of a lost contact")
async def _(api: Api) -> Call:
    holder = await api.register(phone=PHONE)
    change = (await api.start(holder, "email", "other")).json()["id"]
    await api.step(holder, change, "verify-current", {"code": await api.code(PHONE)})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    url = f"{_CHANGES}/{change}/confirm"
    return request(api, "POST", url, json={"code": await api.code(NEW_EMAIL)}, headers=holder.auth)


@case("POST /v1/credential-change-reversals")
async def _(api: Api) -> Call:
    holder = await api.register()
    await api.change_email(holder, NEW_EMAIL)
    token = {"token": await api.token(holder.email)}
    return request(api, "POST", "/v1/credential-change-reversals", json=token)


@case("PUT /v1/account/password")
async def _(api: Api) -> Call:
    body = {"current_password": PASSWORD, "new_password": _NEW}
    return request(api, "PUT", "/v1/account/password", json=body, headers=(await api.register()).auth)


@case("PUT /v1/account/password, the first one")
async def _(api: Api) -> Call:
    holder = await api.register(password=None)
    asked = await api.client.post("/v1/account/password-codes", json={"credential": "email"}, headers=holder.auth)
    code = await api.code(holder.email)
    body = {"challenge_id": asked.json()["challenge_id"], "code": code, "new_password": _NEW}
    return request(api, "PUT", "/v1/account/password", json=body, headers=holder.auth)


@case("POST /v1/account/password-codes")
async def _(api: Api) -> Call:
    holder = await api.register(password=None)
    return request(api, "POST", "/v1/account/password-codes", json={"credential": "email"}, headers=holder.auth)


@case("POST /v1/password-resets")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "POST", "/v1/password-resets", json={"identifier": holder.email})


@case("POST /v1/password-resets/{id}/confirm")
async def _(api: Api) -> Call:
    holder = await api.register()
    reset = (await api.client.post("/v1/password-resets", json={"identifier": holder.email})).json()["id"]
    body = {"code": await api.code(holder.email), "new_password": _NEW}
    return request(api, "POST", f"/v1/password-resets/{reset}/confirm", json=body)
