"""Metrics, alerts, runbook and DataKit's files speak of the same things."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # comes with openapi-spec-validator, without types
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from app.core import telemetry

ROOT = Path(__file__).parents[1]
RULES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
TESTS: list[dict[str, Any]] = [
    case
    for path in sorted((ROOT / "deploy/prometheus").glob("*_test.yml"))
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
]
PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
DOCUMENTED: dict[str, set[str]] = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in re.findall(r"^\| `(guance_\w+)` \| ([^|]*) \| [^|]+ \|$", PAGE, re.MULTILINE)
}
RUNBOOK: dict[str, str] = dict(re.findall(r'^\| <a id="(\w+)"></a>`(\w+)` \| [^|]{20,} \|$', PAGE, re.MULTILINE))
_OF_ALL_SERIES = {"instance", "job", "le"}  # given by Prometheus and by histograms


def _name(metric: MetricWrapperBase) -> str:
    [family] = metric.describe()
    return f"{family.name}_total" if isinstance(metric, Counter) else family.name


METRICS: dict[str, MetricWrapperBase] = {
    _name(one): one for one in vars(telemetry).values() if isinstance(one, MetricWrapperBase)
}


def _labels(name: str) -> set[str]:
    return set(METRICS[name]._labelnames)


def _metric(series: str) -> str:
    """Of a histogram's series, the histogram."""
    stem = re.sub(r"_(bucket|sum|count)$", "", series)
    return stem if isinstance(METRICS.get(stem), Histogram) else series


def test_there_are_metrics_alerts_and_tests_of_alerts() -> None:
    assert len(METRICS) > 30
    assert len(ALERTS) > 30
    assert len(TESTS) >= 2 * len(ALERTS)


def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    assert {name: _labels(name) for name in METRICS} == DOCUMENTED


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_names_metrics_and_labels_that_there_are(alert: str) -> None:
    rule = ALERTS[alert]
    named = {_metric(series) for series in re.findall(r"\bguance_\w+", rule["expr"])}
    assert named
    assert named - METRICS.keys() == set()

    for series, matchers in re.findall(r"\b(guance_\w+)\{([^}]*)\}", rule["expr"]):
        matched = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert matched <= _labels(_metric(series)) | _OF_ALL_SERIES
    known = set().union(*(_labels(name) for name in named)) | _OF_ALL_SERIES
    grouped = {label for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in re.findall(r"\w+", by)}
    assert grouped <= known
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert shown <= known


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_line_in_the_runbook_and_leads_to_it(alert: str) -> None:
    assert RUNBOOK.get(alert.lower()) == alert
    assert ALERTS[alert]["annotations"]["runbook_url"] == f"docs/operations.md#{alert.lower()}"
    assert ALERTS[alert]["labels"]["severity"] in ("critical", "warning", "info")


def test_the_runbook_has_no_line_for_what_is_no_alert() -> None:
    assert set(RUNBOOK.values()) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_to_fire_and_to_be_silent(alert: str) -> None:
    expected = [one["exp_alerts"] for case in TESTS for one in case["alert_rule_test"] if one["alertname"] == alert]
    assert [fires for fires in expected if fires]
    assert [silent for silent in expected if not silent]


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if isinstance(metric, Gauge)])
def test_no_gauge_outlives_its_process_or_is_shown_for_each(name: str) -> None:
    mode = METRICS[name]._multiprocess_mode  # type: ignore[attr-defined]
    assert mode in ("livesum", "livemostrecent", "livemax")


def test_datakit_collects_every_metric_and_receives_traces_where_they_are_sent() -> None:
    folder = ROOT / "deploy/datakit"
    [prom] = tomllib.loads((folder / "prom.conf").read_text())["inputs"]["prom"]
    [traces] = tomllib.loads((folder / "opentelemetry.conf").read_text())["inputs"]["opentelemetry"]
    [logs] = tomllib.loads((folder / "logging.conf").read_text())["inputs"]["logging"]

    assert all(any(re.search(one, name) for one in prom["metric_name_filter"]) for name in METRICS)
    assert all(url.endswith("/metrics") for url in prom["urls"])
    assert f":9529{traces['http']['trace_api']}`" in PAGE
    assert (folder / logs["pipeline"]).is_file()
    for path in folder.iterdir():
        assert f"`{path.name}`" in PAGE
