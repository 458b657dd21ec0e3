"""Calls of Alibaba Cloud's marketplace: what is genuine, how it is refused, and customers who come in a browser."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.core.clock import now
from tests.support.api import Api, frozen, refusal
from tests.support.clouds import (
    MARKETPLACES,
    accept,
    alibaba,
    alibaba_bought,
    alibaba_lands,
    alibaba_token,
    claim_of,
    get,
    rows,
)
from tests.support.services import client
from tests.workers.test_upkeep import upkeep

INSTANCE = "122000001"
DONE = {"success": "true"}
EXPIRED, INVALID, UNKNOWN = "This link is too old", "This link is not valid", "We do not know this purchase yet"
marketplaces: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES)


async def kept(api: Api) -> list[dict[str, Any]]:
    """The newest first."""
    answer = await (await client(api)).get("/marketplace/notices")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def assert_page(answer: httpx.Response, status: int, title: str) -> None:
    """People are told by a page, which leads nowhere."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{title}</h1>" in answer.text
    assert "location" not in answer.headers


# What is genuine


@marketplaces
async def test_a_parameter_that_nobody_knows_is_signed_and_kept(api: Api) -> None:
    await alibaba_bought(api)
    given = {"skuId": "b", "package_version": "观测云 a+b", "Count": "", "z": "2"}
    assert (await alibaba(api, "upgradeInstance", instanceId=INSTANCE, **given)).json() == DONE
    assert (await kept(api))[0]["body"]["package_version"] == "观测云 a+b"


@marketplaces
@pytest.mark.parametrize("changed", [{"extra": "1"}, {"skuId": None}, {"instanceId": "122000002"}, {"token": "0" * 32}])
@pytest.mark.parametrize("action", ["createInstance", "upgradeInstance"])
async def test_what_was_not_signed_so_is_refused_in_the_providers_form_and_not_kept(
    api: Api, changed: dict[str, str | None], action: str
) -> None:
    given = {"action": action, "instanceId": INSTANCE, "skuId": "cmgj00053362-postpay"}
    forged = {**given, "token": alibaba_token(given), **changed}
    sent = {name: value for name, value in forged.items() if value is not None}

    for answer in (
        await api.client.get("/marketplace/alibaba", params=sent),
        await api.client.post("/marketplace/alibaba", data=sent),
    ):
        assert (answer.status_code, answer.json()) == (403, {"success": "false", "message": "bad token"})

    assert await rows(api, "cloud_notices", "marketplace_nonces") == {"cloud_notices": 0, "marketplace_nonces": 0}


@marketplaces
async def test_a_form_says_what_a_query_says(api: Api) -> None:
    await alibaba_bought(api)
    given = {"action": "upgradeInstance", "instanceId": INSTANCE, "skuId": "a+b c"}
    signed = {**given, "token": alibaba_token(given)}

    by_query = await api.client.get("/marketplace/alibaba", params=signed)
    by_form = await api.client.post("/marketplace/alibaba", data=signed)

    assert by_query.json() == by_form.json() == DONE
    assert [(one["type"], one["repeats"]) for one in await kept(api)] == [
        ("upgradeInstance", 1),
        ("createInstance", 0),
    ]


async def test_a_provider_without_its_key_is_not_there(api: Api) -> None:
    with frozen():
        answer = await alibaba(api, "expiredInstance", instanceId=INSTANCE)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# People in a browser


@marketplaces
async def test_a_buyer_who_logs_in_from_the_console_is_sent_on_with_a_claim(api: Api) -> None:
    holder = await api.register()
    await alibaba_bought(api)

    answer = await alibaba_lands(api, INSTANCE)

    token = claim_of(answer)
    assert answer.headers["location"].startswith(str(api.settings.spa_url))
    assert INSTANCE not in answer.headers["location"]
    shown = (await api.client.get(f"/v1/marketplace-claims/{token}")).json()
    assert (shown["provider"], shown["account_id"], shown["status"]) == ("alibaba", "********3456", "active")
    assert (await accept(api, holder, token)).status_code == 200
    (own,) = (await get(api, holder, "/cloud-accounts"))["items"]
    assert own["instance_id"] == INSTANCE


@marketplaces
async def test_a_link_is_good_once_and_a_claim_that_got_lost_is_replaced_by_another_link(api: Api) -> None:
    holder = await api.register()
    await alibaba_bought(api)
    with frozen():
        lost = claim_of(await alibaba_lands(api, INSTANCE))

        for _ in range(2):
            assert_page(await alibaba_lands(api, INSTANCE), 410, EXPIRED)

        found = claim_of(await alibaba_lands(api, INSTANCE, skew=timedelta(seconds=1)))
        assert (await rows(api, "marketplace_claims"))["marketplace_claims"] == 2
        assert (await accept(api, holder, found)).status_code == 200

    assert refusal(await api.client.get(f"/v1/marketplace-claims/{lost}")) == (410, "claim_gone")


@marketplaces
@pytest.mark.parametrize(("seconds", "status"), [(-301, 410), (-299, 303), (299, 303), (301, 410)])
async def test_a_link_is_good_within_five_minutes_of_its_time(api: Api, seconds: int, status: int) -> None:
    await alibaba_bought(api)
    with frozen():
        answer = await alibaba_lands(api, INSTANCE, skew=timedelta(seconds=seconds))
    assert answer.status_code == status
    if status == 410:
        assert_page(answer, 410, EXPIRED)


@marketplaces
async def test_a_link_does_not_become_good_again_with_time(api: Api) -> None:
    """It is remembered for as long as its signature would be taken, and forgotten only then."""
    await alibaba_bought(api)
    with frozen() as clock:
        given = {"instanceId": INSTANCE, "timeStamp": _china(299)}
        claim_of(await alibaba(api, "verify", **given))
        for step in (timedelta(seconds=297), timedelta(seconds=297), timedelta(minutes=5)):
            clock.shift(step)
            await upkeep(api).forget()
            assert_page(await alibaba(api, "verify", **given), 410, EXPIRED)


@marketplaces
@pytest.mark.parametrize(
    ("sent", "status", "title"),
    [
        ({"instanceId": "122000009"}, 404, UNKNOWN),
        ({"token": "0" * 32}, 403, INVALID),
        ({"timeStamp": "yesterday"}, 400, INVALID),
    ],
    ids=["unknown instance", "wrong token", "no time"],
)
async def test_a_person_whose_link_is_no_good_is_told_by_a_page(
    api: Api, sent: dict[str, str], status: int, title: str
) -> None:
    await alibaba_bought(api)
    given = {"action": "verify", "instanceId": INSTANCE, "timeStamp": _china(0), **sent}
    signed = {"token": alibaba_token(given), **given}
    assert_page(await api.client.get("/marketplace/alibaba", params=signed), status, title)
    assert (await rows(api, "marketplace_claims"))["marketplace_claims"] == 0


def _china(seconds: int) -> str:
    return f"{now() + timedelta(hours=8, seconds=seconds):%Y-%m-%d %H:%M:%S}"
