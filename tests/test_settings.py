"""Settings: each is documented as it is, production refuses what must not run, secrets are not shown."""

import asyncio
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.core import config, migrations
from app.core.config import DEVELOPMENT_SECRET, Settings, load, unknown_names
from app.main import create_app
from app.notifiers.base import Message
from tests.support.api import PASSWORD, Api, Holder, running

PAGE = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS: list[tuple[str, str]] = re.findall(r"^\| `(GUANCE_\w+)` \| (—|`[^`]*`) \| .+ \|$", PAGE, re.MULTILINE)
SECRET = "0123456789abcdef" * 3
PRODUCTION = {
    "GUANCE_ENVIRONMENT": "production",
    "GUANCE_SECRET_KEY": SECRET,
    "GUANCE_DATABASE_URL": "postgresql://account:topsecret@db/account",
    "GUANCE_ISSUER": "https://account.example.com",
    "GUANCE_SPA_URL": "https://billing.example.com",
    "GUANCE_EMAIL_NOTIFIER": "smtp",
    "GUANCE_SMTP_URL": "smtp://mailer:topsecret@smtp",
    "GUANCE_SMS_NOTIFIER": "http",
    "GUANCE_SMS_HTTP_URL": "https://sms.example.com/topsecret",
    "GUANCE_REAL_NAME_PROVIDERS": "{}",
    "GUANCE_BILLING": "http",
    "GUANCE_BILLING_URL": "https://bills.example.com",
}
ALIYUN = {
    "GUANCE_SMS_NOTIFIER": "aliyun",
    "GUANCE_ALIYUN_ACCESS_KEY_ID": "topsecret",
    "GUANCE_ALIYUN_ACCESS_KEY_SECRET": "topsecret",
    "GUANCE_ALIYUN_SMS_SIGN_NAME": "Guance",
    "GUANCE_ALIYUN_SMS_TEMPLATES": '{"login_code": "SMS_1"}',
}


MARKETPLACES = {
    "GUANCE_ALIBABA_MARKETPLACE_KEY": "topsecret",
    "GUANCE_AWS_ACCESS_KEY_ID": "topsecret",
    "GUANCE_AWS_SECRET_ACCESS_KEY": "topsecret",
    "GUANCE_AWS_SESSION_TOKEN": "topsecret",
    "GUANCE_AWS_PRODUCTS": '["n0123EXAMPLE"]',
    "GUANCE_AWS_CHINA_ACCESS_KEY_ID": "topsecret",
    "GUANCE_AWS_CHINA_SECRET_ACCESS_KEY": "topsecret",
    "GUANCE_AWS_CHINA_SESSION_TOKEN": "topsecret",
    "GUANCE_AWS_CHINA_PRODUCTS": '["n0456EXAMPLE"]',
    "GUANCE_AWS_EVENTS_SECRET": "topsecret" * 4,
    "GUANCE_HUAWEI_MARKETPLACE_KEY": "topsecret",
    "GUANCE_HUAWEI_MARKETPLACE_V1": "true",
    "GUANCE_HUAWEI_TENANT_SYNC_KEY": "topsecret",
    "GUANCE_HUAWEI_ACCESS_KEY_ID": "topsecret",
    "GUANCE_HUAWEI_SECRET_ACCESS_KEY": "topsecret",
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("GUANCE_"):
            monkeypatch.delenv(name)


def load_from(environment: Mapping[str, str]) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return load()


# The page


def shown(value: Any) -> str:
    """A default as the page shows it."""
    if value is None:
        return "—"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool | list | dict):
        value = json.dumps(value)
    if isinstance(value, Enum):
        value = value.value
    return f"`{value}`"


def test_every_setting_has_one_row_with_its_default_and_no_row_is_without_a_setting() -> None:
    settings = {f"GUANCE_{name.upper()}": shown(field.default) for name, field in Settings.model_fields.items()}

    assert sorted(ROWS) == sorted(settings.items())


