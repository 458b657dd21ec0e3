"""The command line, as an operator runs it: a process of its own with an environment of its own."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest
from sqlalchemy import Column, Integer, Table
from typer.testing import CliRunner

from app import __main__ as command_line
from app.core import migrations
from app.core.config import Settings
from app.core.database import METADATA
from tests.support.api import running

ROOT = Path(__file__).parents[1]
SECRETS = ("0123456789abcdef-own-0123456789abcdef", "hunter2")
SECONDS = 20
SHORT = 10  # lines: a message, not a traceback


@pytest.fixture
def development(tmp_path: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}",
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
    }


@pytest.fixture
def migrated(development: dict[str, str]) -> dict[str, str]:
    migrations.upgrade(development["GUANCE_DATABASE_URL"])
    return development


@pytest.fixture
def production(development: dict[str, str]) -> dict[str, str]:
    """An environment that production starts with."""
    return development | {
        "GUANCE_ENVIRONMENT": "production",
        "GUANCE_REAL_NAME_PROVIDERS": "{}",
        "GUANCE_BILLING": "http",
        "GUANCE_BILLING_URL": "https://bills.example.com",
        "GUANCE_SECRET_KEY": SECRETS[0],
        "GUANCE_ALLOW_SQLITE": "true",
        "GUANCE_EMAIL_NOTIFIER": "smtp",
        "GUANCE_SMTP_URL": f"smtp://mailer:{SECRETS[1]}@127.0.0.1:2525",
        "GUANCE_SMS_NOTIFIER": "http",
        "GUANCE_SMS_HTTP_URL": f"https://sms.example.com/{SECRETS[1]}",
        "GUANCE_ISSUER": "https://account.example.com",
        "GUANCE_SPA_URL": "https://billing.example.com",
    }


def app(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def keys(environment: dict[str, str]) -> dict[str, str]:
    """The state of each key by its id."""
    return {line.split()[0]: line.split()[1] for line in app(environment, "keys", "list").stdout.splitlines()}


# --- What production refuses ----------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, str | None], list[str]]] = {
    "what is good enough for development": (
        {
            "GUANCE_SECRET_KEY": None,
            "GUANCE_EMAIL_NOTIFIER": "log",
            "GUANCE_SMS_NOTIFIER": "log",
            "GUANCE_ALLOW_SQLITE": None,
            "GUANCE_ISSUER": "http://account.example.com",
            "GUANCE_SPA_URL": "http://billing.example.com",
        },
        [
            "GUANCE_SECRET_KEY",
            "GUANCE_EMAIL_NOTIFIER",
            "GUANCE_SMS_NOTIFIER",
            "GUANCE_ALLOW_SQLITE",
            "GUANCE_ISSUER",
            "GUANCE_SPA_URL",
        ],
    ),
    "a short secret": ({"GUANCE_SECRET_KEY": "hunter2"}, ["GUANCE_SECRET_KEY"]),
    "a notifier without its settings": ({"GUANCE_SMTP_URL": None}, ["GUANCE_SMTP_URL"]),
    "a setting that is none": ({"GUANCE_DAILY_TRYS": "20"}, ["GUANCE_DAILY_TRYS"]),
    "a value of the wrong kind": ({"GUANCE_DAILY_TRIES": "hunter2"}, ["GUANCE_DAILY_TRIES"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_production_refuses(production: dict[str, str], case: str) -> None:
    changes, named = REFUSED[case]
    environment = {name: value for name, value in (production | changes).items() if value is not None}

    refused = app(environment, "serve", "--port", "1")

    assert refused.returncode != 0
    assert_short(refused, *named)


def test_production_refuses_to_serve_without_a_signing_key_and_serves_with_one(production: dict[str, str]) -> None:
    assert app(production, "migrate").returncode == 0
    assert_short(refused := app(production, "serve", "--port", "1"), "keys rotate")
    assert refused.returncode != 0

    assert app(production, "keys", "rotate").returncode == 0
    with _started(production, "serve", "--port", "0") as server:
        base = _address(server.stdout)
        assert httpx.get(f"{base}/readyz").json()["ready"] is True
        assert httpx.get(f"{base}/dev/messages").status_code == 404


def test_production_says_what_to_do_about_a_database_that_was_not_migrated(production: dict[str, str]) -> None:
    refused = app(production, "serve", "--port", "1")

    assert refused.returncode == 1
    assert refused.stderr == "not ready: schema: python -m app migrate\n"


def test_a_database_that_is_away_is_said_in_a_line(development: dict[str, str]) -> None:
    environment = development | {"GUANCE_DATABASE_URL": f"postgresql://me:{SECRETS[1]}@127.0.0.1:1/nowhere"}
    for command in (("migrate",), ("keys", "list")):
        failed = app(environment, *command)
        assert failed.returncode != 0
        assert_short(failed, "database")


def test_development_warns_of_a_setting_that_is_none(migrated: dict[str, str]) -> None:
    warned = app(migrated | {"GUANCE_DAILY_TRYS": "20"}, "keys", "list")

    assert warned.returncode == 0
    assert "GUANCE_DAILY_TRYS" in warned.stdout + warned.stderr


def assert_short(ended: subprocess.CompletedProcess[str], *named: str) -> None:
    """It says what is wrong, in a few lines, and shows no secret."""
    said = ended.stdout + ended.stderr
    assert [name for name in named if name not in said] == []
    assert [secret for secret in SECRETS if secret in said] == []
    assert len(said.splitlines()) <= SHORT, said


# --- Keys -----------------------------------------------------------------------------------------------------------


def test_a_key_is_published_before_it_signs_and_gone_when_revoked(migrated: dict[str, str]) -> None:
    first, second, third = (
        app(migrated, "keys", "rotate", *options).stdout.strip() for options in ((), (), ("--now",))
    )

    assert app(migrated, "keys", "revoke", first).returncode == 0
    assert keys(migrated) == {first: "revoked", third: "signing", second: "next"}


def test_a_key_that_nobody_has_cannot_be_revoked(migrated: dict[str, str]) -> None:
    refused = app(migrated, "keys", "revoke", "nobodys")

    assert refused.returncode != 0
    assert_short(refused, "not_found")


# --- The schema and the document ------------------------------------------------------------------------------------


def test_migrate_makes_the_schema_and_does_nothing_the_second_time(development: dict[str, str]) -> None:
    first, second = app(development, "migrate"), app(development, "migrate")

    assert (first.returncode, second.returncode) == (0, 0)
    assert "Running upgrade" in first.stdout
    assert "Running upgrade" not in second.stdout
    assert migrations.check(development["GUANCE_DATABASE_URL"]) == []


@pytest.fixture
def unmigrated() -> Iterator[str]:
    """A table in the code that no migration makes."""
    table = Table("forgotten", METADATA, Column("id", Integer, primary_key=True))
    yield table.name
    METADATA.remove(table)


def test_migrate_check_passes_for_what_is_committed() -> None:
    assert CliRunner().invoke(command_line.app, ["migrate", "--check"]).exit_code == 0


def test_migrate_check_fails_for_a_table_without_a_migration(unmigrated: str) -> None:
    checked = CliRunner().invoke(command_line.app, ["migrate", "--check"])

    assert checked.exit_code == 1
    assert unmigrated in checked.stderr


def test_openapi_check_passes_for_what_is_committed_and_fails_for_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> int:
        return CliRunner().invoke(command_line.app, ["openapi", "--check"]).exit_code

    assert check() == 0
    changed = tmp_path / "internal.json"
    monkeypatch.setattr(command_line, "_DOCUMENTS", tmp_path)
    assert check() == 1
    assert CliRunner().invoke(command_line.app, ["openapi"]).exit_code == 0
    assert check() == 0
    changed.write_text(changed.read_text().replace('"201"', '"200"', 1))
    assert check() == 1


def test_the_document_is_the_same_in_every_environment(
    production: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in production.items():
        monkeypatch.setenv(name, value)
    assert not Settings().is_development

    assert CliRunner().invoke(command_line.app, ["openapi", "--check"]).exit_code == 0


# --- Processes ------------------------------------------------------------------------------------------------------


def test_a_development_server_makes_its_own_database_and_shows_its_messages(development: dict[str, str]) -> None:
    with _started(development, "serve", "--port", "0") as server:
        base = _address(server.stdout)
        body = {"username": "acme", "email": "li@example.com", "company_name": "Northwind Trading"}
        assert httpx.post(f"{base}/v1/registrations", json=body).status_code == 202
        headers = {"accept": "application/json"}
        _wait_until(lambda: httpx.get(f"{base}/dev/messages", headers=headers).json()["items"])


async def test_a_worker_that_is_told_to_stop_ends_well(migrated: dict[str, str], tmp_path: Path) -> None:
    async with running(f"sqlite:///{tmp_path / 'app.db'}") as api:
        body = {"username": "acme", "email": "li@example.com", "company_name": "Northwind Trading"}
        await api.client.post("/v1/registrations", json=body)
    with _started(migrated, "worker") as worker:
        await asyncio.to_thread(_wait_until, (tmp_path / "messages.jsonl").exists)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, SECONDS) == 0


@contextmanager
def _started(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed when the block ends."""
    command = [sys.executable, "-m", "app", *arguments]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _address(log: IO[str] | None) -> str:
    """Where the server says that it listens."""
    assert log is not None
    for line in log:
        if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
            return found[1]
    raise AssertionError("the server ended before it listened")


def _wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_it_loads_nothing_that_draws() -> None:
    """rich is megabytes in every process, for colours that no log shows."""
    loaded = "import app.__main__, sys; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
