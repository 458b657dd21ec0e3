"""Password hashes that were made elsewhere: which are taken over, and that their passwords stay right here."""

from collections.abc import AsyncIterator

import argon2 as argon2cffi
import bcrypt
import pytest
from sqlalchemy import select

from app.core.passwords import PasswordHasher, may_import
from app.models.accounts import Account
from tests.support.api import Api, may_log_in
from tests.support.services import client

ARGON2_HEAD, SALT = "$argon2id$v=19$m=256,t=2,p=1$", "c29tZXNhbHQ"
ARGON2_SUM = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
ARGON2 = f"{ARGON2_HEAD}{SALT}${ARGON2_SUM}"
BCRYPT = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"

# Published by others, so that this is no talk of the library with itself.
VECTORS = {
    "the test of the Argon2 reference code": ("password", ARGON2),
    "the same with two lanes": (
        "password",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    ),
    "jBCrypt": ("abc", BCRYPT),
    "the manual of PHP": ("rasmuslerdorf", "$2y$10$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a"),
}


@pytest.fixture
async def hasher() -> AsyncIterator[PasswordHasher]:
    made = PasswordHasher(memory_kib=8, time=1, parallelism=1, threads=1, queue=8)
    yield made
    made.close()


def bcrypted(password: str, *, kind: str = "2b") -> str:
    """By a service that cuts at 72 bytes, as every bcrypt did for decades."""
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", f"${kind}$")


def argon2(memory: int, passes: int, lanes: int) -> str:
    return f"$argon2id$v=19$m={memory},t={passes},p={lanes}${SALT}${ARGON2_SUM}"


@pytest.mark.parametrize(("password", "hashed"), VECTORS.values(), ids=VECTORS)
async def test_a_hash_published_by_others_is_taken_and_knows_its_password(
    hasher: PasswordHasher, password: str, hashed: str
) -> None:
    assert may_import(hashed)
    assert await hasher.verify(password, hashed)
    assert not await hasher.verify(f"{password}.", hashed)
    assert hasher.is_outdated(hashed) is hashed.startswith("$2")


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("salt", [8, 16, 64])
async def test_argon2_of_another_library_is_read_whatever_its_lanes_and_salt(
    hasher: PasswordHasher, lanes: int, salt: int
) -> None:
    made = argon2cffi.PasswordHasher(time_cost=2, memory_cost=64, parallelism=lanes, salt_len=salt, hash_len=64)
    hashed = made.hash("a long passphrase")

    assert await hasher.verify("a long passphrase", hashed)
    assert not await hasher.verify("a long passphrasE", hashed)


@pytest.mark.parametrize("lanes", [1, 2])
async def test_another_library_reads_our_argon2(lanes: int) -> None:
    made = PasswordHasher(memory_kib=64, time=2, parallelism=lanes, threads=1, queue=8)
    hashed = await made.hash("a long passphrase")
    made.close()

    assert f"$argon2id$v=19$m=64,t=2,p={lanes}$" in hashed
    assert argon2cffi.PasswordHasher().verify(hashed, "a long passphrase")


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
async def test_each_kind_of_bcrypt_is_read_alike(hasher: PasswordHasher, kind: str) -> None:
    hashed = bcrypted("a long passphrase", kind=kind)
    assert may_import(hashed)
    assert await hasher.verify("a long passphrase", hashed)


@pytest.mark.parametrize("password", ["x" * 100, "y" * 71 + "é" * 20, "观测" * 40], ids=["letters", "cut", "chinese"])
async def test_a_password_longer_than_bcrypt_reads_is_right_for_its_hash(hasher: PasswordHasher, password: str) -> None:
    hashed = bcrypted(password)
    assert await hasher.verify(password, hashed)
    assert not await hasher.verify(f"z{password[1:]}", hashed)


@pytest.mark.parametrize("hashed_as", ["ﬁsh and ＣＨＩＰＳ", "fish and CHIPS"], ids=["as typed", "in NFKC"])
async def test_a_password_is_right_whether_the_other_service_normalised_it_or_not(
    hasher: PasswordHasher, hashed_as: str
) -> None:
    assert await hasher.verify("ﬁsh and ＣＨＩＰＳ", bcrypted(hashed_as))


@pytest.mark.parametrize(
    "hashed",
    [
        argon2(131_072, 2, 1),
        argon2(65_536, 4, 4),
        argon2(8, 1, 1),
        argon2(128, 99, 16),
        BCRYPT.replace("$06$", "$13$"),
        BCRYPT.replace("$06$", "$04$"),
    ],
)
def test_what_costs_up_to_the_bounds_is_taken(hashed: str) -> None:
    assert may_import(hashed)