def test_the_documented_production_environment_is_one_that_production_starts_with() -> None:
    (block,) = re.findall(r"^```env\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    settings = load_from(dict(line.split("=", 1) for line in block.splitlines()))

    assert not settings.is_development
    assert settings.cors_origins == ["https://billing.example.com"]


# Production


def test_production_starts_when_nothing_is_wrong() -> None:
    assert load_from(PRODUCTION).database_url.get_secret_value() == PRODUCTION["GUANCE_DATABASE_URL"]
    assert load_from(PRODUCTION | ALIYUN).aliyun_sms_templates == {"login_code": "SMS_1"}
    assert load_from(PRODUCTION | MARKETPLACES).aws_products == ["n0123EXAMPLE"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("GUANCE_SECRET_KEY", DEVELOPMENT_SECRET, "GUANCE_SECRET_KEY must be set to a secret of its own"),
        ("GUANCE_SECRET_KEY", None, "GUANCE_SECRET_KEY must be set to a secret of its own"),
        ("GUANCE_SECRET_KEY", "x" * 31, "GUANCE_SECRET_KEY must have 32 characters"),
        ("GUANCE_EMAIL_NOTIFIER", "log", "GUANCE_EMAIL_NOTIFIER=log is for development"),
        ("GUANCE_EMAIL_NOTIFIER", None, "GUANCE_EMAIL_NOTIFIER=log is for development"),
        ("GUANCE_SMS_NOTIFIER", "log", "GUANCE_SMS_NOTIFIER=log is for development"),
        ("GUANCE_DATABASE_URL", "sqlite:///app.db", "GUANCE_ALLOW_SQLITE=true says that this is meant"),
        ("GUANCE_DATABASE_URL", None, "GUANCE_ALLOW_SQLITE=true says that this is meant"),
        ("GUANCE_ISSUER", "http://account.example.com", "GUANCE_ISSUER must be the https URL"),
        ("GUANCE_ISSUER", None, "GUANCE_ISSUER must be the https URL"),
        ("GUANCE_BILLING", "none", "GUANCE_BILLING=none is for development"),
        ("GUANCE_REAL_NAME_PROVIDERS", None, "sandbox is for development"),
        ("GUANCE_SPA_URL", "http://billing.example.com", "GUANCE_SPA_URL must be https"),
        ("GUANCE_AWS_EVENTS_SECRET", "x" * 31, "GUANCE_AWS_EVENTS_SECRET must have 32 characters"),
        ("GUANCE_CODE_LIVE_SECONDS", "60", "GUANCE_CODE_LIVE_SECONDS"),  # a slip of the pen
    ],
)
def test_production_refuses(name: str, value: str | None, reason: str) -> None:
    environment = {**PRODUCTION, **MARKETPLACES, name: value}

    with pytest.raises(ValueError, match=re.escape(reason)):
        load_from({name: value for name, value in environment.items() if value is not None})


def test_production_tells_of_all_that_is_wrong_at_once() -> None:
    with pytest.raises(ValueError, match=r"GUANCE_SECRET_KEY.+GUANCE_EMAIL_NOTIFIER.+GUANCE_ISSUER.+GUANCE_SPA_URL"):
        load_from({"GUANCE_ENVIRONMENT": "production"})


def test_production_takes_sqlite_when_it_is_told_to() -> None:
    settings = load_from(PRODUCTION | {"GUANCE_DATABASE_URL": "sqlite:///app.db", "GUANCE_ALLOW_SQLITE": "true"})

    assert settings.uses_sqlite


@pytest.mark.parametrize("path", ["/metrics", "/dev/messages"])
@pytest.mark.parametrize("environment", [PRODUCTION, PRODUCTION | {"GUANCE_METRICS_PORT": "9100"}, {}])
async def test_only_development_shows_metrics_and_messages_on_the_public_port(
    path: str, environment: dict[str, str], tmp_path: Path
) -> None:
    files = {"GUANCE_DATABASE_URL": f"sqlite:///{tmp_path}/app.db", "GUANCE_DEV_MESSAGES_FILE": f"{tmp_path}/messages"}
    app = create_app(load_from(files | environment))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://test") as client:
        answer = await client.get(path)
    await app.state.container.close()

    assert answer.status_code == (404 if environment else 200)


# Notifiers and others, in any environment


