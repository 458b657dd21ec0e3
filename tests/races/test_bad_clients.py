"""Clients that are slow, silent, large or many, against a server without a proxy before it."""

import asyncio
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.core import migrations
from tests.races.processes import ROOT, eventually, free_port, is_ready, logs_of, process

PATIENCE = 1  # seconds that the server of most tests gives a request to arrive
SLACK = 20  # seconds more, for a machine that has other things to do
GET = b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n"
POST = b"POST /v1/login-codes HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 30\r\n\r\n"


@dataclass
class Server:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE + SLACK)

    def get(self, path: str = "/livez", **headers: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=SLACK)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100  # utime and stime, in ticks

    def megabytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    url, port = f"sqlite:///{folder / 'app.db'}", free_port()
    migrations.upgrade(url)
    told = {
        "DATABASE_URL": url,
        "WORKER_IN_SERVER": "false",
        "DEV_MESSAGES_FILE": folder / "messages.jsonl",
        **settings,
    }
    environment = {"PYTHONPATH": str(ROOT), **{f"GUANCE_{name.upper()}": str(value) for name, value in told.items()}}
    with process(folder, environment, "serve", "--port", str(port)) as child:
        server = Server(folder, port, child)
        asyncio.run(eventually(lambda: is_ready(f"http://127.0.0.1:{port}")))
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), receive_seconds=PATIENCE) as started:
        yield started
        assert started.process.poll() is None
        assert "Traceback" not in logs_of(started.folder)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server ends the connection; raises TimeoutError when it does not."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def whole(connection: socket.socket) -> bytes:
    """The answer to GET, in however many parts it comes."""
    answer = b""
    while not answer.endswith(b"}"):
        part = connection.recv(65_536)
        assert part, answer
        answer += part
    return answer


def dribbled(connection: socket.socket, content: bytes) -> bytes:
    """The answer to what is sent a byte at a time."""
    connection.settimeout(0.05)
    deadline = time.monotonic() + PATIENCE + SLACK
    answer = b""
    for byte in content * 1000:
        try:
            connection.send(bytes([byte]))
            answer += (part := connection.recv(65_536))
            if not part:
                return answer
        except TimeoutError:
            assert time.monotonic() < deadline, "the server is still waiting"
        except OSError:
            return answer
    raise AssertionError("the server took it all")


def test_who_connects_and_says_nothing_is_let_go(server: Server) -> None:
    with server.connect() as silent:
        assert server.get().status_code == 200
        assert all_of(silent) == b""


def test_headers_that_come_a_byte_at_a_time_are_not_waited_for(server: Server) -> None:
    with server.connect() as slow:
        assert dribbled(slow, b"GET /livez HTTP/1.1\r\nx-slow: " + b"a" * 100).startswith(b"HTTP/1.1 408 ")


def test_a_second_request_gets_no_more_time_for_its_headers(server: Server) -> None:
    with server.connect() as slow:
        slow.sendall(GET)
        assert whole(slow).startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in dribbled(slow, b"GET /livez HTTP/1.1\r\nx-slow: " + b"a" * 100)


def test_a_body_that_comes_a_byte_at_a_time_is_answered_408_and_the_connection_ends(server: Server) -> None:
    with server.connect() as slow:
        slow.sendall(POST.replace(b": 30", b": 30000"))
        answer = dribbled(slow, b" ")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert b'"code":"body_too_slow"' in answer


def test_a_body_that_never_comes_is_answered_too(server: Server) -> None:
    with server.connect() as slow:
        slow.sendall(POST)
        assert b'"code":"body_too_slow"' in all_of(slow)


def test_who_goes_on_with_a_body_that_was_refused_is_let_go(server: Server) -> None:
    with server.connect() as slow:
        slow.sendall(POST.replace(b": 30", b": 1000000000"))
        assert b'"code":"body_too_large"' in dribbled(slow, b" ")


def test_a_request_after_a_pause_is_answered_as_before(server: Server) -> None:
    with server.connect() as patient:
        for _ in range(2):
            patient.sendall(GET)
            assert whole(patient).startswith(b"HTTP/1.1 200 ")
            time.sleep(PATIENCE + 0.5)


@pytest.mark.parametrize("start", [b"GET /livez HTTP/1.1\r\nx-large: ", b"GET /"])
def test_headers_without_an_end_are_refused(server: Server, start: bytes) -> None:
    before = server.megabytes()
    with server.connect() as large:
        try:
            large.sendall(start)
            for _ in range(1000):
                large.sendall(b"a" * 65_536)
        except OSError:
            pass  # it has hung up
        else:
            raise AssertionError("the server took 64 MB of headers")

    assert server.megabytes() < before + 32
    assert server.get().status_code == 200


def test_headers_beyond_the_limit_are_answered_431(server: Server) -> None:
    with server.connect() as large:
        large.sendall(b"GET /livez HTTP/1.1\r\nx-large: ")
        for _ in range(3):
            large.sendall(b"a" * 30_000)
            time.sleep(0.1)
        assert all_of(large).startswith(b"HTTP/1.1 431 ")


def test_what_is_no_http_is_answered_400(server: Server) -> None:
    with server.connect() as other:
        other.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert all_of(other).startswith(b"HTTP/1.1 400 ")


def test_ten_thousand_idle_connections_keep_nobody_else_from_an_answer(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle: list[socket.socket] = []
    try:
        with serving(tmp_path, receive_seconds=300) as server:
            before = server.megabytes()
            idle.extend(server.connect() for _ in range(10_000))

            assert server.get("/v1/usernames/anybody").status_code == 200
            assert server.megabytes() < before + 150
            assert server.process.poll() is None
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_file_descriptor_to_spare_it_waits_without_turning_in_circles(tmp_path: Path) -> None:
    with serving(tmp_path, receive_seconds=300) as server:
        assert server.get("/v1/usernames/anybody").status_code == 200  # its database is open
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        idle = [server.connect() for _ in range(200)]
        time.sleep(0.5)
        began = server.cpu_seconds()
        time.sleep(2)

        assert server.cpu_seconds() - began < 1
        assert server.process.poll() is None
        for connection in idle:
            connection.close()
        assert server.get("/v1/usernames/anybody").status_code == 200


@pytest.mark.parametrize(("proxy", "statuses"), [("10.0.0.1", {200, 429}), ("127.0.0.1", {200})])
def test_a_flood_from_many_addresses_is_one_address_unless_the_proxy_says_so(
    tmp_path: Path, proxy: str, statuses: set[int]
) -> None:
    """Whoever names addresses of his own is counted by the one that he has."""
    with serving(tmp_path, anonymous_requests_per_minute=20, forwarded_allow_ips=proxy) as server:
        answers = [
            server.get("/v1/usernames/anybody", **{"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(40)
        ]

    assert {answer.status_code for answer in answers} == statuses
