"""Names of people and numbers of documents lie sealed: neither the database nor the logs have them in any spelling."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import ColumnClause, column, select, update

from app.core import migrations
from app.core.database import METADATA, async_url
from app.core.documents import credit_check, resident_check
from app.models.real_name import Submission
from tests.api.test_log_privacy import BUYERS, buy_on_marketplaces, on_marketplaces
from tests.races.processes import ROOT, eventually, free_port, is_ready, logs_of, process
from tests.support.api import Api, Holder, running
from tests.support.real_names import ask, enterprise, individual, status, submit, submitted, withdraw
from tests.support.services import ServiceClient, client, feed, staff

PEOPLE = ("欧阳竹青修远", "Zebediah Quillfeather", "司马晓月如卿", "Wilhelmina Oxenstierna", "諸葛孔明亮之")
PHONE = "13912345678"


def id_number(serial: int) -> str:
    places = f"1101051990010{serial:04}"
    return places + resident_check(places)


def credit_code(serial: int) -> str:
    places = f"91350100M{serial:08}"
    return places + credit_check(places)


NUMBERS = [id_number(serial) for serial in range(1231, 1236)]
CODES = [credit_code(serial) for serial in (7001, 7002)]
FOREIGN = "UEN-201912345K"
PERSONAL = [*PEOPLE, *NUMBERS, *CODES, FOREIGN, PHONE]
LEGAL = {"name": PEOPLE[3], "id_number": NUMBERS[3]}


def spellings(personal: str) -> Iterator[bytes]:
    """The text as it could stand somewhere: encoded, escaped, in hexadecimal, or in the middle of a base64 text."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "gb18030"):
        raw = personal.encode(encoding)
        yield raw
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        for before in range(3):
            whole = base64.b64encode(b"\0" * before + raw)
            inner = whole[4 if before else 0 : len(whole) - 4]
            yield inner
            yield inner.translate(bytes.maketrans(b"+/", b"-_"))
    yield json.dumps(personal).strip('"').encode()
    yield quote(personal).encode()


def found_in(content: bytes, personal: Iterable[str]) -> list[str]:
    return [one for one in personal if any(spelling in content for spelling in spellings(one))]


def as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)).encode()


async def columns(api: Api) -> dict[str, bytes]:
    """What lies in each column of each table, as the database gives it: nothing in between that could open it."""
    found = {}
    async with api.container.engine.connect() as connection:
        for table in METADATA.sorted_tables:
            for one in table.columns:
                as_it_lies: ColumnClause[Any] = column(one.name)
                values = await connection.scalars(select(as_it_lies).select_from(table))
                found[f"{table.name}.{one.name}"] = b"\n".join(map(as_bytes, values))
    return found


async def files(api: Api) -> bytes:
    """A SQLite database as it lies on the disk, its write-ahead log too; nothing for PostgreSQL."""
    url = async_url(api.settings.database_url.get_secret_value())
    if url.get_backend_name() != "sqlite":
        return b""
    file = Path(url.database or "")
    parts = await asyncio.to_thread(lambda: [part.read_bytes() for part in file.parent.glob(f"{file.name}*")])
    return b"".join(parts)


async def decide(service: ServiceClient, submission: str, decision: str, actor: str) -> None:
    path = f"/real-name/submissions/{submission}/decision"
    answer = await service.post(path, {"decision": decision}, headers=staff(actor))
    assert answer.status_code == 200, answer.text


async def journey(api: Api, service: ServiceClient) -> dict[str, Holder]:
    """Submitted, verified, rejected, reviewed, overridden, withdrawn, and refused; looked at by holder and staff."""
    names = ("verified", "overridden", "rejected", "withdrawn", "pending", "waiting")
    holders = {name: await api.register(email=f"{name}@example.com") for name in names}
    bodies: Mapping[str, dict[str, Any]] = {
        "verified": individual(PEOPLE[0], NUMBERS[0], phone=PHONE),
        "overridden": individual(f"{PEOPLE[1]} (mismatched)", NUMBERS[1]),
        "rejected": enterprise("Acme (not found)", CODES[0], legal_representative=LEGAL),
        "withdrawn": individual(PEOPLE[2], NUMBERS[2], phone=PHONE),
        "pending": enterprise("Acme (unavailable)", CODES[1], legal_representative=LEGAL),
        "waiting": enterprise(
            "Acme Pte. Ltd.", FOREIGN, country="SG", legal_representative={"name": PEOPLE[4], "id_number": NUMBERS[4]}
        ),
    }
    made = {}
    for name, holder in holders.items():
        answers = [await submit(api, holder, bodies[name], **{"Idempotency-Key": key}) for key in ("1", "1", "2")]
        assert [answer.status_code for answer in answers] == [201, 201, 409], answers[-1].text
        made[name] = answers[0].json()["id"]
        refused = await submit(
            api, holder, {**bodies[name], "phone": PHONE, "nick": PEOPLE[0]}, **{"Idempotency-Key": "3"}
        )
        assert refused.status_code == 422
    assert (await withdraw(api, holders["withdrawn"], made["withdrawn"])).status_code == 204
    await ask(api)
    await decide(service, made["rejected"], "reject", "han.meimei")
    for actor in ("han.meimei", "li.lei"):
        await decide(service, made["overridden"], "approve", actor)
    assert (await service.get("/real-name/submissions", limit=100)).status_code == 200
    shown = [(await status(api, holder))["status"] for holder in holders.values()]
    assert shown == ["verified", "verified", "rejected", "none", "pending", "pending"]
    return holders


