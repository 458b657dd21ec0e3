"""`python -m app clients …`, as an operator runs it: service clients made, shown, rotated, and stopped."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.core.crypto import digest
from app.core.scopes import MEANINGS, Scope
from tests.support.api import Api, running
from tests.support.services import token

ROOT = Path(__file__).parents[1]
SECONDS = 20
NOBODY, NOTHING = f"clnt_{'0' * 32}", f"scrt_{'0' * 32}"
MADE = re.compile(r"client_id: (clnt_[0-9a-f]{32})\nclient_secret: ([A-Za-z0-9_-]{43})\n")


@dataclass(frozen=True)
class CommandLine:
    """The program on a SQLite file that is not there before the first command."""

    file: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "app", "clients", *arguments)

    def run(self, *arguments: str, told: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(ROOT), "GUANCE_DATABASE_URL": self.url}
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=ROOT,
            input=told,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def made(self, *arguments: str) -> tuple[str, str]:
        """Id and secret of a command that shows a secret."""
        ended = self(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        found = MADE.fullmatch(ended.stdout)
        assert found is not None, ended.stdout
        return found[1], found[2]

    def client(self, name: str = "invoices", *scopes: str) -> tuple[str, str]:
        options = [option for scope in scopes or ("events:read",) for option in ("--scope", scope)]
        return self.made("create", "--name", name, *options)

    def listed(self) -> list[str]:
        ended = self("list")
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout.splitlines()

    def secret_ids(self) -> list[str]:
        """Oldest first."""
        return [line.split()[0] for line in self.listed() if line.startswith("  ")]


@pytest.fixture
def clients(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "app.db")


async def events(api: Api, answer: httpx.Response) -> int:
    """The status of a call with a token just got."""
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return (await api.client.get("/internal/v1/events", headers=headers)).status_code


def everything_in(file: Path) -> bytes:
    """The database as it lies on the disk."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return b"".join(part.read_bytes() for part in file.parent.glob(f"{file.name}*"))


# --- Made -----------------------------------------------------------------------------------------------------------


async def test_what_create_prints_gets_a_token_that_opens_what_its_scopes_say(clients: CommandLine) -> None:
    client_id, secret = clients.client("invoices", "events:read", "accounts:read")

    async with running(clients.url) as api:
        answer = await token(api, client_id, secret)
        assert answer.json()["scope"] == "accounts:read events:read"
        assert await events(api, answer) == 200
    assert re.search(r"  used \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", clients.listed()[1])


def test_a_secret_is_shown_once_and_kept_as_its_hash(clients: CommandLine) -> None:
    _, secret = clients.client()

    on_disk = everything_in(clients.file)
    assert digest(secret) in on_disk
    assert secret.encode() not in on_disk
    assert secret not in "".join(clients.listed())


def test_the_list_says_what_each_client_may_do_and_which_secrets_it_has(clients: CommandLine) -> None:
    second, _ = clients.client("workspaces", "workspaces:write", "login-tickets:create", "workspaces:write")
    first, _ = clients.client("invoices 2.0_x-y", "events:read")
    clients("disable", second)

    lines = clients.listed()

    assert lines[0] == f"{first}  invoices 2.0_x-y  enabled  events:read"
    assert re.fullmatch(r"  scrt_[0-9a-f]{32}  used never", lines[1])
    assert lines[2] == f"{second}  workspaces  disabled  login-tickets:create workspaces:write"
    assert len(lines) == 4


def test_a_list_of_no_clients_is_empty(clients: CommandLine) -> None:
    assert clients.listed() == []


def test_every_scope_is_shown_with_its_meaning(clients: CommandLine) -> None:
    lines = clients("scopes").stdout.splitlines()

    assert {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines} == {
        str(scope): MEANINGS[scope] for scope in Scope
    }