@pytest.mark.parametrize(
    ("chosen", "missing"),
    [({"GUANCE_EMAIL_NOTIFIER": "smtp"}, "GUANCE_SMTP_URL"), ({"GUANCE_SMS_NOTIFIER": "http"}, "GUANCE_SMS_HTTP_URL")]
    + [({"GUANCE_BILLING": "http"}, "GUANCE_BILLING_URL")]
    + [
        ({other: value for other, value in ALIYUN.items() if other != name}, name)
        for name in ALIYUN
        if name != "GUANCE_SMS_NOTIFIER"
    ]
    + [
        ({other: value for other, value in MARKETPLACES.items() if other != name}, name)
        for name in MARKETPLACES
        if name.endswith(("_PRODUCTS", "_SECRET_ACCESS_KEY", "HUAWEI_MARKETPLACE_KEY"))
    ],
)
def test_a_choice_without_its_settings_is_refused(chosen: dict[str, str], missing: str) -> None:
    with pytest.raises(ValueError, match=f"needs {missing}"):
        load_from(chosen)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GUANCE_CLOUD_END_POLICIES", '{"aws": "unlock"}'),
        ("GUANCE_CLOUD_END_POLICIES", '{"Amazon Web Services": "lock"}'),
        ("GUANCE_ALIBABA_MARKETPLACE_TIME_ZONE", "Asia/Hangzhou"),
        ("GUANCE_ALIBABA_MARKETPLACE_TIME_ZONE", "+08:00"),
        ("GUANCE_MARKETPLACE_TIMEOUT_SECONDS", "4.1"),  # Huawei gives up after 5
        ("GUANCE_MARKETPLACE_TIMEOUT_SECONDS", "0"),
        ("GUANCE_LOCK_DAYS", "0"),
        ("GUANCE_MARKETPLACE_CLAIM_HOURS", "0"),
    ],
)
def test_what_a_marketplace_cannot_be_run_with_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=re.compile(name.removeprefix("GUANCE_"), re.IGNORECASE)):
        load_from({name: value})


# Unknown variables


def test_development_only_warns_of_variables_that_name_no_setting(tmp_path: Path) -> None:
    done = cli(tmp_path, "migrate", GUANCE_CODE_LIVE_SECONDS="60")
    (warning,) = [line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "unknown_settings"]

    assert done.returncode == 0, done.stderr
    assert (warning["level"], warning["names"]) == ("warning", ["GUANCE_CODE_LIVE_SECONDS"])


def test_a_setting_is_known_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("guance_code_tries", "3")

    assert unknown_names() == []
    assert load().code_tries == 3


