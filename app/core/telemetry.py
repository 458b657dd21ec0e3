"""Prometheus metrics of this process; `docs/operations.md` says what to watch."""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
    start_http_server,
)

MESSAGES = Counter(
    "guance_messages_total",
    "Delivery attempts of codes and notices, by how they ended",
    ["channel", "template", "outcome"],
)
DELIVERY_SECONDS = Histogram("guance_message_delivery_seconds", "How long one delivery attempt took", ["channel"])
OUTBOX_WAITING = Gauge("guance_outbox_waiting_messages", "Messages not delivered yet")
OUTBOX_AGE = Gauge("guance_outbox_oldest_seconds", "Age of the oldest message not delivered yet")
WEBHOOKS = Counter("guance_webhook_attempts_total", "Requests to webhook endpoints, by how they ended", ["outcome"])
WEBHOOK_SECONDS = Histogram("guance_webhook_attempt_seconds", "How long one request to a webhook endpoint took")
WEBHOOKS_WAITING = Gauge("guance_webhook_waiting_deliveries", "Deliveries to active endpoints not taken yet")
WEBHOOKS_AGE = Gauge("guance_webhook_oldest_seconds", "How long the oldest of them is overdue")
REAL_NAME_CALLS = Counter("guance_real_name_calls_total", "Questions to providers", ["provider", "type", "outcome"])
MARKETPLACE_CALLS = Counter(
    "guance_marketplace_calls_total", "Calls of marketplaces, by how they ended", ["provider", "outcome"]
)
MARKETPLACE_NOTICES = Counter(
    "guance_marketplace_notices_total",
    "Messages of marketplaces, by what became of them",
    ["provider", "channel", "state"],
)
MARKETPLACE_BACKLOG = Gauge(
    "guance_marketplace_backlog_notices", "Messages of marketplaces that were not acted on, by state", ["state"]
)
MARKETPLACE_AGE = Gauge("guance_marketplace_backlog_oldest_seconds", "Age of the oldest of them, by state", ["state"])
MARKETPLACE_UNKNOWN = Counter("guance_marketplace_unknown_total", "Messages of a type that is not known", ["provider"])
HASH_QUEUE = Gauge("guance_password_hash_queue", "Password hashes being computed or waiting")
REQUESTS = Counter("guance_http_requests_total", "Requests by route and status", ["method", "route", "status"])


def exposition() -> tuple[bytes, str]:
    """The metrics in Prometheus' text form, and its content type."""
    return generate_latest(_registry()), CONTENT_TYPE_LATEST


def serve(port: int) -> None:
    """Show them on a port of their own, apart from the public one."""
    start_http_server(port, registry=_registry())


def forget(pid: int) -> None:
    """The process has ended: its gauges count no more. What its counters counted stays."""
    if _several():
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _registry() -> CollectorRegistry:
    if not _several():
        return REGISTRY
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


def _several() -> bool:
    """Whether several processes count together; prometheus_client decides it by this variable when it is imported."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
