"""Delivery: at least once, under one id, never twice without need, and no secret kept longer than its message."""

import asyncio
import re
from collections import Counter
from datetime import timedelta

import pytest
import time_machine
from prometheus_client import REGISTRY
from sqlalchemy import text, update

from app.core.clock import now
from app.core.database import METADATA
from app.models.outbox import OutboxMessage
from app.models.verification import Channel
from app.notifiers.base import PermanentFailure, TemporaryFailure
from tests.support.api import Api
from tests.workers import CODE, Gateway, SlowGateway, only_row, rows, shown_id, worker, write


async def test_a_delivered_message_is_sent_and_its_secret_erased(api: Api) -> None:
    await write(api)
    gateway = Gateway()

    assert await worker(api, gateway).deliver_due() == 1

    row, (letter,) = await only_row(api), gateway.attempts
    assert (row.state, row.sealed, row.attempts, row.last_error) == ("sent", None, 1, None)
    assert row.finished_at is not None
    assert (letter.id, letter.to, letter.params) == (shown_id(row), "li@example.com", {"minutes": "10", "code": CODE})


async def test_a_message_of_a_process_whose_clock_is_ahead_does_not_wait_for_that_time(api: Api) -> None:
    with time_machine.travel(now() + timedelta(hours=1)):
        await write(api)
    gateway = Gateway([TemporaryFailure("http_503")])

    assert await worker(api, gateway).deliver_due() == 1
    assert await worker(api, gateway).deliver_due() == 0  # from now on it goes by the clock of the worker
    assert (await only_row(api)).due_at < now() + timedelta(minutes=1)


