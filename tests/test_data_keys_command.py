"""`python -m app keys list-data`, `rotate-data`, `adopt-data`, as an operator runs them; and a changed secret."""

import base64
import re
import sqlite3
import subprocess
import sys
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from app.core import migrations
from app.core.crypto import Seal
from tests.support.api import Api, Holder, running
from tests.support.real_names import (
    OTHER_CREDIT_CODE,
    ask,
    decided,
    enterprise,
    gate,
    individual,
    status,
    submit,
    submitted,
    withdraw,
)
from tests.support.services import ServiceClient, client, staff

ROOT = Path(__file__).parents[1]
SECONDS = 20
OURS, OTHER = "our own secret of more than 32 characters", "another secret of more than 32 characters"
LISTED = re.compile(r"(dkey_[0-9a-f]{32})  made \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  seals (\d+)(  unreadable)?")
ROTATED = re.compile(r"(dkey_[0-9a-f]{32})  seals (\d+)\n")


@dataclass(frozen=True)
class CommandLine:
    """The program on a SQLite file."""

    file: Path
    secret: str = OURS

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def __call__(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(ROOT), "GUANCE_DATABASE_URL": self.url, "GUANCE_SECRET_KEY": self.secret}
        return subprocess.run(
            [sys.executable, "-m", "app", "keys", *arguments],
            env=environment | settings,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def listed(self) -> list[tuple[str, int, bool]]:
        """Id, how many values it seals, and whether it opens; the oldest first."""
        ended = self("list-data")
        assert (ended.returncode, ended.stderr) == (0, "")
        lines = [line for line in ended.stdout.splitlines() if not line.startswith("{")]  # a warning, in the log's form
        found = [LISTED.fullmatch(line) for line in lines]
        assert None not in found, ended.stdout
        return [(line[1], int(line[2]), line[3] is None) for line in found if line]

    def rotated(self) -> tuple[str, int]:
        """Id, and how many values it seals by now."""
        ended = self("rotate-data")
        found = ROTATED.search(ended.stdout)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert found is not None, ended.stdout
        return found[1], int(found[2])

    def adopt(self, old: Path) -> subprocess.CompletedProcess[str]:
        return self("adopt-data", "--old-secret-file", str(old))

    def under(self, secret: str) -> "CommandLine":
        return CommandLine(self.file, secret)

    def serving(self) -> AbstractAsyncContextManager[Api]:
        """The service on the same file, with the same secret."""
        return running(self.url, secret_key=self.secret)

    def secrets(self) -> list[bytes]:
        """The data keys themselves."""
        with closing(sqlite3.connect(self.file)) as connection:
            rows = connection.execute("SELECT id, sealed_secret FROM data_keys").fetchall()
        seal = Seal(self.secret.encode(), "data-keys")
        return [seal.open(sealed, bound=f"data_keys.sealed_secret:{UUID(key).hex}") for key, sealed in rows]


@pytest.fixture
def keys(tmp_path: Path) -> CommandLine:
    migrations.upgrade((made := CommandLine(tmp_path / "app.db")).url)
    return made


@pytest.fixture
def old_secret(tmp_path: Path) -> Path:
    """A file with the secret of before, written as an editor does."""
    file = tmp_path / "old-secret"
    file.write_text(f"{OURS}\n")
    return file


# --- Shown and rotated ----------------------------------------------------------------------------------------------


async def test_the_list_says_how_much_each_key_seals_and_a_rotation_moves_it(keys: CommandLine) -> None:
    async with keys.serving() as api:
        for number in range(2):
            await submitted(api, await api.register(), enterprise(f"Acme {number}"))
        ((first, values, opens),) = keys.listed()
        assert (values, opens) == (2, True)

        second, moved = keys.rotated()
        assert moved == 2
        assert keys.listed() == [(first, 0, True), (second, 2, True)]

        third, moved = keys.rotated()
        assert moved == 2
        assert keys.listed() == [(first, 0, True), (second, 0, True), (third, 2, True)]


async def test_what_was_erased_is_not_counted(keys: CommandLine) -> None:
    async with keys.serving() as api:
        holder = await api.register()
        await withdraw(api, holder, await submitted(api, holder, enterprise()))
        assert (await api.client.post("/v1/account/closure", headers=holder.auth)).status_code == 204

    assert [values for _, values, _ in keys.listed()] == [0]


async def test_neither_the_commands_nor_the_file_show_a_key_or_what_it_seals(keys: CommandLine) -> None:
    async with keys.serving() as api:
        await submitted(api, await api.register(), individual("Zebediah Quillfeather"))
    ended = [keys(command, GUANCE_LOG_LEVEL="DEBUG") for command in ("rotate-data", "list-data")]
    told = "".join(one.stdout + one.stderr for one in ended)
    with closing(sqlite3.connect(keys.file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    secrets = keys.secrets()

    assert len(secrets) == 2
    assert "Quillfeather" not in told and OURS not in told
    for secret in secrets:
        assert secret not in keys.file.read_bytes()
        assert secret.hex() not in told and base64.b64encode(secret).decode()[:40] not in told


def test_a_database_that_cannot_be_used_is_said_in_a_line(keys: CommandLine) -> None:
    away = {"GUANCE_DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/nowhere"}
    for command in ("list-data", "rotate-data"):
        ended = keys(command, **away)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "database" in ended.stderr
        assert "hunter2" not in ended.stderr and "Traceback" not in ended.stderr


# --- Another GUANCE_SECRET_KEY --------------------------------------------------------------------------------------


def test_a_command_with_another_secret_shows_the_keys_as_unreadable_and_makes_none(keys: CommandLine) -> None:
    ((first, _, _),) = keys.listed()

    assert keys.under(OTHER).listed() == [(first, 0, False)]
    assert keys.listed() == [(first, 0, True)]


async def test_keys_are_adopted_by_another_secret_with_the_old_one(keys: CommandLine, old_secret: Path) -> None:
    async with keys.serving() as api:
        holder, service = await api.register(), await client(api)
        await decided(api, holder, enterprise("Acme Ltd."))
        before = await gate(service, holder)
    keys.rotated()
    changed = keys.under(OTHER)

    adopted, again = changed.adopt(old_secret), changed.adopt(old_secret)

    assert [(one.returncode, one.stderr, one.stdout.splitlines()[-1]) for one in (adopted, again)] == [
        (0, "", "adopted 2"),
        (0, "", "adopted 0"),
    ]
    assert OURS not in adopted.stdout
    assert [opens for _, _, opens in changed.listed()] == [True, True]
    assert [opens for _, _, opens in keys.listed()] == [False, False]
    async with changed.serving() as api:
        assert await gate(await client(api), holder) == before


def test_what_was_no_secret_of_the_keys_adopts_nothing_and_says_so(keys: CommandLine, tmp_path: Path) -> None:
    keys.listed()
    (wrong := tmp_path / "wrong").write_text("a secret that nothing was sealed with")
    (binary := tmp_path / "binary").write_bytes(bytes(range(128, 256)))

    for file in (wrong, binary, tmp_path, tmp_path / "not-there"):
        refused = keys.under(OTHER).adopt(file)
        assert refused.returncode != 0
        assert refused.stderr != ""
        assert "Traceback" not in refused.stderr
        assert "nothing was sealed with" not in refused.stdout + refused.stderr
    assert [opens for _, _, opens in keys.listed()] == [True]


@dataclass(frozen=True)
class Before:
    """What was there before the secret changed."""

    verified: Holder
    person: Holder
    pending: Holder
    reviewed: Holder
    nobody: Holder
    waiting: tuple[str, str]  # the submissions that are pending, and in review

    @property
    def holders(self) -> list[Holder]:
        return [self.verified, self.person, self.pending, self.reviewed]


async def prepare(keys: CommandLine) -> Before:
    async with keys.serving() as api:
        verified, person, pending, reviewed, nobody = [await api.register() for _ in range(5)]
        await decided(api, verified, enterprise("Acme Ltd."))
        await decided(api, person, individual("张三"))
        review = await decided(api, reviewed, enterprise("Acme Pte. Ltd.", "201912345K", country="SG"))
        waits = await submitted(api, pending, enterprise("Acme Two", OTHER_CREDIT_CODE))
        return Before(verified, person, pending, reviewed, nobody, (waits, review))


async def decide(service: ServiceClient, submission: str, decision: str) -> int:
    path = f"/real-name/submissions/{submission}/decision"
    return (await service.post(path, {"decision": decision}, headers=staff())).status_code


async def shown_names(api: Api, holders: list[Holder]) -> list[str | None]:
    """As each sees it, logging in anew: tokens are under the old secret."""
    seen = [await status(api, await api.log_in(holder)) for holder in holders]
    return [one["latest"]["name"] for one in seen]


async def test_under_another_secret_nothing_is_shown_and_nothing_is_lost(keys: CommandLine) -> None:
    before = await prepare(keys)
    async with keys.under(OTHER).serving() as api:
        service = await client(api)

        assert (await api.client.get("/readyz")).json()["checks"]["data_key"] is False
        assert await shown_names(api, before.holders) == [None] * 4
        states = [(await status(api, await api.log_in(holder)))["status"] for holder in before.holders]
        assert states == ["verified", "verified", "pending", "pending"]
        queue = (await service.get("/real-name/submissions")).json()["items"]
        assert [one["name"] for one in queue] == [None] * 4
        assert await ask(api) == 1
        refused = await submit(api, await api.log_in(before.nobody), enterprise())
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert await api.container.data_keys.reseal() == 0

    async with keys.serving() as api:
        assert await shown_names(api, before.holders) == ["Acme Ltd.", "张***", "Acme Two", "Acme Pte. Ltd."]
        assert (await gate(await client(api), before.verified))["verified_name"] == "Acme Ltd."
        queue = (await (await client(api)).get("/real-name/submissions", status="pending")).json()["items"]
        assert [one["calls"] for one in queue] == [[], []]


async def test_under_another_secret_the_gate_answers_for_nobody_whose_name_it_cannot_read(keys: CommandLine) -> None:
    """Neither an invoice without its header, nor a no to who is verified."""
    before = await prepare(keys)
    async with keys.under(OTHER).serving() as api:
        service = await client(api)

        answer = await service.get(f"/accounts/{before.verified.account_id}/invoicing")
        reasons = [(await gate(service, one))["reason"] for one in (before.person, before.pending, before.nobody)]

    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert int(answer.headers["Retry-After"]) > 0
    assert reasons == ["enterprise_required", "pending", "not_submitted"]


async def test_under_another_secret_staff_approves_nothing_unseen_but_may_reject(keys: CommandLine) -> None:
    before = await prepare(keys)
    async with keys.under(OTHER).serving() as api:
        service, (waits, review) = await client(api), before.waiting

        assert await decide(service, review, "approve") == 503
        assert (await status(api, await api.log_in(before.reviewed)))["status"] == "pending"
        assert await decide(service, review, "reject") == 200
        assert (await withdraw(api, await api.log_in(before.pending), waits)).status_code == 204


async def test_who_has_lost_the_secret_goes_on_with_another_key(keys: CommandLine) -> None:
    """What the lost one sealed stays as it is, should it be found; and is not in the way."""
    before = await prepare(keys)
    changed = keys.under(OTHER)

    assert changed.rotated()[1] == 0

    assert [(values, opens) for _, values, opens in changed.listed()] == [(4, False), (0, True)]
    async with changed.serving() as api:
        assert (await api.client.get("/readyz")).json()["checks"]["data_key"] is True
        holder = await api.log_in(before.verified)
        await decided(api, holder, enterprise("Acme Anew"))
        assert (await gate(await client(api), holder))["verified_name"] == "Acme Anew"
        assert await shown_names(api, before.holders) == ["Acme Anew", None, None, None]
    assert keys.listed()[0][1:] == (4, True)
    async with keys.serving() as api:
        assert await shown_names(api, before.holders) == [None, "张***", "Acme Two", "Acme Pte. Ltd."]
