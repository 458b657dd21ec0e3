"""Real-name authentication as a test needs it: documents that are right, submitting them, and the invoicing gate."""

from typing import Any

import httpx

from tests.support.api import Api, Holder
from tests.support.services import ServiceClient

CREDIT_CODE, OTHER_CREDIT_CODE = "91350100M000100Y43", "91110000600037341L"
ID_NUMBER, OTHER_ID_NUMBER = "11010519491231002X", "360426199101010071"


def enterprise(name: str = "Acme Ltd.", number: str = CREDIT_CODE, **members: Any) -> dict[str, Any]:
    """The body of an enterprise's submission. The sandbox provider goes by the ending of the name."""
    return {"type": "enterprise", "name": name, "registration_number": number, **members}


def individual(name: str = "张三", number: str = ID_NUMBER, **members: Any) -> dict[str, Any]:
    """The body of a person's submission."""
    return {"type": "individual", "name": name, "id_number": number, **members}


async def submit(api: Api, holder: Holder, body: dict[str, Any], **headers: str) -> httpx.Response:
    """The answer to a submission."""
    return await api.client.post("/v1/account/real-name/submissions", json=body, headers={**holder.auth, **headers})


async def submitted(api: Api, holder: Holder, body: dict[str, Any]) -> str:
    """Submit what is taken; the submission's id."""
    answer = await submit(api, holder, body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def withdraw(api: Api, holder: Holder, submission: str) -> httpx.Response:
    return await api.client.delete(f"/v1/account/real-name/submissions/{submission}", headers=holder.auth)


async def ask(api: Api) -> int:
    """Let the worker ask the providers about all that is due; how many submissions."""
    asked = 0
    while found := await api.container.real_name_worker.ask_due():
        asked += found
    return asked


async def decided(api: Api, holder: Holder, body: dict[str, Any]) -> str:
    """Submit, and let the provider answer; the submission's id."""
    submission = await submitted(api, holder, body)
    await ask(api)
    return submission


async def status(api: Api, holder: Holder, language: str = "en") -> dict[str, Any]:
    """How far real-name authentication is, as the holder sees it."""
    answer = await api.client.get("/v1/account/real-name", headers={**holder.auth, "Accept-Language": language})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def gate(service: ServiceClient, holder: Holder) -> dict[str, Any]:
    """What the invoice service is told."""
    answer = await service.get(f"/accounts/{holder.account_id}/invoicing")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown
