"""The image and the compose file say what they should; `make image-check` and `make proxy-check` run them."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # comes with openapi-spec-validator, without types

from app.core import config
from app.core.config import Settings, load
from tests.image.dockerfile import context, stages

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = ("migrate", "server1", "server2", "worker")
SECRETS = {
    "guance_secret_key": "0123456789abcdef" * 3,
    "guance_database_url": "postgresql://account:password@postgres:5432/account",
    "guance_smtp_url": "smtp://mailer:password@smtp.internal:587",
    "guance_sms_http_url": "https://sms.internal/messages",
    "guance_billing_token": "what-the-billing-service-gave-us",
}
END = stages((ROOT / "Dockerfile").read_text())[-1]


# Image


def test_the_image_runs_as_a_user_of_its_own_and_in_production() -> None:
    assert END.last("USER") == "10001:10001"
    assert END.environment()["GUANCE_ENVIRONMENT"] == "production"
    assert END.words("ENTRYPOINT") == ["python", "-m", "app"]
    assert END.words("CMD")[0] == "serve"
    assert "/livez" in END.words("HEALTHCHECK")[-1]


def test_packages_are_installed_by_hash_and_by_a_stage_that_does_not_remain() -> None:
    builder = stages((ROOT / "Dockerfile").read_text())[0]
    installs = [one.value for one in builder.instructions if "pip" in one.value and " install " in one.value]

    assert any("--require-hashes" in one and "requirements.lock" in one for one in installs)
    assert not [one.value for one in END.instructions if re.search(r"\bpip\b", one.value)]


def test_only_code_and_its_lock_are_sent_to_the_builder(tmp_path: Path) -> None:
    for name in ("app/main.py", "app/__pycache__/main.pyc", "migrations/env.py", "alembic.ini", "requirements.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (".env", "var/app.db", "deploy/secrets/guance_secret_key", "tests/test_x.py", "dump.sql"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    sent = context(tmp_path, (ROOT / ".dockerignore").read_text())

    assert {str(path) for path in sent} == {"app/main.py", "migrations/env.py", "alembic.ini", "requirements.lock"}


def test_an_instruction_that_the_proof_would_pass_over_is_refused() -> None:
    with pytest.raises(ValueError, match="ONBUILD"):
        stages("FROM debian:bookworm-slim\nONBUILD RUN true\n")


# Compose


@pytest.mark.parametrize("name", OURS)
def test_production_starts_with_the_settings_and_secrets_of_the_compose_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [one for one in os.environ if one.upper().startswith("GUANCE_")]:
        monkeypatch.delenv(variable)
    for variable, value in COMPOSE["services"][name]["environment"].items():
        monkeypatch.setenv(variable, value)
    for secret in COMPOSE["services"][name]["secrets"]:
        (tmp_path / secret).write_text(f"{SECRETS[secret]}\n")
    monkeypatch.setattr(config, "SECRETS", tmp_path)

    settings: Settings = load()

    assert not settings.is_development
    assert not settings.worker_in_server  # there is one apart


@pytest.mark.parametrize("name", [*OURS, "proxy"])
def test_nothing_of_ours_may_write_or_become_more_than_it_is(name: str) -> None:
    service = COMPOSE["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_only_the_proxy_is_reached_from_outside() -> None:
    services = COMPOSE["services"]

    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in services.items() if "outside" in service["networks"]] == ["proxy"]
    assert services["proxy"]["ports"] == ["443:8443", "127.0.0.1:8081:8081"]  # of which the second is not public


def test_two_servers_a_worker_and_what_has_to_be_done_before() -> None:
    services = COMPOSE["services"]
    done, up = "service_completed_successfully", "service_healthy"

    assert services["server1"] == services["server2"]
    assert services["server1"]["command"][0] == "serve"
    assert services["worker"]["command"] == ["worker"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": up}}
    assert {services[name]["depends_on"]["migrate"]["condition"] for name in ("server1", "server2", "worker")} == {done}
    assert services["proxy"]["depends_on"] == {"server1": {"condition": up}, "server2": {"condition": up}}


def test_a_server_is_given_more_time_to_end_than_it_takes() -> None:
    """20 seconds are what `serve` gives to requests that run, 30 to its processes."""
    assert {COMPOSE["services"][name]["stop_grace_period"] for name in OURS} == {"35s"}


def test_every_secret_is_a_file_that_the_repository_does_not_have() -> None:
    wanted = {secret for service in COMPOSE["services"].values() for secret in service.get("secrets", [])}
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}

    assert set(files) == wanted
    assert files == {name: f"./secrets/{name}" for name in wanted}
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_proxy_is_told_all_that_its_file_asks_for_and_its_address_is_believed() -> None:
    asked = set(re.findall(r'"\$\{(PROXY_\w+)', (DEPLOY / "proxy" / "haproxy.cfg").read_text()))
    subnet = COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]

    assert set(COMPOSE["services"]["proxy"]["environment"]) == asked
    assert COMPOSE["services"]["server1"]["environment"]["GUANCE_FORWARDED_ALLOW_IPS"] == subnet


# The page


def test_what_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.split("## Under attack and in trouble")[1].split("\n## ")[0]
    named = re.findall(r"`(tests/[\w/]+\.py)`", table)

    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []
    for name in COMPOSE["secrets"]:
        assert re.search(rf"> {re.escape(name)}$", page, re.MULTILINE), f"how to make {name} is not told"