# Files


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that container engines mount secrets in."""
    monkeypatch.setattr(config, "SECRETS", tmp_path)
    return tmp_path


def test_a_secret_may_come_as_a_file_that_is_named_like_its_setting(mounted: Path) -> None:
    secrets = {"GUANCE_SECRET_KEY", "GUANCE_DATABASE_URL"}
    for name in secrets:
        (mounted / name.lower()).write_text(f"{PRODUCTION[name]}\n")
    (mounted / "another-service").mkdir()  # what an orchestrator mounts beside them

    settings = load_from({name: value for name, value in PRODUCTION.items() if name not in secrets})

    assert settings.secret == SECRET.encode()
    assert settings.database_url.get_secret_value() == PRODUCTION["GUANCE_DATABASE_URL"]


def test_a_variable_wins_over_a_file(mounted: Path) -> None:
    (mounted / "guance_audience").write_text("of the file")

    assert load_from({}).audience == "of the file"
    assert load_from({"GUANCE_AUDIENCE": "of the variable"}).audience == "of the variable"


def test_a_file_that_names_no_setting_is_refused_in_production(mounted: Path) -> None:
    (mounted / "guance_secret_kye").write_text(SECRET)

    with pytest.raises(ValueError, match="unknown settings: guance_secret_kye"):
        load_from(PRODUCTION)


# Secrets


def test_secrets_are_not_shown() -> None:
    settings = load_from(PRODUCTION | ALIYUN | MARKETPLACES)

    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "topsecret" not in text
        assert SECRET not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GUANCE_DATABASE_POOLER", "topsecret"),
        ("GUANCE_CODE_TRIES", "topsecret"),
        ("GUANCE_SPA_URL", "topsecret"),
        ("GUANCE_CORS_ORIGINS", "topsecret"),
        ("GUANCE_ALIYUN_SMS_TEMPLATES", '{"login_code": "topsecret"'),
        ("GUANCE_SECRET_KEY", "topsecret"),
        ("GUANCE_SMTP_URL", ""),
    ],
)
def test_a_refused_value_is_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(ValueError) as refused:
        load_from(PRODUCTION | {name: value})
    text = "".join(traceback.format_exception(refused.value))

    assert "topsecret" not in text
    assert name.removeprefix("GUANCE_").lower() in text.lower()


@pytest.mark.parametrize("name", ["GUANCE_CODE_TRIES", "GUANCE_ARGON2_TIME", "GUANCE_SESSION_IDLE_DAYS"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_a_count_is_a_whole_number_above_zero(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name.removeprefix("GUANCE_").lower()):
        load_from({name: value})


# Another GUANCE_SECRET_KEY


@pytest.fixture
async def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    await asyncio.to_thread(migrations.upgrade, url)
    return url


async def ask_login_code(api: Api, holder: Holder) -> str:
    answer = await api.client.post("/v1/login-codes", json={"identifier": holder.email})
    return str(answer.json()["challenge_id"])


async def log_in_by_code(api: Api, challenge: str, code: str) -> int:
    body = {"method": "code", "challenge_id": challenge, "code": code}
    return (await api.client.post("/v1/sessions", json=body)).status_code


async def test_with_another_secret_everybody_logs_in_again_with_the_same_password(database: str) -> None:
    async with running(database) as before:
        holder = await before.register()
    async with running(database, secret_key=SECRET) as after:
        called = await after.client.get("/v1/account", headers=holder.auth)
        refreshed = await after.client.post("/v1/sessions/refresh", json={"refresh_token": holder.refresh_token})
        await after.log_in(holder)

    assert called.json()["code"] == "invalid_token"
    assert refreshed.json()["code"] == "invalid_refresh_token"
    assert holder.password == PASSWORD


async def test_with_another_secret_codes_on_their_way_are_wrong_and_new_ones_are_good(database: str) -> None:
    async with running(database) as before:
        holder = await before.register()
        challenge = await ask_login_code(before, holder)
        code = await before.code(holder.email)
    async with running(database, secret_key=SECRET) as after:
        assert await log_in_by_code(after, challenge, code) == 422
        challenge = await ask_login_code(after, holder)
        assert await log_in_by_code(after, challenge, await after.code(holder.email)) == 201


async def test_with_another_secret_what_is_sealed_in_the_outbox_is_given_up_and_the_rest_goes_on(database: str) -> None:
    async with running(database) as before:
        holder = await before.register()
        await ask_login_code(before, holder)
        body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
        await before.client.put("/v1/account/password", json=body, headers=holder.auth)
    async with running(database, secret_key=SECRET) as after:
        sent: list[Message] = await after.deliver()

    assert [one.template for one in sent] == ["password_changed"]


def test_with_another_secret_production_starts_after_a_rotation(tmp_path: Path) -> None:
    production = PRODUCTION | {"GUANCE_DATABASE_URL": f"sqlite:///{tmp_path}/app.db", "GUANCE_ALLOW_SQLITE": "true"}
    changed = production | {"GUANCE_SECRET_KEY": SECRET[::-1]}
    cli(tmp_path, "migrate", **production)
    old = words(cli(tmp_path, "keys", "rotate", **production))[-1]

    assert "not ready: signing_key" in cli(tmp_path, "serve", **changed).stderr
    new = words(cli(tmp_path, "keys", "rotate", **changed))[-1]
    listed = words(cli(tmp_path, "keys", "list", **changed))
    assert (listed[listed.index(old) + 1], listed[listed.index(new) + 1]) == ("unreadable", "signing")


def words(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def cli(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "GUANCE_DATABASE_URL": f"sqlite:///{folder}/app.db", **settings}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env=environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
