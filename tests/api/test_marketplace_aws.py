"""AWS Marketplace through the whole service: customers who land in a browser, and the events of their purchases."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.api.wiring import marketplaces
from app.gateways.marketplaces import aws_customer
from tests.api.test_data_at_rest import columns, files, found_in
from tests.support.api import Api, empty, frozen, refusal, renewed, running
from tests.support.aws_marketplace import AWS, Metering, Purchase, lands, metering, sends, stored
from tests.support.clouds import (
    EVENTS_SECRET,
    accept,
    aws_event,
    bind,
    claim_of,
    get,
    history,
    options,
    refused,
    settled,
    workspace,
)
from tests.support.receivers import Received, receiver
from tests.support.services import ServiceClient, client, feed

pytestmark = pytest.mark.settings(**AWS)
TOKEN = "opaque+registration/token=="


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metering]:
    monkeypatch.setattr(aws_customer, "_PAUSES", (0.0, 0.0, 0.0))
    with metering() as fake:
        yield fake


async def notices(service: ServiceClient, **params: Any) -> list[dict[str, Any]]:
    answer = await service.get("/marketplace/notices", limit=100, **params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def view(api: Api, claim: str) -> httpx.Response:
    return await api.client.get(f"/v1/marketplace-claims/{claim}")


async def counted(api: Api, metric: str) -> float:
    """What the metric says now; 0 while it says nothing."""
    lines = (await api.client.get("/metrics")).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))


# A whole subscription


async def test_a_buyer_subscribes_settles_leaves_and_comes_back(
    database_url: str, aws: Metering, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """AWS is a listener of its own here, which checks the signature of every question."""

    async def answer(asked: Received, writer: asyncio.StreamWriter) -> None:
        assert (asked.method, asked.target) == ("POST", "/")
        status, said = aws.answer(asked.headers, asked.body)
        body = json.dumps(said).encode()
        head = f"HTTP/1.1 {status} Whatever\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    aws.router.route(host="127.0.0.1").pass_through()
    async with receiver(answer) as local:
        monkeypatch.setattr(marketplaces, "_AWS", ("us-east-1", f"http://127.0.0.1:{local.port}"))
        async with running(database_url, **AWS) as api:
            await empty(api)
            purchases, claims = await journey(api, aws)
            lying = b"\n".join([*(await columns(api)).values(), await files(api)])
    assert aws.asked == ["token-1", "token-2"]
    assert len(local.received) == 2
    logged = capsys.readouterr().out
    assert "marketplace_notice" in logged
    assert found_in(lying, [*aws.asked, *claims]) == []
    names = [name for one in purchases for name in (one.arn, one.licence, one.account)]
    assert [
        one for one in (*aws.asked, *claims, *names, EVENTS_SECRET, AWS["aws_secret_access_key"]) if one in logged
    ] == []


async def journey(api: Api, aws: Metering) -> tuple[list[Purchase], list[str]]:
    """The purchases, and the tokens of their claims."""
    holder, service = await api.register(), await client(api)
    bound = [await workspace(service, holder, site=site, name=site) for site in ("us1", "eu1", "cn2")]
    elsewhere = await workspace(service, holder, site="cn1")

    first = Purchase()
    await sends(api, first.created(), first.updated())
    aws.knows("token-1", first.resolved)
    landed = await lands(api, "token-1")
    claim = claim_of(landed)
    where = urlsplit(landed.headers["location"])
    assert f"{where.scheme}://{where.netloc}{where.path}" == f"{api.settings.spa_url}marketplace"
    assert parse_qs(where.query) == {"claim": [claim]}
    assert (where.fragment, landed.content, landed.headers.get("set-cookie")) == ("", b"", None)
    assert (landed.headers["cache-control"], landed.headers["referrer-policy"]) == ("no-store", "no-referrer")

    shown = await view(api, claim)
    assert shown.json() | {"expires_at": ""} == {
        "provider": "aws",
        "account_id": "********9012",
        "status": "active",
        "expires_at": "",
    }
    assert refusal(await api.client.post(f"/v1/marketplace-claims/{claim}/accept"))[0] == 401
    holder = await api.log_in(holder)
    taken = await accept(api, holder, claim)
    cloud_account = taken.json()["cloud_account_id"]
    assert taken.json() == {"account_id": holder.account_id, "cloud_account_id": cloud_account}
    assert refusal(await view(api, claim)) == (410, "claim_gone")

    assert refused(await bind(api, holder, cloud_account, *bound, elsewhere)) == {elsewhere: ["cloud_of_another_site"]}
    assert (await bind(api, holder, cloud_account, *bound)).status_code == 200
    [listed] = (await get(api, holder, "/cloud-accounts"))["items"]
    assert {name: listed[name] for name in ("id", "provider", "account_id", "instance_id", "status")} == {
        "id": cloud_account,
        "provider": "aws",
        "account_id": "********9012",
        "instance_id": first.arn,
        "status": "active",
    }
    assert [(one["id"], one["lock_ends_at"]) for one in listed["workspaces"]] == [(one, None) for one in sorted(bound)]

    await sends(api, first.ended(), first.deprovisioned())
    locked = [await settled(api, holder, one) for one in bound]
    assert all(one["lock_ends_at"] for one in locked)
    [message] = await api.messages(holder.email, "workspaces_locked")
    assert (message.params["provider"], message.params["number"]) == ("aws", "********9012")
    assert set(message.params["workspaces"].split(", ")) == {"us1", "eu1", "cn2"}
    assert (await get(api, holder, f"/cloud-accounts/{cloud_account}"))["status"] == "ended"

    second = Purchase(at=first.at + timedelta(minutes=5))
    await sends(api, second.created(), second.updated())
    assert all([(await settled(api, holder, one))["lock_ends_at"] for one in bound])  # nobody has taken it yet
    aws.knows("token-2", second.resolved)
    again = claim_of(await lands(api, "token-2"))
    another = (await accept(api, holder, again)).json()["cloud_account_id"]
    assert another != cloud_account
    for one in bound:
        now = await settled(api, holder, one)
        assert (now["method"], now["cloud_account_id"], now["lock_ends_at"]) == ("billing_center", None, None)
        causes = [record["cause"] for record in await history(api, holder, one)]
        assert causes == ["created", "chosen", "locked", "resubscribed"]
    told = [(one["type"].rpartition("guance.")[2], one["data"].get("workspace_id")) for one in await feed(service)]
    for kind in ("workspace.lock_requested", "workspace.unlock_requested"):
        assert sorted(of or "" for name, of in told if name.endswith(kind)) == sorted(bound)
    statuses = [name.rpartition(".")[2] for name, _ in told if "cloud_account." in name]
    assert statuses == ["activated", "closed", "activated"]
    return [first, second], [claim, again]


async def test_a_subscription_that_becomes_active_after_it_was_taken_unlocks_too(api: Api, aws: Metering) -> None:
    holder, service = await api.register(), await client(api)
    first, second = Purchase(), Purchase()
    aws.knows("token-1", first.resolved)
    aws.knows("token-2", second.resolved)
    one = (await accept(api, holder, claim_of(await lands(api, "token-1")))).json()["cloud_account_id"]
    bound = await workspace(service, holder, site="us1")
    assert (await options(api, holder, bound))[one] == ["cloud_account_not_active"]
    await sends(api, first.updated())
    assert (await bind(api, holder, one, bound)).status_code == 200
    await sends(api, first.deprovisioned())

    another = (await accept(api, holder, claim_of(await lands(api, "token-2")))).json()["cloud_account_id"]
    assert (await get(api, holder, f"/cloud-accounts/{another}"))["status"] == "pending"
    assert (await settled(api, holder, bound))["lock_ends_at"] is not None
    await sends(api, second.updated())
    assert (await get(api, holder, f"/cloud-accounts/{another}"))["status"] == "active"
    assert (await settled(api, holder, bound))["lock_ends_at"] is None


# Who lands


@pytest.mark.parametrize("channel", ["landing", "landing/china"])
@pytest.mark.parametrize(
    ("locale", "title", "text"),
    [
        ("en", "Set up your account", "Subscribe to Guance there"),
        ("zh-CN", "设置您的账号", "请在云市场订阅观测云"),
    ],
    ids=["en", "zh"],
)
async def test_who_only_looks_is_told_where_to_begin(
    api: Api, channel: str, locale: str, title: str, text: str
) -> None:
    language = {"en": "en-GB,en;q=0.9", "zh-CN": "zh-Hans-CN,zh;q=0.9,en;q=0.1"}[locale]
    answer = await api.client.get(f"/marketplace/aws/{channel}", headers={"accept-language": language})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith(f'<!doctype html>\n<html lang="{locale}">')
    assert f"<title>{title}</title>" in answer.text
    assert f"<h1>{title}</h1><p>" in answer.text
    assert text in answer.text
    assert "<script" not in answer.text
    assert answer.headers["content-language"] == locale
    assert "Accept-Language" in answer.headers["vary"].split(", ")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    seen = await api.client.head(f"/marketplace/aws/{channel}")
    assert (seen.status_code, seen.content) == (200, b"")


@pytest.mark.parametrize(
    ("said", "status", "title"),
    [
        ([{"__type": "ExpiredTokenException", "message": "The token has expired."}], 410, "链接已过期"),
        ([{"__type": "com.amazonaws#InvalidTokenException"}], 400, "链接无效"),
        ([{**Purchase().resolved, "ProductCode": "another"}], 400, "链接无效"),
        ([{**Purchase().resolved, "ProductCode": "china"}], 400, "链接无效"),
        ([{**Purchase().resolved, "CustomerAWSAccountId": None, "CustomerIdentifier": None}], 400, "链接无效"),
        ([{"__type": "ThrottlingException"}], 503, "请稍后重试"),
        ([{"__type": "DisabledApiException"}], 503, "请稍后重试"),
    ],
    ids=["expired", "invalid", "other-product", "product-of-china", "nobody", "throttled", "disabled"],
)
async def test_who_cannot_be_resolved_is_told_so_and_nothing_is_kept(
    api: Api, aws: Metering, said: list[dict[str, Any]], status: int, title: str
) -> None:
    service = await client(api)
    aws.knows(TOKEN, *said)
    answer = await lands(api, TOKEN, **{"accept-language": "zh-CN"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert f"<title>{title}</title>" in answer.text
    assert TOKEN not in answer.text
    assert set(aws.asked) == {TOKEN}
    assert await notices(service) == []
    assert await stored(api, ["123456789012"]) == {"123456789012": []}


async def test_a_form_without_a_token_is_turned_away_without_asking(api: Api, aws: Metering) -> None:
    for form in ({}, {"x-amzn-marketplace-token": ""}, {"x-amzn-marketplace-offer-type": "free-trial"}):
        answer = await api.client.post("/marketplace/aws/landing", data=form)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert aws.asked == []


async def test_a_throttled_customer_comes_through(api: Api, aws: Metering) -> None:
    aws.knows(TOKEN, {"__type": "ThrottlingException"}, {"__type": "ThrottlingException"}, Purchase().resolved)
    assert claim_of(await lands(api, TOKEN))
    assert aws.asked == [TOKEN] * 3


async def test_when_aws_is_away_the_customer_may_reload(api: Api, aws: Metering) -> None:
    aws.knows(TOKEN, Purchase().resolved)
    for away in (httpx.ConnectError("refused"), httpx.ReadTimeout("too slow")):
        aws.away = away
        answer = await lands(api, TOKEN)
        assert (answer.status_code, "Please try again" in answer.text) == (503, True)
    aws.away = None
    assert claim_of(await lands(api, TOKEN))


async def test_a_reloaded_page_makes_another_claim_and_no_other_cloud_account(api: Api, aws: Metering) -> None:
    holder, stranger = await api.register(), await api.register()
    aws.knows(TOKEN, Purchase().resolved)
    claims = [claim_of(await lands(api, TOKEN)) for _ in range(3)]
    assert len(set(claims)) == 3
    assert [(await view(api, one)).status_code for one in claims] == [200, 200, 200]
    taken = await accept(api, holder, claims[1])
    # Whoever has one of the others comes too late, except the holder, for whom nothing changes.
    assert [refusal(await view(api, one)) for one in claims] == [(410, "claim_gone")] * 3
    assert refusal(await accept(api, stranger, claims[0])) == (410, "claim_gone")
    assert (await accept(api, holder, claims[2])).json() == taken.json()
    assert len((await stored(api, ["123456789012"]))["123456789012"]) == 1
    assert len((await get(api, holder, "/cloud-accounts"))["items"]) == 1


async def test_landing_again_with_what_is_taken_changes_nothing_and_helps_no_stranger(api: Api, aws: Metering) -> None:
    holder, stranger = await api.register(), await api.register()
    aws.knows(TOKEN, Purchase().resolved)
    taken = await accept(api, holder, claim_of(await lands(api, TOKEN)))
    later = claim_of(await lands(api, TOKEN))
    assert refusal(await accept(api, stranger, later)) == (409, "cloud_account_taken")
    assert (await accept(api, holder, later)).json() == taken.json()
    assert (await get(api, stranger, "/cloud-accounts"))["items"] == []
    assert len(await api.messages(holder.email, "cloud_account_added")) == 1


async def test_a_claim_is_good_for_a_day(api: Api, aws: Metering) -> None:
    holder = await api.register()
    aws.knows(TOKEN, Purchase().resolved)
    with frozen() as clock:
        claim = claim_of(await lands(api, TOKEN))
        clock.shift(timedelta(days=1, seconds=-1))
        assert (await view(api, claim)).status_code == 200
        clock.shift(timedelta(seconds=1))
        assert refusal(await view(api, claim)) == (410, "claim_gone")
        assert refusal(await accept(api, await renewed(api, holder), claim)) == (410, "claim_gone")


async def test_customers_of_amazon_web_services_china_land_there(api: Api, aws: Metering) -> None:
    holder = await api.register()
    older = {"CustomerIdentifier": "CN01EXAMPLE", "CustomerAWSAccountId": "461312420708", "ProductCode": "china"}
    aws.knows(TOKEN, older)
    claim = claim_of(await lands(api, TOKEN, channel="landing/china"))
    await accept(api, holder, claim)
    [listed] = (await get(api, holder, "/cloud-accounts"))["items"]
    assert (listed["account_id"], listed["instance_id"]) == ("********0708", "CN01EXAMPLE/china")
    assert (await lands(api, TOKEN)).status_code == 400  # that is no product of the other seller's


@pytest.mark.settings(
    aws_events_secret=EVENTS_SECRET,
    aws_china_access_key_id="AKIDEXAMPLE",
    aws_china_secret_access_key="wJalrXUtnFEMI",
    aws_china_products=["china"],
)
async def test_what_is_not_configured_is_not_there(api: Api) -> None:
    for method, channel in (("GET", "landing"), ("POST", "landing"), ("POST", "sns")):
        assert refusal(await api.client.request(method, f"/marketplace/aws/{channel}")) == (404, "not_found")
    assert (await api.client.get("/marketplace/aws/landing/china")).status_code == 200
    await sends(api, Purchase().updated())


# Events


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": f"Bearer {EVENTS_SECRET}x"},
        {"authorization": EVENTS_SECRET},
        {"authorization": "Bearer "},
        {"x-api-key": ""},
        {"x-api-key": EVENTS_SECRET[:-1]},
        {"x-api-key": f"Bearer {EVENTS_SECRET}"},
    ],
    ids=["none", "longer", "bare", "empty-bearer", "empty-key", "shorter", "bearer-as-key"],
)
async def test_an_event_without_the_secret_is_refused_and_not_kept(api: Api, headers: dict[str, str]) -> None:
    service = await client(api)
    answer = await api.client.post("/marketplace/aws/events", json=Purchase().updated(), headers=headers)
    assert (answer.status_code, answer.json()) == (403, {})
    assert await notices(service) == []


async def test_the_secret_may_come_as_a_key(api: Api) -> None:
    headers = {"x-api-key": EVENTS_SECRET}
    answer = await api.client.post("/marketplace/aws/events", json=Purchase().updated(), headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})


async def test_the_same_event_twice_is_one_message(api: Api, aws: Metering) -> None:
    holder, service, purchase = await api.register(), await client(api), Purchase()
    aws.knows(TOKEN, purchase.resolved)
    await accept(api, holder, claim_of(await lands(api, TOKEN)))
    await sends(api, purchase.updated(), purchase.updated(), purchase.updated())
    [kept] = [one for one in await notices(service) if one["channel"] == "events"]
    assert (kept["state"], kept["repeats"]) == ("applied", 2)
    assert [one["type"].rpartition(".")[2] for one in await feed(service)].count("activated") == 1


async def test_an_event_of_a_kind_nobody_knows_is_kept_taken_and_counted(api: Api) -> None:
    service = await client(api)
    before = await counted(api, 'guance_marketplace_unknown_total{provider="aws"}')
    await sends(
        api, aws_event("Purchase Agreement Pondered - Proposer", agreement="agmt-1"), Purchase().ended("EVAPORATED")
    )
    assert await counted(api, 'guance_marketplace_unknown_total{provider="aws"}') == before + 2
    kept = await notices(service)
    assert [(one["type"], one["effect"], one["state"]) for one in reversed(kept)] == [
        ("Purchase Agreement Pondered", "unknown", "ignored"),
        ("Purchase Agreement Ended", "unknown", "ignored"),
    ]
    assert kept[1]["body"]["detail"]["agreement"] == {"id": "agmt-1"}


async def test_events_of_another_product_or_source_change_nothing(api: Api) -> None:
    service, purchase = await client(api), Purchase()
    for event in (purchase.updated(), purchase.deprovisioned()):
        event["detail"]["product"]["code"] = "another"
        await sends(api, event)
    await sends(api, purchase.updated(after=62) | {"source": "mine.agreement-marketplace"})
    assert {(one["effect"], one["state"]) for one in await notices(service)} == {
        ("none", "ignored"),
        ("unknown", "ignored"),
    }
    assert await stored(api, [purchase.account]) == {purchase.account: []}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"id": 1}', b'{"id": "1"}', b"\xff", b"[" * 9999])
async def test_what_is_no_event_is_refused_and_not_kept(api: Api, body: bytes) -> None:
    headers = {"x-api-key": EVENTS_SECRET}
    answer = await api.client.post("/marketplace/aws/events", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (400, {})
    assert await notices(await client(api)) == []


async def test_a_message_that_names_another_buyer_is_left_to_staff(api: Api, aws: Metering) -> None:
    service, purchase = await client(api), Purchase()
    await sends(api, purchase.updated())
    wrong = purchase.deprovisioned()
    wrong["detail"]["acceptor"]["accountId"] = "210987654321"
    await sends(api, wrong)
    [kept] = await notices(service, state="ambiguous")
    assert (kept["type"], kept["cloud_account_id"]) == ("License Deprovisioned", None)
    [it] = (await stored(api, [purchase.account]))[purchase.account]
    assert it.status == "active"
