"""When nobody can tell: asked again later, across restarts, once by one worker; and what counts as a mismatch."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import text

from app.core.clock import now
from app.core.documents import credit_check
from app.gateways.real_name.base import Claim, Outcome, Verdict
from tests.support.api import Api, Holder, frozen, refusal, running
from tests.support.real_names import (
    CREDIT_CODE,
    OTHER_CREDIT_CODE,
    decided,
    enterprise,
    gate,
    status,
    submit,
    submitted,
    withdraw,
)
from tests.support.services import client
from tests.workers.test_real_name import TIMEOUT, TWO, Register, calls, told, worker

DAY = timedelta(days=1)
SILENT = [Outcome.UNAVAILABLE, Outcome.LIMITED]
long_sessions = pytest.mark.settings(access_token_seconds=10**8)
capped = pytest.mark.settings(
    access_token_seconds=10**8, daily_mismatches_per_account=1, daily_mismatches_per_document=1
)


def code(number: int) -> str:
    """A credit code, another one for each number."""
    places = f"91350100M{number:08}"
    return places + credit_check(places)


class Faulty(Register):
    """Raises for one name, which no provider may; the text says what was asked."""

    async def verify(self, attempt_id: str, claim: Claim) -> Verdict:
        verdict = await super().verify(attempt_id, claim)
        if claim.name.startswith("Faulty"):
            raise RuntimeError(claim.number)
        return verdict


# --- Later ----------------------------------------------------------------------------------------------------------


async def test_a_submission_of_a_process_whose_clock_is_ahead_does_not_wait_for_that_time(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now() + timedelta(minutes=5)):
        await submitted(api, holder, enterprise())
    asking = worker(api, TWO, first=Register(Outcome.MATCHED), second=Register())

    assert await asking.ask_due() == 1
    assert (await status(api, holder))["status"] == "verified"


@long_sessions
@pytest.mark.parametrize("first", SILENT)
@pytest.mark.parametrize("second", SILENT)
async def test_nobody_can_tell_so_it_is_asked_again_later(api: Api, first: Outcome, second: Outcome) -> None:
    """A limit is new the next day; anything else may be over sooner."""
    holder = await api.register()
    with frozen() as clock:
        await submitted(api, holder, enterprise())
        asking = worker(api, TWO, first=Register(first, Outcome.MATCHED), second=Register(second))
        assert await asking.ask_due() == 1
        pause = DAY if (first, second) == (Outcome.LIMITED, Outcome.LIMITED) else timedelta(minutes=1)

        clock.shift(pause - timedelta(seconds=1))
        assert await asking.ask_due() == 0
        clock.shift(1)
        assert await asking.ask_due() == 1

        assert (await status(api, holder))["status"] == "verified"


@long_sessions
async def test_the_pauses_grow_up_to_six_hours_and_it_is_never_refused(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    asking = worker(api, first=Register(Outcome.UNAVAILABLE))
    with frozen() as clock:
        await submitted(api, holder, enterprise())
        assert await asking.ask_due() == 1
        for minutes in (1, 5, 30, 120, 360, 360, 360):
            clock.shift(timedelta(minutes=minutes, seconds=-1))
            assert await asking.ask_due() == 0
            clock.shift(1)
            assert await asking.ask_due() == 1

        assert (await status(api, holder))["status"] == "pending"
        await service.renew()
        assert (await gate(service, holder))["reason"] == "pending"
        assert await told(service) == ["submitted"]


@long_sessions
async def test_it_is_asked_again_after_a_restart(api: Api) -> None:
    holder = await api.register()
    with frozen() as clock:
        await submitted(api, holder, enterprise())
        await worker(api, first=Register(Outcome.UNAVAILABLE)).ask_due()

        async with running(api.settings.database_url.get_secret_value()) as restarted:
            asking = worker(restarted, first=Register())
            assert await asking.ask_due() == 0
            clock.shift(timedelta(minutes=1))
            assert await asking.ask_due() == 1

        assert (await status(api, holder))["status"] == "verified"
    assert [call.outcome for call in await calls(api)] == ["unavailable", "matched"]


# --- Workers that fail, and slow ones -------------------------------------------------------------------------------


async def test_a_provider_that_raises_is_one_that_cannot_tell(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """It promised not to. The next one is asked, and its text, which may name what was asked, is written nowhere."""
    holder = await api.register()
    await submitted(api, holder, enterprise("Faulty Ltd."))

    await worker(api, TWO, first=Faulty(), second=Register()).ask_due()

    assert (await status(api, holder))["status"] == "verified"
    assert [call.outcome for call in await calls(api)] == ["unavailable", "matched"]
    assert CREDIT_CODE not in caplog.text


@long_sessions
async def test_a_provider_that_raises_for_one_keeps_no_other_waiting(api: Api) -> None:
    holders = [await api.register() for _ in range(4)]
    with frozen() as clock:
        for number, holder in enumerate(holders):
            await submitted(api, holder, enterprise("Acme" if number else "Faulty", code(number)))
            clock.shift(1)

        await worker(api, first=Faulty()).ask_due()
        assert [(await status(api, one))["status"] for one in holders] == ["pending", *["verified"] * 3]

        clock.shift(timedelta(minutes=1))
        await worker(api, first=Register()).ask_due()
        assert (await status(api, holders[0]))["status"] == "verified"


async def test_what_a_slow_worker_asks_about_no_other_asks_about(api: Api) -> None:
    """Five submissions, one after the other, each provider as slow as it may be: nothing is paid for twice."""
    other = worker(api, TWO, first=Register(), second=Register())
    with frozen() as clock:
        for number in range(5):
            await submitted(api, await api.register(), enterprise(number=code(number)))

        async def dawdle() -> None:
            clock.shift(TIMEOUT)
            await other.ask_due()

        first, second = Register(Outcome.UNAVAILABLE, during=dawdle), Register(during=dawdle)
        await worker(api, TWO, first=first, second=second).ask_due()

    made = [(call.submission_id, call.provider) for call in await calls(api)]
    assert len({submission for submission, _ in made}) == 5
    assert len(set(made)) == len(made)


async def test_a_worker_that_was_too_slow_hands_nothing_to_staff(api: Api) -> None:
    """Another one has taken over, and is about to hear something better."""
    holder, began, finish = await api.register(), asyncio.Event(), asyncio.Event()

    async def hold_on() -> None:
        began.set()
        await finish.wait()

    with frozen() as clock, contextlib.ExitStack() as stack:
        await submitted(api, holder, enterprise())
        stack.callback(finish.set)
        tasks: list[asyncio.Task[int]] = []

        async def be_overtaken() -> None:
            clock.shift(timedelta(hours=1))
            tasks.append(asyncio.create_task(worker(api, first=Register(during=hold_on)).ask_due()))
            await began.wait()

        slow = Register(Outcome.UNAVAILABLE, during=be_overtaken)
        await worker(api, {"enterprise": ["first", "manual"]}, first=slow).ask_due()
        finish.set()
        assert await tasks[0] == 1

    assert [call.outcome for call in await calls(api)] == ["unavailable", "matched"]
    assert (await status(api, holder))["status"] == "verified"


# --- Mismatches -----------------------------------------------------------------------------------------------------

TOO_MANY = (429, "too_many_mismatches")


async def mismatch(api: Api, holder: Holder, number: str = CREDIT_CODE) -> None:
    await decided(api, holder, enterprise("Acme (mismatched)", number))
    assert (await status(api, holder))["latest"]["reason"] == "mismatched"


@pytest.mark.settings(access_token_seconds=10**8, daily_mismatches_per_account=2)
async def test_an_account_may_be_wrong_so_often_a_day(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    with frozen() as clock:
        await mismatch(api, holder, code(1))
        clock.shift(timedelta(hours=20))
        await mismatch(api, holder, code(2))

        refused = await submit(api, holder, enterprise(number=code(3)))
        assert refusal(refused) == TOO_MANY
        assert refused.headers["Retry-After"] == str(4 * 3600)
        assert (await submit(api, other, enterprise(number=code(3)))).status_code == 201

        clock.shift(timedelta(hours=4))
        assert (await submit(api, holder, enterprise(number=code(3)))).status_code == 201


@pytest.mark.settings(access_token_seconds=10**8, daily_mismatches_per_document=2)
async def test_a_document_may_be_wrong_so_often_a_day_whoever_submits_it(api: Api) -> None:
    first, second, third = [await api.register() for _ in range(3)]
    with frozen() as clock:
        await mismatch(api, first)
        await mismatch(api, second)

        assert refusal(await submit(api, third, enterprise())) == TOO_MANY
        assert (await submit(api, third, enterprise(number=OTHER_CREDIT_CODE))).status_code == 201

        clock.shift(DAY)
        assert (await submit(api, first, enterprise())).status_code == 201


@capped
@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.MISMATCHED])
async def test_no_other_answer_counts_as_a_mismatch(api: Api, outcome: Outcome) -> None:
    holder = await api.register()
    for _ in range(2):
        submission = await submitted(api, holder, enterprise())
        await worker(api, first=Register(outcome)).ask_due()
        assert (await withdraw(api, holder, submission)).status_code in (204, 409)

    await mismatch(api, holder)
    assert refusal(await submit(api, holder, enterprise())) == TOO_MANY


@capped
async def test_what_staff_looks_at_or_nobody_was_asked_about_is_no_mismatch(api: Api) -> None:
    holder = await api.register()
    for number, country in ((CREDIT_CODE, "CN"), ("201912345K", "SG")):
        for asking in (True, False):
            submission = await submitted(api, holder, enterprise(number=number, country=country))
            if asking:
                await worker(api, {}).ask_due()
            assert (await withdraw(api, holder, submission)).status_code == 204

    await mismatch(api, holder)


@capped
async def test_withdrawing_while_the_provider_is_asked_undoes_no_mismatch(api: Api) -> None:
    """It was paid for all the same."""
    holder = await api.register()
    submission = await submitted(api, holder, enterprise())

    await worker(api, first=Register(Outcome.MISMATCHED, during=lambda: withdraw(api, holder, submission))).ask_due()

    assert refusal(await submit(api, holder, enterprise())) == TOO_MANY


@capped
async def test_what_was_refused_for_mismatches_leaves_nothing_behind(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await mismatch(api, holder)
    before = await status(api, holder)

    assert refusal(await submit(api, holder, enterprise(number=OTHER_CREDIT_CODE))) == TOO_MANY

    assert await status(api, holder) == before
    assert await told(service) == ["submitted", "rejected"]
    async with api.container.engine.connect() as connection:
        assert await connection.scalar(text("SELECT sum(used) FROM real_name_documents")) == 0