async def test_a_code_is_readable_nowhere_but_in_its_message(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    sent = await api.client.post("/v1/registrations", json={**_ACME, "password": "correct horse battery staple"})
    before = await _everything(api)
    code = await api.code("li@example.com")
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for guess in (wrong, code):
        await api.client.post(f"/v1/registrations/{sent.json()['id']}/confirm", json={"code": guess})

    logs = capfd.readouterr().out
    assert "message_settled" in logs
    for place in (before, await _everything(api), logs):
        assert "registration" in place
        assert not re.search(rf"(?<![\w.]){code}(?!\w)", place)


_ACME = {"username": "acme", "email": "li@example.com", "company_name": "Northwind Trading"}


async def _everything(api: Api) -> str:
    """Every value of every table, as the database gives it."""
    found = []
    async with api.container.engine.connect() as connection:
        for table in METADATA.sorted_tables:
            for row in await connection.execute(text(f"SELECT * FROM {table.name}")):  # noqa: S608 - our own names
                found += [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row]
    return "\n".join(found)


async def test_a_temporary_failure_is_tried_again_after_a_doubling_pause_under_the_same_id(api: Api) -> None:
    gateway = Gateway([TemporaryFailure("http_503")] * 4)
    at = now()
    with time_machine.travel(at, tick=False):
        await write(api)
    for full in (2, 4, 8, 16):
        with time_machine.travel(at, tick=False):
            assert await worker(api, gateway).deliver_due() == 1
            assert await worker(api, gateway).deliver_due() == 0
        row = await only_row(api)
        pause = row.due_at - at
        assert timedelta(seconds=full / 2) <= pause <= timedelta(seconds=full)
        assert (row.state, row.last_error) == ("queued", "http_503")
        assert row.sealed is not None
        at = row.due_at
    with time_machine.travel(at, tick=False):
        await worker(api, gateway).deliver_due()

    assert (await only_row(api)).state == "sent"
    assert [letter.id for letter in gateway.attempts] == [shown_id(row)] * 5


async def test_what_failed_together_does_not_come_back_together(api: Api) -> None:
    for _ in range(10):
        await write(api)
    with time_machine.travel(now(), tick=False):
        await worker(api, Gateway([TemporaryFailure("connect")] * 10), first=1000.0).deliver_due()

    assert len({row.due_at for row in await rows(api)}) == 10


async def test_the_pause_grows_no_longer_than_the_longest(api: Api) -> None:
    await write(api)
    async with api.container.engine.begin() as connection:
        await connection.execute(update(OutboxMessage).values(attempts=200))

    with time_machine.travel(now(), tick=False):
        await worker(api, Gateway([TemporaryFailure("connect")]), attempts=1000, longest=60.0).deliver_due()
        assert now() < (await only_row(api)).due_at <= now() + timedelta(seconds=60)


async def test_a_permanent_failure_is_final_and_erases_the_secret(api: Api) -> None:
    await write(api)

    await worker(api, Gateway([PermanentFailure("http_400")])).deliver_due()

    row = await only_row(api)
    assert (row.state, row.last_error, row.sealed) == ("abandoned", "http_400", None)
    with time_machine.travel(now() + timedelta(hours=2)):
        assert await worker(api, Gateway()).deliver_due() == 0


async def test_it_gives_up_after_the_last_attempt(api: Api) -> None:
    await write(api)
    gateway = Gateway([TemporaryFailure("http_503")] * 3)
    for hours in range(3):
        with time_machine.travel(now() + timedelta(hours=hours)):
            await worker(api, gateway, attempts=3).deliver_due()

    row = await only_row(api)
    assert (row.state, row.last_error, row.sealed, row.attempts) == ("abandoned", "http_503", None, 3)


async def test_an_expired_code_is_never_sent_and_erased(api: Api) -> None:
    await write(api, expires_at=now() + timedelta(minutes=10))

    with time_machine.travel(now() + timedelta(minutes=10)):
        await worker(api, gateway := Gateway()).deliver_due()

    row = await only_row(api)
    assert (row.state, row.sealed, gateway.attempts) == ("expired", None, [])


async def test_a_code_that_would_expire_before_the_next_attempt_gets_none(api: Api) -> None:
    await write(api, expires_at=now() + timedelta(seconds=30))

    await worker(api, Gateway([TemporaryFailure("http_503")]), first=60.0).deliver_due()

    row = await only_row(api)
    assert (row.state, row.sealed) == ("abandoned", None)


async def test_several_workers_at_once_deliver_each_message_once(api: Api) -> None:
    for number in range(60):
        await write(api, to=f"holder{number}@example.com")
    gateway = Gateway()

    taken = await asyncio.gather(*(worker(api, gateway).deliver_due() for _ in range(4)))

    assert sum(taken) == 60
    assert set(Counter(letter.id for letter in gateway.attempts).values()) == {1}
    assert {row.state for row in await rows(api)} == {"sent"}


async def test_a_worker_does_not_wait_for_what_another_is_taking(pg_api: Api) -> None:
    for number in range(3):
        await write(pg_api, to=f"holder{number}@example.com")
    until = now() + timedelta(minutes=1)
    async with pg_api.container.profile.uow() as uow:
        (mine,) = await uow.outbox.claim([Channel.EMAIL], at=now(), leased_until=until, limit=1)
        async with asyncio.timeout(5):
            await worker(pg_api, gateway := Gateway()).deliver_due()

    everybody = {row.to for row in await rows(pg_api)}
    assert {letter.to for letter in gateway.attempts} == everybody - {mine.to}


async def test_a_worker_takes_no_more_than_its_share_whatever_the_database_believes_of_the_table(pg_api: Api) -> None:
    """Of a table that was nearly empty when it was last looked at, PostgreSQL thinks that each row is the only one."""
    await write(pg_api)
    async with pg_api.container.engine.begin() as connection:
        await connection.execute(text("ANALYZE outbox_messages"))
    for number in range(3):
        await write(pg_api, to=f"holder{number}@example.com")

    until = now() + timedelta(minutes=1)
    async with pg_api.container.profile.uow() as uow:
        taken = [len(await uow.outbox.claim([Channel.EMAIL], at=now(), leased_until=until, limit=2)) for _ in range(3)]

    assert taken == [2, 2, 0]


async def test_a_message_is_another_worker_s_only_when_the_lease_is_over(api: Api) -> None:
    await write(api)
    slow, second = SlowGateway(), Gateway()
    first = asyncio.create_task(worker(api, slow, lease=60).deliver_due())
    await slow.began.wait()

    assert await worker(api, second).deliver_due() == 0
    with time_machine.travel(now() + timedelta(seconds=61)):
        assert await worker(api, Gateway([TemporaryFailure("connect")])).deliver_due() == 1
    slow.finish.set()
    await first

    # The first came too late to settle what the second had taken over.
    row = await only_row(api)
    assert (row.state, row.attempts, row.last_error) == ("queued", 2, "connect")


async def test_a_bug_in_a_notifier_stops_no_other_message_and_leaks_nothing(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        await write(api, to=f"holder{number}@example.com")
    gateway = Gateway([RuntimeError(f"no route to holder0@example.com with {CODE}")])

    await worker(api, gateway).deliver_due()

    assert sorted(row.state for row in await rows(api)) == ["queued", "sent", "sent"]
    assert {row.last_error for row in await rows(api)} == {None, "internal"}
    logs = capfd.readouterr().out
    assert "RuntimeError" in logs
    assert CODE not in logs
    assert "@example.com" not in logs


async def test_a_notifier_that_hangs_is_cut_off_before_the_lease_ends(api: Api) -> None:
    await write(api)

    await worker(api, SlowGateway(), lease=1).deliver_due()

    row = await only_row(api)
    assert (row.state, row.last_error) == ("queued", "timeout")


async def test_a_message_that_cannot_be_opened_is_given_up_and_stops_no_other(api: Api) -> None:
    await write(api)
    async with api.container.engine.begin() as connection:
        await connection.execute(update(OutboxMessage).values(sealed=b"\x01 sealed with another secret"))
    await write(api, to="other@example.com")

    await worker(api, gateway := Gateway()).deliver_due()

    damaged, fine = await rows(api)
    assert (damaged.state, damaged.sealed, fine.state) == ("abandoned", None, "sent")
    assert [letter.to for letter in gateway.attempts] == ["other@example.com"]


async def test_a_decoy_is_settled_without_a_notifier(api: Api) -> None:
    await api.client.post("/v1/login-codes", json={"identifier": "nobody@example.com"})

    await worker(api, gateway := Gateway()).deliver_due()

    row = await only_row(api)
    assert (row.channel, row.to, row.state, row.sealed) == ("none", "", "sent", None)
    assert gateway.attempts == []


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(None, "sent"), (TemporaryFailure("connect"), "retry"), (PermanentFailure("http_400"), "abandoned")],
)
async def test_each_outcome_is_counted(api: Api, failure: Exception | None, outcome: str) -> None:
    labels = {"channel": "email", "template": "login_code", "outcome": outcome}
    before = REGISTRY.get_sample_value("guance_messages_total", labels) or 0
    await write(api)

    await worker(api, Gateway([failure] if failure else [])).deliver_due()

    assert REGISTRY.get_sample_value("guance_messages_total", labels) == before + 1
