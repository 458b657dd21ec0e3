"""The password hasher: what it writes, what it takes for right, and that it holds nobody up."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from app.core import passwords
from app.core.errors import Busy
from app.core.passwords import PasswordHasher

PASSWORD = "correct horse battery staple"


def hasher(*, memory_kib: int = 8, time: int = 1, threads: int = 1, queue: int = 32) -> PasswordHasher:
    return PasswordHasher(memory_kib=memory_kib, time=time, parallelism=1, threads=threads, queue=queue)


@pytest.fixture
async def slow() -> AsyncIterator[PasswordHasher]:
    """One hash takes some tens of milliseconds; one is computed, one waits."""
    made = hasher(memory_kib=32_768, time=3, queue=1)
    yield made
    made.close()


async def test_a_hash_is_argon2id_with_the_parameters_of_the_settings() -> None:
    hashed = await hasher(memory_kib=64, time=2).hash(PASSWORD)

    assert hashed.startswith("$argon2id$v=19$m=64,t=2,p=1$")


async def test_each_hash_has_a_salt_of_its_own() -> None:
    one = hasher()

    assert await one.hash(PASSWORD) != await one.hash(PASSWORD)


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        (PASSWORD, True),
        (PASSWORD + " ", False),
        (PASSWORD.title(), False),
        ("", False),
    ],
)
async def test_only_the_very_password_is_right(typed: str, right: bool) -> None:
    one = hasher()

    assert await one.verify(typed, await one.hash(PASSWORD)) is right


@given(st.text(max_size=140), st.sampled_from(["", ".", "\0"]))
@settings(max_examples=60)
def test_libsodium_and_passlib_find_the_same(password: str, more: str) -> None:
    one = hasher()
    hashed = one._context.hash(password)
    secret = (password + more).encode()

    assert passwords._sodium_takes(hashed)
    assert passwords._sodium_finds(secret, hashed) is one._context.verify(secret, hashed) is (more == "")


@pytest.mark.parametrize("parameters", ["m=64,t=2,p=2", "m=64,t=2,p=1", "m=8,t=1,p=1"])
async def test_a_damaged_hash_is_a_wrong_password_by_whichever_it_is_compared(parameters: str) -> None:
    head = f"$argon2id$v=19${parameters}$"
    for damaged in (
        f"{head}c29tZXNhbHQ${'A' * 23}",
        f"{head}$",
        f"{head}c29tZXNhbHQ${'A' * 80}",
        head.replace("m=", "m=0"),
    ):
        assert not await hasher().verify(PASSWORD, damaged)


async def test_the_same_characters_in_another_unicode_form_are_the_same_password() -> None:
    one = hasher()

    assert await one.verify("Ａngström ﬁsh", await one.hash("Angstro\u0308m fish"))


@pytest.mark.parametrize("damaged", ["", "plain text", "$argon2id$v=19$m=8,t=1,p=1$broken", "$2b$12$" + "a" * 53, "$"])
async def test_a_hash_that_cannot_be_read_is_a_wrong_password(damaged: str) -> None:
    assert not await hasher().verify(PASSWORD, damaged)


@pytest.mark.parametrize("missing", [None, ""])
async def test_nobody_s_password_is_right_for_nobody(missing: str | None) -> None:
    """The decoy that is compared in the place of a missing hash must not let anybody in."""
    assert not await hasher().verify("nobody's password", missing)


async def test_a_comparison_takes_as_long_when_there_is_no_hash(slow: PasswordHasher) -> None:
    hashed = await slow.hash(PASSWORD)
    with_hash = min([await seconds(slow, hashed) for _ in range(5)])
    without = min([await seconds(slow, None) for _ in range(5)])

    assert 0.4 < without / with_hash < 2.5


async def seconds(one: PasswordHasher, hashed: str | None) -> float:
    began = time.perf_counter()
    await one.verify("something else", hashed)
    return time.perf_counter() - began


@pytest.mark.parametrize(
    ("memory_kib", "rounds", "outdated"),
    [(64, 2, False), (128, 2, True), (64, 3, True), (32, 2, False), (64, 1, False), (32, 3, True)],
)
async def test_a_hash_is_outdated_once_a_parameter_was_raised(memory_kib: int, rounds: int, outdated: bool) -> None:
    hashed = await hasher(memory_kib=64, time=2).hash(PASSWORD)

    assert hasher(memory_kib=memory_kib, time=rounds).is_outdated(hashed) is outdated


def test_a_hash_of_another_kind_is_outdated() -> None:
    assert hasher().is_outdated("$2b$12$" + "a" * 53)


def in_queue() -> float | None:
    """What an operator sees of all queues of this process."""
    return REGISTRY.get_sample_value("guance_password_hash_queue")


async def test_the_queue_is_measured_as_it_fills(slow: PasswordHasher) -> None:
    hashing = [asyncio.create_task(slow.hash(PASSWORD)) for _ in range(2)]
    await asyncio.sleep(0)

    assert in_queue() == 2
    await asyncio.gather(*hashing)


async def test_more_than_the_queue_holds_is_refused_at_once(slow: PasswordHasher) -> None:
    results = await asyncio.gather(*(slow.hash(PASSWORD) for _ in range(5)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, Busy)]

    assert len(refused) == 3
    assert all(one.headers["Retry-After"] == "1" for one in refused)


async def test_there_is_room_again_after_the_rush(slow: PasswordHasher) -> None:
    await asyncio.gather(*(slow.hash(PASSWORD) for _ in range(5)), return_exceptions=True)

    assert in_queue() == 0
    assert (await slow.hash(PASSWORD)).startswith("$argon2id$")


async def test_a_cancelled_caller_leaves_the_queue(slow: PasswordHasher) -> None:
    task = asyncio.create_task(slow.hash(PASSWORD))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert in_queue() == 0


async def test_other_work_goes_on_while_a_password_is_hashed(slow: PasswordHasher) -> None:
    """The event loop turns many times during one hash: the work is done in a thread."""
    hashing = asyncio.create_task(slow.hash(PASSWORD))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 20


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux alone")
async def test_a_hash_steps_back_behind_what_answers_requests() -> None:
    one = hasher()
    before = os.getpriority(os.PRIO_PROCESS, 0)

    assert await one._run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == before + 5
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


async def test_hashes_are_made_where_no_priority_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    one = hasher()

    assert await one.verify(PASSWORD, await one.hash(PASSWORD))