@pytest.mark.parametrize(
    "hashed",
    [
        argon2(131_073, 1, 1),
        argon2(131_072, 3, 1),
        argon2(9_999_999, 1, 1),
        argon2(19_456, 99, 1),
        argon2(256, 2, 17),
        argon2(7, 1, 1),
        argon2(31, 1, 4),
        argon2(256, 100, 1),
        argon2(256, 0, 1),
        argon2(256, 2, 0),
        argon2(4_294_967_295, 4_294_967_295, 1),
        BCRYPT.replace("$06$", "$14$"),
        BCRYPT.replace("$06$", "$31$"),
        BCRYPT.replace("$06$", "$03$"),
        BCRYPT.replace("$06$", "$99$"),
    ],
)
def test_what_would_keep_the_service_busy_or_cannot_be_is_refused(hashed: str) -> None:
    assert not may_import(hashed)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        " ",
        "correct horse battery staple",
        "$",
        "$$$$$",
        ARGON2.replace("argon2id", "argon2i"),
        ARGON2.replace("argon2id", "argon2d"),
        ARGON2.replace("v=19", "v=16"),
        ARGON2.replace("v=19$", ""),
        ARGON2.replace("p=1", "p=1,keyid=AAAA"),
        f"{ARGON2}\n",
        f" {ARGON2}",
        f"{ARGON2}$",
        f"{ARGON2_HEAD}{SALT}$",
        f"{ARGON2_HEAD}${ARGON2_SUM}",
        f"{ARGON2_HEAD}{SALT}=${ARGON2_SUM}",
        BCRYPT.replace("$2a$", "$2x$"),
        BCRYPT.replace("$2a$", "$2$"),
        BCRYPT.replace("$06$", "$6$"),
        BCRYPT[:-1],
        f"{BCRYPT}.",
        f"{BCRYPT}\n",
        BCRYPT[:-1] + "j",  # the last letter carries two bits: this one no bcrypt writes
        "$1$O3JMY.Tw$AdLnLjQ/5jXF9.MTp3gHv/",
        "$5$rounds=5000$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
        "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
        "{SSHA}pwrs0Y3ayXjvNGhPKpLMFcWGBRXMGCJD",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "＄2a＄06＄If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i",
    ],
)
def test_anything_but_a_whole_argon2id_or_bcrypt_is_refused(hashed: str) -> None:
    assert not may_import(hashed)


@pytest.mark.parametrize(
    ("salt", "checksum"),
    [(f"{SALT}aa", ARGON2_SUM), ("c29tZXNhbHR", ARGON2_SUM), (SALT, f"{ARGON2_SUM}aa"), (SALT, f"{ARGON2_SUM[:-1]}5")],
    ids=["salt of no length", "salt with stray bits", "sum of no length", "sum with stray bits"],
)
def test_an_argon2_hash_whose_base64_no_encoder_writes_is_refused(salt: str, checksum: str) -> None:
    """No password would ever be right for it: better told to the service than to the holder."""
    assert not may_import(f"{ARGON2_HEAD}{salt}${checksum}")


# --- Through the whole service ---------------------------------------------------------------------------------------


@pytest.mark.settings(argon2_memory_kib=64, argon2_time=2)
@pytest.mark.parametrize(
    ("password", "hashed"),
    [
        ("a long passphrase", bcrypted("a long passphrase", kind="2a")),
        ("a long passphrase", bcrypted("a long passphrase", kind="2b")),
        ("a long passphrase", bcrypted("a long passphrase", kind="2y")),
        ("观测云" * 30, bcrypted("观测云" * 30)),
        ("ﬁsh and ＣＨＩＰＳ", bcrypted("ﬁsh and ＣＨＩＰＳ")),
        (
            "a long passphrase",
            argon2cffi.PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash("a long passphrase"),
        ),
    ],
    ids=["2a", "2b", "2y", "over 72 bytes", "not NFKC", "argon2id"],
)
async def test_a_password_whose_hash_was_handed_over_logs_in_and_ends_up_in_our_argon2id(
    api: Api, password: str, hashed: str
) -> None:
    await hand_over(api, hashed)
    assert not await may_log_in(api, "acme", f"no {password}")
    assert await stored(api) == hashed

    assert await may_log_in(api, "acme", password)

    upgraded = await stored(api)
    assert upgraded.startswith("$argon2id$v=19$m=64,t=2,p=1$")
    assert await may_log_in(api, "acme", password)


@pytest.mark.settings(argon2_memory_kib=64, argon2_time=2)
async def test_after_its_upgrade_all_of_a_long_password_counts(api: Api) -> None:
    """bcrypt reads 72 bytes of a password; ours all of it."""
    await hand_over(api, bcrypted("x" * 100))
    assert await may_log_in(api, "acme", "x" * 100)

    assert not await may_log_in(api, "acme", "x" * 72)


async def hand_over(api: Api, hashed: str) -> None:
    """What Guance's registration does with the initial password."""
    body = {"username": "acme", "email": "li@example.com", "company_name": "Northwind", "password_hash": hashed}
    answer = await (await client(api)).post("/accounts", body)
    assert answer.status_code == 201, answer.text


async def stored(api: Api) -> str:
    async with api.container.engine.connect() as connection:
        return str(await connection.scalar(select(Account.password_hash)))
