"""Each process of a server sends its own spans, and what it still has when it is told to stop."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.races.processes import ROOT, eventually, free_port, is_ready, logs_of, process

CALLS = 60
_START = 60  # seconds; on a busy machine


class Datakit(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as DataKit does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.bodies: list[bytes] = []

    @property
    def spans(self) -> list[Span]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        resources = [resource for request in requests for resource in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


class Taking(BaseHTTPRequestHandler):
    server: Datakit

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        known = self.path == "/otel/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
        if known:
            self.server.bodies.append(body)
        self.send_response(200 if known else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def datakit() -> Iterator[Datakit]:
    server = Datakit()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_every_span_of_every_process_arrives_once_when_the_server_stops(tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with datakit() as there:
        environment = {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(tmp_path),
            "GUANCE_DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}",
            "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
            "GUANCE_OTLP_URL": f"http://127.0.0.1:{there.server_port}/otel/v1/traces",
            "GUANCE_TRACE_RATIO": "1",
        }
        with process(tmp_path, environment, "serve", "--port", str(port), "--workers", "2") as server:
            await eventually(lambda: is_ready(base), within=_START)
            for number in range(CALLS):
                trace = f"{number + 1:032x}"
                headers = {"traceparent": f"00-{trace}-{1:016x}-01"}
                assert httpx.get(f"{base}/livez", headers=headers).is_success  # noqa: ASYNC210 - it is another process
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
        arrived = Counter(span.trace_id.hex() for span in there.spans if span.name == "GET /livez")
        statements = [span.name for span in there.spans if span.name == "SELECT"]

    assert arrived == Counter(f"{number + 1:032x}" for number in range(CALLS)), logs_of(tmp_path)[-2000:]
    assert statements  # of the looks at readiness