# --- Refused --------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[tuple[str, ...], int, str]] = {
    # The command, its exit code, what it says.
    "create_without_a_name": (("create", "--scope", "events:read"), 2, "--name"),
    "create_without_a_scope": (("create", "--name", "x"), 2, "--scope"),
    "create_with_an_unknown_scope": (("create", "--name", "x", "--scope", "everything"), 2, "events:read"),
    "create_with_one_good_scope": (("create", "--name", "x", "--scope", "events:read", "--scope", "y"), 2, "y"),
    "create_with_an_empty_name": (("create", "--name", "", "--scope", "events:read"), 2, "--name"),
    "create_with_a_long_name": (("create", "--name", "x" * 65, "--scope", "events:read"), 2, "--name"),
    "create_with_a_line_break": (("create", "--name", "x\nclient_id: y", "--scope", "events:read"), 2, "--name"),
    "create_with_a_final_line_break": (("create", "--name", "x\n", "--scope", "events:read"), 2, "--name"),
    "create_with_a_taken_name": (("create", "--name", "invoices", "--scope", "events:read"), 1, "name_taken"),
    "rotate_nobody": (("rotate", NOBODY), 1, "not_found"),
    "revoke_nobodys": (("revoke", NOBODY, NOTHING), 1, "not_found"),
    "disable_nobody": (("disable", NOBODY), 1, "not_found"),
    "enable_nobody": (("enable", NOBODY), 1, "not_found"),
    "rotate_no_id": (("rotate", "invoices"), 2, "clnt_"),
    "rotate_another_kind_of_id": (("rotate", NOTHING), 2, "clnt_"),
    "revoke_with_the_ids_in_the_wrong_order": (("revoke", NOTHING, NOBODY), 2, "clnt_"),
    "revoke_no_id_of_a_secret": (("revoke", NOBODY, "x"), 2, "scrt_"),
    "disable_no_id": (("disable", NOBODY.upper()), 2, "clnt_"),
    "enable_no_id": (("enable", f"{NOBODY}0"), 2, "clnt_"),
}


# All in one process: to start one takes longer than to run any of them. The first command makes the client.
DRIVER = """
import json, sys
from typer.testing import CliRunner
from app.__main__ import app
ended = [CliRunner().invoke(app, ["clients", *one]) for one in json.load(sys.stdin)]
json.dump([(one.exit_code, one.stdout, one.stderr) for one in ended], sys.stdout)
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """How each command ended; the last one is the list of what is there after all of them."""
    clients = CommandLine(tmp_path_factory.mktemp("refused") / "app.db")
    create = ("create", "--name", "invoices", "--scope", "events:read")
    commands = [create, *(command for command, _, _ in REFUSED.values()), ("list",)]
    _, *results = json.loads(clients.run("-c", DRIVER, told=json.dumps(commands)).stdout)
    return {case: tuple(result) for case, result in zip([*REFUSED, "list"], results, strict=True)}


@pytest.mark.parametrize("case", REFUSED)
def test_a_command_that_cannot_be_done_says_why(ended: dict[str, tuple[int, str, str]], case: str) -> None:
    _, code, said = REFUSED[case]
    exit_code, shown, complained = ended[case]

    assert (exit_code, shown) == (code, "")
    assert said in complained
    assert "Traceback" not in complained


def test_a_command_that_cannot_be_done_changes_nothing(ended: dict[str, tuple[int, str, str]]) -> None:
    first, second = ended["list"][1].splitlines()

    assert first.endswith("  invoices  enabled  events:read")
    assert second.endswith("  used never")


# --- Rotated and stopped --------------------------------------------------------------------------------------------


async def test_a_secret_is_replaced_without_a_gap(clients: CommandLine) -> None:
    client_id, old = clients.client()
    same_id, new = clients.made("rotate", client_id)
    assert (same_id, new != old) == (client_id, True)

    third = clients("rotate", client_id)
    assert (third.returncode, third.stdout) == (1, "")
    assert "too_many_secrets" in third.stderr

    async with running(clients.url) as api:
        by_old, by_new = await token(api, client_id, old), await token(api, client_id, new)
        assert (await events(api, by_old), await events(api, by_new)) == (200, 200)

        first, second = clients.secret_ids()
        revoked, again = (clients("revoke", client_id, first) for _ in range(2))

        assert (revoked.returncode, revoked.stdout, revoked.stderr) == (0, "", "")
        assert (again.returncode, "not_found" in again.stderr) == (1, True)
        assert (await events(api, by_old), await events(api, by_new)) == (401, 200)
        assert (await token(api, client_id, old)).json()["error"] == "invalid_client"
    assert clients.secret_ids() == [second]


async def test_a_client_that_is_disabled_is_out_at_once_and_in_again_when_enabled(clients: CommandLine) -> None:
    client_id, secret = clients.client()
    async with running(clients.url) as api:
        before = await token(api, client_id, secret)
        assert await events(api, before) == 200

        assert clients("disable", client_id).returncode == 0
        assert await events(api, before) == 401
        assert (await token(api, client_id, secret)).json()["error"] == "invalid_client"

        assert clients("enable", client_id).returncode == 0
        assert await events(api, await token(api, client_id, secret)) == 200
