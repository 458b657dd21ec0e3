"""What holders do with their accounts, sessions and names."""

from tests.catalogue import Call, case, request
from tests.support.api import PASSWORD, Api
from tests.support.real_names import enterprise, submitted


def _registration(api: Api) -> dict[str, str]:
    name = api.name()
    email = f"{name}@example.com"
    return {"username": name, "email": email, "company_name": "Northwind Trading", "password": PASSWORD}


@case("POST /v1/registrations")
async def _(api: Api) -> Call:
    return request(api, "POST", "/v1/registrations", json=_registration(api))


@case("POST /v1/registrations with an idempotency key")
async def _(api: Api) -> Call:
    headers = {"Idempotency-Key": '"k-1"'}
    return request(api, "POST", "/v1/registrations", json=_registration(api), headers=headers)


@case("POST /v1/registrations/{id}/resend")
async def _(api: Api) -> Call:
    started = await api.client.post("/v1/registrations", json=_registration(api))
    return request(api, "POST", f"/v1/registrations/{started.json()['id']}/resend")


@case("POST /v1/registrations/{id}/confirm")
async def _(api: Api) -> Call:
    body = _registration(api)
    started = await api.client.post("/v1/registrations", json=body)
    code = {"code": await api.code(body["email"])}
    return request(api, "POST", f"/v1/registrations/{started.json()['id']}/confirm", json=code)


@case("GET /v1/usernames/{username}")
async def _(api: Api) -> Call:
    return request(api, "GET", "/v1/usernames/acme")


@case("POST /v1/account/closure")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "POST", "/v1/account/closure", headers=holder.auth)


@case("POST /v1/login-codes")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "POST", "/v1/login-codes", json={"identifier": holder.username})


@case("POST /v1/sessions by password")
async def _(api: Api) -> Call:
    holder = await api.register()
    body = {"method": "password", "identifier": holder.username, "password": PASSWORD}
    return request(api, "POST", "/v1/sessions", json=body)


@case("POST /v1/sessions by code")
async def _(api: Api) -> Call:
    holder = await api.register()
    asked = await api.client.post("/v1/login-codes", json={"identifier": holder.username})
    body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}
    return request(api, "POST", "/v1/sessions", json=body)


@case("POST /v1/sessions/refresh")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "POST", "/v1/sessions/refresh", json={"refresh_token": holder.refresh_token})


@case("DELETE /v1/sessions")
async def _(api: Api) -> Call:
    holder = await api.register()
    await api.log_in(holder)
    return request(api, "DELETE", "/v1/sessions", headers=holder.auth)


@case("DELETE /v1/sessions/current")
async def _(api: Api) -> Call:
    return request(api, "DELETE", "/v1/sessions/current", headers=(await api.register()).auth)


@case("DELETE /v1/sessions/{id}")
async def _(api: Api) -> Call:
    holder = await api.register()
    other = await api.log_in(holder)
    return request(api, "DELETE", f"/v1/sessions/{other.session_id}", headers=holder.auth)


@case("PATCH /v1/account/profile")
async def _(api: Api) -> Call:
    headers = {**(await api.register()).auth, "If-Match": "*"}
    return request(api, "PATCH", "/v1/account/profile", json={"contact_name": "Li Lei"}, headers=headers)


@case("POST /v1/account/real-name/submissions")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "POST", "/v1/account/real-name/submissions", json=enterprise(), headers=holder.auth)


@case("DELETE /v1/account/real-name/submissions/{id}")
async def _(api: Api) -> Call:
    holder = await api.register()
    submission = await submitted(api, holder, enterprise())
    return request(api, "DELETE", f"/v1/account/real-name/submissions/{submission}", headers=holder.auth)


def _reads(path: str) -> None:
    @case(f"GET {path}")
    async def _(api: Api) -> Call:
        return request(api, "GET", path, headers=(await api.register()).auth)


for _path in (
    "/v1/account",
    "/v1/account/profile",
    "/v1/account/security",
    "/v1/account/activity",
    "/v1/account/credential-changes",
    "/v1/account/real-name",
    "/v1/account/real-name/submissions",
    "/v1/account/cloud-accounts",
    "/v1/account/workspaces",
    "/v1/sessions",
    "/v1/industries",
    "/v1/regions",
    "/livez",
    "/readyz",
    "/metrics",
    "/.well-known/jwks.json",
    "/dev/messages",
    "/internal/openapi.json",
    "/internal/docs",
    "/openapi.json",
    "/docs",
):
    _reads(_path)
