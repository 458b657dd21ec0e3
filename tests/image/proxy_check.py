"""deploy/proxy/haproxy.cfg, as HAProxy runs it, before replicas that are none: `make proxy-check`."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.races.processes import free_port

ROOT = Path(__file__).parents[2]
PROXY = ROOT / "deploy" / "proxy"
PATIENCE = 10  # seconds: `timeout http-request`
CONNECTIONS = 40


class Replica:
    """Answers as the service would, or (`breaks`) reads a request and breaks off."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], int]] = []
        self.breaks = False
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(replica: Replica) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            ready = self.path == "/readyz"
            if not ready:
                replica.seen.append((self.command, self.path, dict(self.headers.items()), len(body)))
            self.close_connection = True
            if replica.breaks and not ready:
                return
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.send_header("X-Request-Id", "of the service")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@dataclass
class Proxied:
    """HAProxy before two replicas."""

    public: int
    internal: int
    replicas: list[Replica] = field(default_factory=list)

    def call(self, method: str, path: str, port: int = 0, **options: Any) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{port or self.public}{path}", timeout=30, **options)

    def raw(self, path: str) -> int:
        """The status of a path that no client would send as it is."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.public, timeout=30)) as connection:
            connection.putrequest("GET", path)
            connection.endheaders()
            with connection.getresponse() as answer:
                return answer.status

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.public), timeout=PATIENCE + 20)

    @property
    def seen(self) -> list[tuple[str, str, dict[str, str], int]]:
        return [one for replica in self.replicas for one in replica.seen]


@contextmanager
def haproxy(**told: str) -> Iterator[Proxied]:
    proxied = Proxied(free_port(), free_port(), [Replica(), Replica()])
    environment = {
        "PATH": os.environ["PATH"],
        "PROXY_BIND": f"127.0.0.1:{proxied.public}",
        "PROXY_INTERNAL_BIND": f"127.0.0.1:{proxied.internal}",
        "PROXY_REPLICA_1": f"127.0.0.1:{proxied.replicas[0].port}",
        "PROXY_REPLICA_2": f"127.0.0.1:{proxied.replicas[1].port}",
        "PROXY_ERRORS": str(PROXY / "errors"),
        "PROXY_CONNECTIONS_PER_ADDRESS": "1000",
        "PROXY_REQUESTS_PER_ADDRESS": "100000",
        **told,
    }
    binary = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert binary, "no haproxy: make proxy-check installs it"
    subprocess.run([binary, "-c", "-q", "-f", PROXY / "haproxy.cfg"], env=environment, check=True)
    child = subprocess.Popen([binary, "-db", "-f", PROXY / "haproxy.cfg"], env=environment, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: reaches(proxied), True)
        yield proxied
    finally:
        child.kill()
        child.wait()
        for replica in proxied.replicas:
            replica.stop()


def reaches(proxied: Proxied) -> bool:
    try:
        return proxied.call("GET", "/livez").status_code == 200
    except httpx.TransportError:
        return False


def eventually(look: Any, wanted: object) -> None:
    deadline = time.monotonic() + 20
    while look() != wanted:
        assert time.monotonic() < deadline, f"it never was {wanted}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def shared() -> Iterator[Proxied]:
    with haproxy() as proxied:
        yield proxied


@pytest.fixture
def proxied(shared: Proxied) -> Proxied:
    for replica in shared.replicas:
        replica.seen.clear()
    return shared


def paths(surface: str) -> list[str]:
    document = json.loads((ROOT / "openapi" / f"{surface}.json").read_text())
    return [path.replace("{", "").replace("}", "") for path in document["paths"]]


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)
    assert answer.json()["type"] == f"urn:guance:problem:{code}"


def test_what_is_public_is_let_through_but_for_the_look_at_the_inside(proxied: Proxied) -> None:
    through = [path for path in paths("public") if proxied.call("GET", path).status_code == 200]

    assert sorted(set(paths("public")) - set(through)) == ["/readyz"]


@pytest.mark.parametrize("path", [*paths("internal"), "/metrics", "/docs", "/openapi.json", "/dev/messages", "/"])
def test_what_is_not_public_is_not_found(proxied: Proxied, path: str) -> None:
    assert_problem(proxied.call("GET", path), 404, "not_found")
    assert proxied.seen == []


@pytest.mark.parametrize("path", ["/%69nternal/v1/events", "//internal/v1/events", "/oauth%2Ftoken", "/INTERNAL/v1/x"])
def test_another_spelling_does_not_get_in(proxied: Proxied, path: str) -> None:
    assert proxied.raw(path) == 404
    assert proxied.seen == []


def test_other_services_have_a_door_of_their_own(proxied: Proxied) -> None:
    for path in paths("internal"):
        assert proxied.call("GET", path, proxied.internal).status_code == 200
    assert_problem(proxied.call("GET", "/v1/account", proxied.internal), 404, "not_found")


def test_the_address_of_the_client_is_the_one_that_it_has(proxied: Proxied) -> None:
    proxied.call("GET", "/livez", headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})

    ((_, _, headers, _),) = proxied.seen
    told = {name.lower(): value for name, value in headers.items()}
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert told["x-forwarded-proto"] == "http"


def test_the_query_and_the_body_arrive_as_they_were_sent(proxied: Proxied) -> None:
    query = "?b=%2F+%E4%BD%A0&a=1&a=2"
    proxied.call("POST", f"/marketplace/huawei{query}", content=b"x" * 64 * 1024)

    ((method, path, _, length),) = proxied.seen
    assert (method, path, length) == ("POST", f"/marketplace/huawei{query}", 64 * 1024)


def test_more_than_64_kib_gets_no_further(proxied: Proxied) -> None:
    assert_problem(proxied.call("POST", "/v1/sessions", content=b"x" * (64 * 1024 + 1)), 413, "body_too_large")
    assert proxied.seen == []


def test_headers_that_are_too_large_get_no_further(proxied: Proxied) -> None:
    assert proxied.call("GET", "/livez", headers={"X-Large": "x" * 128 * 1024}).status_code == 400
    assert proxied.seen == []


@pytest.mark.parametrize(
    "start",
    [
        b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n",
    ],
)
def test_who_sends_a_byte_a_second_holds_no_replica(proxied: Proxied, start: bytes) -> None:
    with proxied.connect() as slow:
        slow.sendall(start)
        slow.settimeout(1)
        deadline, answer = time.monotonic() + PATIENCE + 10, b""
        while not answer:
            assert time.monotonic() < deadline, "the proxy is still waiting"
            try:
                slow.send(b"x")
                answer = slow.recv(4096)
            except TimeoutError:
                pass

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert proxied.seen == []


def test_a_replica_that_is_gone_costs_nobody_an_answer(proxied: Proxied) -> None:
    first = proxied.replicas[0]
    first.stop()
    try:
        assert {proxied.call("POST", "/v1/sessions").status_code for _ in range(20)} == {200}
        assert len(proxied.replicas[1].seen) == 20
    finally:
        first.start()
    eventually(lambda: proxied.call("GET", "/livez").is_success and bool(first.seen), True)


def test_a_write_that_broke_off_is_not_repeated_and_not_called_undone(proxied: Proxied) -> None:
    for replica in proxied.replicas:
        replica.breaks = True
    try:
        answer = proxied.call("POST", "/v1/sessions")
    finally:
        for replica in proxied.replicas:
            replica.breaks = False

    assert_problem(answer, 503, "no_answer")
    assert answer.headers["retry-after"] == "2"
    assert len(proxied.seen) == 1


def test_a_read_that_broke_off_is_repeated(proxied: Proxied) -> None:
    proxied.replicas[0].breaks = True
    try:
        assert {proxied.call("GET", "/v1/account").status_code for _ in range(6)} == {200}
    finally:
        proxied.replicas[0].breaks = False


def test_without_a_replica_everybody_is_told_to_come_again() -> None:
    with haproxy() as proxied:
        for replica in proxied.replicas:
            replica.stop()
        answer = proxied.call("POST", "/v1/sessions")

        assert_problem(answer, 503, "unreachable")
        assert answer.headers["retry-after"] == "2"
        proxied.replicas[1].start()
        eventually(lambda: proxied.call("GET", "/livez").status_code, 200)


def test_one_address_gets_so_many_connections_and_requests() -> None:
    told = {"PROXY_CONNECTIONS_PER_ADDRESS": str(CONNECTIONS), "PROXY_REQUESTS_PER_ADDRESS": "100"}
    with haproxy(**told) as proxied:
        with contextlib.ExitStack() as stack:
            assert sum(_asks(proxied, stack) for _ in range(CONNECTIONS + 10)) == CONNECTIONS
        statuses = [(answer := proxied.call("GET", "/livez")).status_code for _ in range(100)]

    assert statuses[0] == 200
    assert_problem(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "10"


def _asks(proxied: Proxied, stack: contextlib.ExitStack) -> bool:
    """Whether a connection more is answered; it stays open."""
    try:
        connection = stack.enter_context(proxied.connect())
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