async def test_no_column_of_the_database_has_a_name_or_a_number(api: Api) -> None:
    await journey(api, await client(api))
    await api.container.data_keys.rotate()
    assert await api.container.data_keys.reseal() == 6

    found = {
        column: personal
        for column, content in (await columns(api)).items()
        if (personal := found_in(content, PERSONAL))
    }

    assert found == {}
    assert found_in(await files(api), PERSONAL) == []


@on_marketplaces
async def test_no_column_has_a_marketplaces_key_or_token_nor_a_claim_nor_who_bought_at_the_provider(api: Api) -> None:
    secrets, _, _ = await buy_on_marketplaces(api)
    # Who paid, and whose the account is, lies open.
    hidden = [one for one in secrets if one not in BUYERS.values() and not one.endswith("@example.com")]
    lain = await columns(api)

    found = {column: told for column, content in lain.items() if (told := found_in(content, hidden))}

    assert found == {}
    assert found_in(await files(api), hidden) == []
    assert all(found_in(lain["cloud_accounts.account_number"], [number]) for number in BUYERS.values())


async def test_the_search_finds_what_does_lie_open(api: Api) -> None:
    holder = await api.register(company_name="Northwind 欧阳 Trading")

    found = {
        column for column, content in (await columns(api)).items() if found_in(content, ["Northwind 欧阳 Trading"])
    }

    assert "accounts.company_name" in found
    assert found_in(holder.username.encode().hex().encode(), [holder.username]) != []
    on_disk = await files(api)
    assert not on_disk or found_in(on_disk, ["Northwind 欧阳 Trading"])


async def test_neither_messages_nor_events_nor_the_trail_tell_a_name_or_a_number(api: Api) -> None:
    service = await client(api)
    holders = await journey(api, service)

    told = [*await api.deliver(), *await feed(service)]
    for holder in holders.values():
        trail = await api.client.get("/v1/account/activity", headers=holder.auth, params={"limit": 100})
        assert "real_name.submitted" in trail.text
        told.append(trail.text)

    assert found_in("\n".join(map(str, told)).encode(), PERSONAL) == []


async def test_a_refused_submission_does_not_come_back(api: Api) -> None:
    holder = await api.register()
    bad = [
        individual(PEOPLE[0], NUMBERS[0][:-1] + ("0" if NUMBERS[0][-1] != "0" else "1")),
        individual(PEOPLE[0], NUMBERS[0], phone=f"{PHONE}0"),
        individual(PEOPLE[0], NUMBERS[0], nick=PEOPLE[1]),
        enterprise("Acme", CODES[0], legal_representative={"name": PEOPLE[3], "id_number": CODES[0]}),
        {"type": PEOPLE[0], "name": PEOPLE[0], "id_number": NUMBERS[0]},
        {"type": "individual", "name": [PEOPLE[0]], "id_number": {"number": NUMBERS[0]}},
    ]

    answers = [await submit(api, holder, body) for body in bad]

    assert [answer.status_code for answer in answers] == [422] * len(bad)
    assert found_in(b"".join(answer.content for answer in answers), PERSONAL) == []


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_a_server_writes_no_name_and_no_number_into_its_log(tmp_path: Path, level: str) -> None:
    """The server with its worker in it, and what goes wrong on the way."""
    url, port = f"sqlite:///{tmp_path / 'app.db'}", free_port()
    await asyncio.to_thread(migrations.upgrade, url)
    async with running(url) as api:
        holders = [await api.register() for _ in range(4)]
    environment = {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": url,
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
        "GUANCE_LOG_LEVEL": level,
        "GUANCE_OUTBOX_POLL_SECONDS": "0.1",
    }
    bodies = [
        individual(PEOPLE[0], NUMBERS[0], phone=PHONE),
        individual(f"{PEOPLE[1]} (mismatched)", NUMBERS[1]),
        enterprise("Acme (not found)", CODES[0], legal_representative=LEGAL),
        individual(f"{PEOPLE[2]} (unavailable)", NUMBERS[2], nick=PEOPLE[0]),
    ]
    with process(tmp_path, environment, "serve", "--port", str(port)):
        base = f"http://127.0.0.1:{port}"
        await eventually(lambda: is_ready(base))
        async with httpx.AsyncClient(base_url=base) as caller:
            for holder, body in zip(holders, bodies, strict=True):
                answer = await caller.post("/v1/account/real-name/submissions", json=body, headers=holder.auth)
                assert answer.status_code == (422 if "nick" in body else 201), answer.text
                await caller.get(f"/v1/account/real-name/submissions?name={quote(PEOPLE[0])}", headers=holder.auth)
                await caller.get(f"/v1/account/real-name/{NUMBERS[0]}/{quote(PEOPLE[0])}", headers=holder.auth)
            await eventually(lambda: logs_of(tmp_path).count("real_name_asked") == 3)

    log = logs_of(tmp_path)
    assert log.count('"event": "request"') >= 3 * len(bodies)
    assert found_in(log.encode(), PERSONAL) == []


