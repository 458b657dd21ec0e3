"""SIGTERM: what was begun is finished, and nobody is let in meanwhile to be dropped afterwards."""

import signal
import socket
from pathlib import Path

import pytest

from tests.races.processes import ROOT, eventually, free_port, is_ready, process

BODY = b'{"identifier": "nobody"}'
HEAD = (
    "POST /v1/login-codes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_that_stops_finishes_what_was_begun_and_refuses_new_connections(
    tmp_path: Path, workers: str
) -> None:
    """A refused connection lets a proxy turn to another replica; one that is taken and dropped is a lost request."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}",
        "GUANCE_METRICS_PORT": str(free_port()),
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
    }
    with process(tmp_path, environment, "serve", "--port", str(port), "--workers", workers) as server:
        await eventually(lambda: is_ready(base), within=60)
        with socket.create_connection(("127.0.0.1", port)) as begun:
            begun.sendall(HEAD.encode() + BODY[:5])
            assert is_ready(base)
            server.terminate()

            await eventually(lambda: not takes_connections(port))

            assert server.poll() is None  # it waits for what was begun
            begun.sendall(BODY[5:])
            assert begun.recv(100).startswith(b"HTTP/1.1 202 ")
        assert server.wait(15) in (0, -signal.SIGTERM)


def takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True
