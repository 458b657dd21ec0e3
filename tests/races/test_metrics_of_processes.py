"""Several processes behind one port count as one: exactly, and whatever becomes of one of them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from app.core import migrations
from tests.races.processes import ROOT, eventually, free_port, is_ready, logs_of, process
from tests.test_command_line import app as run

WORKERS, CALLS = 2, 120
_LONG = 60  # seconds to start in, on a busy machine
CALL = {"method": "GET", "route": "/livez"}


class Site:
    """A server of two processes in production, and its metrics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.metrics_port = free_port(), free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.pid = 0
        self.environment = {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
            "GUANCE_DATABASE_URL": f"sqlite:///{folder / 'app.db'}",
            "GUANCE_ENVIRONMENT": "production",
            "GUANCE_REAL_NAME_PROVIDERS": "{}",
            "GUANCE_BILLING": "http",
            "GUANCE_BILLING_URL": "https://bills.example.com",
            "GUANCE_SECRET_KEY": "0123456789abcdef-own-0123456789abcdef",
            "GUANCE_ALLOW_SQLITE": "true",
            "GUANCE_EMAIL_NOTIFIER": "smtp",
            "GUANCE_SMTP_URL": "smtp://127.0.0.1:1",
            "GUANCE_SMS_NOTIFIER": "http",
            "GUANCE_SMS_HTTP_URL": "https://sms.example.com",
            "GUANCE_ISSUER": "https://account.example.com",
            "GUANCE_SPA_URL": "https://billing.example.com",
            "GUANCE_METRICS_PORT": str(self.metrics_port),
        }

    @property
    def folders(self) -> list[Path]:
        return list(self.folder.glob("guance-metrics-*"))

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return sorted(int(word) for word in text.split())

    def samples(self) -> list[Sample]:
        shown = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").raise_for_status().text
        return [sample for family in text_string_to_metric_families(shown) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Of all samples with these labels."""
        return sum(one.value for one in self.samples() if one.name == name and labels.items() <= one.labels.items())

    def shows(self, expected: dict[str, Any]) -> bool:
        try:
            return {name: self.value(name) for name in expected} == expected
        except httpx.HTTPError:
            return False

    def call(self, times: int) -> None:
        """Each on a connection of its own, so that the processes share them."""
        for _ in range(times):
            assert httpx.get(f"{self.base}/livez").is_success


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder)
    migrations.upgrade(site.environment["GUANCE_DATABASE_URL"])
    assert run(site.environment, "keys", "rotate").returncode == 0
    arguments = ("serve", "--port", str(site.port), "--workers", str(WORKERS))
    with process(folder, site.environment, *arguments) as server:
        site.pid = server.pid
        yield site
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    assert site.folders == [], logs_of(folder)


async def test_processes_count_together_and_a_killed_one_takes_nothing_with_it(site: Site) -> None:
    all_there = {"guance_processes": WORKERS, "guance_process_starts_total": WORKERS}
    await eventually(lambda: is_ready(site.base) and site.shows(all_there), within=_LONG)

    site.call(CALLS)
    await eventually(lambda: site.value("guance_http_requests_total", **CALL, status="200") == CALLS)
    assert site.value("guance_http_request_seconds_count", **CALL) == CALLS
    assert site.value("guance_http_request_seconds_bucket", **CALL, le="+Inf") == CALLS

    seen: list[float] = []

    def is_replaced() -> bool:
        seen.append(site.value("guance_http_requests_total", **CALL, status="200"))
        return site.shows({"guance_processes": WORKERS, "guance_process_starts_total": WORKERS + 1})

    killed = site.children()[0]
    os.kill(killed, signal.SIGKILL)
    await eventually(is_replaced, within=_LONG)
    assert set(seen) == {CALLS}  # it never went back
    assert not list(site.folders[0].glob(f"gauge_live*_{killed}.db"))

    site.call(CALLS)
    await eventually(lambda: site.value("guance_http_requests_total", **CALL, status="200") == 2 * CALLS)
    assert site.value("guance_http_request_seconds_count", **CALL) == 2 * CALLS


async def test_what_every_process_measures_in_the_database_is_shown_once(site: Site) -> None:
    await eventually(lambda: is_ready(site.base) and site.shows({"guance_processes": WORKERS}), within=_LONG)

    await eventually(lambda: site.value("guance_measured_timestamp_seconds") > 0)
    shown = [one for one in site.samples() if one.name.startswith("guance_") and "pid" in one.labels]
    assert shown == []  # no gauge is shown once for each process
    states = [one for one in site.samples() if one.name == "guance_webhook_endpoints"]
    assert sorted((one.labels["state"], one.value) for one in states) == [("active", 0), ("failing", 0), ("paused", 0)]
    active = [one for one in site.samples() if one.name == "guance_signing_key_active_timestamp_seconds"]
    assert len(active) == 1
    assert active[0].value > 1_700_000_000
