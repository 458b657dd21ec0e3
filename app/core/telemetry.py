"""Prometheus metrics; `docs/operations.md` says what each is for. Several processes of one server count together.

Labels hold what we or a contract name, never what somebody sent. Every gauge says how the processes' values become
one: `livesum` adds those that live, `livemostrecent` takes what one of them saw last in the database of all.
"""

import os
import platform
from functools import cache

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

# Of the folder in which several processes count: prometheus_client keeps in these what counts for a process (`pid`)
# only as long as it lives, as its `mark_process_dead` knows.
FILES_OF_LIVING = "gauge_live*_{pid}.db"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OURS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)  # seconds: from a read to the pool's timeouts
_THEIRS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds: what others take to answer

# Requests
REQUESTS = Counter("guance_http_requests_total", "Requests by route and status", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "guance_http_request_seconds", "From a request to the end of its answer", ["method", "route"], buckets=_OURS
)
REFUSALS = Counter(
    "guance_limit_refusals_total", "What was over a limit, by the limit, told (429) or not", ["policy", "told"]
)

# Logins and codes
SESSIONS = Counter("guance_sessions_begun_total", "Sessions begun, by how their holder logged in", ["method"])
LOGIN_FAILURES = Counter("guance_login_failures_total", "Logins refused, by the error told", ["method", "reason"])
CODES_SENT = Counter("guance_codes_sent_total", "Codes that a server or gateway took", ["channel", "country"])
CODES_ENTERED = Counter(
    "guance_codes_entered_total", "Codes that were entered, by how that ended", ["channel", "country", "outcome"]
)
HASH_QUEUE = Gauge(
    "guance_password_hash_queue", "Password hashes being computed or waiting", multiprocess_mode="livesum"
)
HASH_REFUSED = Counter("guance_password_hash_refused_total", "Hashes that found no room: answered 503 busy")
SIGNING_KEY_SINCE = Gauge(
    "guance_signing_key_active_timestamp_seconds",
    "Since when the key signs that signs now",
    multiprocess_mode="livemostrecent",
)

# Messages
MESSAGES = Counter(
    "guance_messages_total",
    "Delivery attempts of codes and notices, by how they ended",
    ["channel", "template", "outcome"],
)
DELIVERY_SECONDS = Histogram(
    "guance_message_delivery_seconds", "How long one delivery attempt took", ["channel"], buckets=_THEIRS
)
OUTBOX_WAITING = Gauge(
    "guance_outbox_waiting_messages", "Messages not delivered yet", multiprocess_mode="livemostrecent"
)
OUTBOX_AGE = Gauge(
    "guance_outbox_oldest_seconds", "Age of the oldest message not delivered yet", multiprocess_mode="livemostrecent"
)

# Events and webhooks
EVENTS_UNPLACED = Gauge(
    "guance_events_unplaced_seconds",
    "Age of the oldest event that the feed does not show yet",
    multiprocess_mode="livemostrecent",
)
WEBHOOKS = Counter("guance_webhook_attempts_total", "Requests to webhook endpoints, by how they ended", ["outcome"])
WEBHOOK_SECONDS = Histogram(
    "guance_webhook_attempt_seconds", "How long one request to a webhook endpoint took", buckets=_THEIRS
)
WEBHOOKS_WAITING = Gauge(
    "guance_webhook_waiting_deliveries",
    "Deliveries to active endpoints not taken yet",
    multiprocess_mode="livemostrecent",
)
WEBHOOKS_AGE = Gauge(
    "guance_webhook_oldest_seconds", "How long the oldest of them is overdue", multiprocess_mode="livemostrecent"
)
WEBHOOK_ENDPOINTS = Gauge(
    "guance_webhook_endpoints",
    "Webhook endpoints by state: active, failing (active, but its last attempt failed), paused",
    ["state"],
    multiprocess_mode="livemostrecent",
)

# Providers
REAL_NAME_CALLS = Counter("guance_real_name_calls_total", "Questions to providers", ["provider", "type", "outcome"])
REAL_NAME_SECONDS = Histogram(
    "guance_real_name_call_seconds", "How long a provider took to answer", ["provider"], buckets=_THEIRS
)
MARKETPLACE_CALLS = Counter(
    "guance_marketplace_calls_total", "Calls of marketplaces, by how they ended", ["provider", "outcome"]
)
MARKETPLACE_NOTICES = Counter(
    "guance_marketplace_notices_total",
    "Messages of marketplaces, by what became of them",
    ["provider", "channel", "state"],
)
MARKETPLACE_BACKLOG = Gauge(
    "guance_marketplace_backlog_notices",
    "Messages of marketplaces that were not acted on, by state",
    ["state"],
    multiprocess_mode="livemostrecent",
)
MARKETPLACE_AGE = Gauge(
    "guance_marketplace_backlog_oldest_seconds",
    "Age of the oldest of them, by state",
    ["state"],
    multiprocess_mode="livemostrecent",
)
MARKETPLACE_UNKNOWN = Counter("guance_marketplace_unknown_total", "Messages of a type that is not known", ["provider"])

# The processes themselves
BUILD = Gauge("guance_build_info", "Always 1: what runs", ["version", "python"], multiprocess_mode="livemax")
PROCESSES = Gauge("guance_processes", "Processes that serve or deliver", multiprocess_mode="livesum")
STARTS = Counter("guance_process_starts_total", "Processes that began to serve or deliver")
CONNECTIONS_USED = Gauge(
    "guance_database_connections_used", "Database connections in use", ["database"], multiprocess_mode="livesum"
)
CONNECTIONS_ROOM = Gauge(
    "guance_database_connections_room", "How many there may be", ["database"], multiprocess_mode="livesum"
)
LOOKUPS = Counter("guance_lookups_total", "Look-ups where a replica is set, by who answered", ["database"])
POOL_TIMEOUTS = Counter("guance_database_pool_timeouts_total", "Who waited for a connection in vain")
DATABASE_AWAY = Counter("guance_database_unavailable_total", "What could not be done because the database was away")
WORKER_FAILURES = Counter("guance_worker_failures_total", "Passes of a worker that failed", ["work", "reason"])
MEASURED = Gauge(
    "guance_measured_timestamp_seconds",
    "When a worker last measured the backlogs",
    multiprocess_mode="livemostrecent",
)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """One request that was answered; `status` 0: the client went before there was an answer."""
    counter, histogram = _request(method, route, status)
    counter.inc()
    histogram.observe(seconds)


def begin(version: str) -> None:
    """This process begins to serve or deliver; called in it, not in what it was forked from."""
    BUILD.labels(version, platform.python_version()).set(1)
    PROCESSES.set(1)
    STARTS.inc()


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


@cache
def _request(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: `labels` takes a lock and makes text of what it is given, most of what counting costs."""
    name = method if method in _METHODS else "other"
    return REQUESTS.labels(name, route, status), REQUEST_SECONDS.labels(name, route)


def _registry() -> CollectorRegistry:
    if not _several():
        return REGISTRY
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


def _several() -> bool:
    """Whether several processes count together; prometheus_client decides it by this variable when it is imported."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