# --- What finds a document again ------------------------------------------------------------------------------------


async def hashes(api: Api) -> list[bytes]:
    async with api.container.engine.connect() as connection:
        rows = await connection.execute(select(Submission.document_hash).order_by(Submission.id))
        return [bytes(row[0]) for row in rows]


async def hash_under(file: Path, secret: str) -> bytes:
    """Of one document, in a service with this secret."""
    url = f"sqlite:///{file}"
    await asyncio.to_thread(migrations.upgrade, url)
    async with running(url, secret_key=secret) as api:
        await submitted(api, await api.register(), individual(PEOPLE[0], NUMBERS[0]))
        return (await hashes(api))[0]


async def test_the_hash_of_a_document_cannot_be_had_without_the_secret(tmp_path: Path) -> None:
    """There are few enough identity numbers to try them all against a plain hash."""
    ours = await hash_under(tmp_path / "one.db", "one secret of at least 32 characters")
    again = await hash_under(tmp_path / "two.db", "one secret of at least 32 characters")
    others = await hash_under(tmp_path / "three.db", "another secret of 32 characters!!!!!")

    assert ours == again
    assert ours != others


async def test_the_hash_of_a_document_is_no_plain_one(api: Api) -> None:
    await submitted(api, await api.register(), individual(PEOPLE[0], NUMBERS[0]))
    number, parts = NUMBERS[0], ("individual", "CN", NUMBERS[0])
    texts = [number, number.lower(), *(mark.join(parts) for mark in ("", ":", "|", "/", ",", "\0", " "))]
    texts.append("".join(f"{len(part):08x}{part}" for part in parts))
    framed = b"".join(len(part).to_bytes(4) + part.encode() for part in parts)
    plain = {
        hashlib.new(way, data).digest()
        for way in ("sha256", "sha3_256", "blake2s", "sm3")
        for data in [*(one.encode() for one in texts), framed]
    }

    (kept,) = await hashes(api)

    assert len(kept) == 32
    assert kept not in plain


# --- Tampered with --------------------------------------------------------------------------------------------------


async def test_a_value_that_was_moved_to_another_account_shows_nobody_elses_name(api: Api) -> None:
    """Whoever can write to the database cannot make one account read what another one submitted."""
    victim, thief, service = await api.register(), await api.register(), await client(api)
    await submitted(api, victim, enterprise("Acme Victim", CODES[0]))
    await submitted(api, thief, enterprise("Acme Thief", CODES[1]))
    await ask(api)
    rows = select(Submission.id, Submission.sealed, Submission.key_id).order_by(Submission.id)
    async with api.container.engine.begin() as connection:
        first, second = await connection.execute(rows)
        values = {"sealed": first.sealed, "key_id": first.key_id}
        await connection.execute(update(Submission).where(Submission.id == second.id).values(values))

    shown = await status(api, thief)
    asked = await service.get(f"/accounts/{thief.account_id}/invoicing")
    queue = await service.get("/real-name/submissions")

    assert (shown["status"], shown["verified_name"], shown["registration_number"]) == ("verified", None, None)
    assert (asked.status_code, asked.json()["code"]) == (503, "not_ready")
    assert {one["account_id"]: one["name"] for one in queue.json()["items"]} == {
        victim.account_id: "Acme Victim",
        thief.account_id: None,
    }
