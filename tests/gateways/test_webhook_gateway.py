"""One attempt at a real listener: what goes out, what counts as taken, and that nothing leads or holds it elsewhere."""

import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.gateways.targets import Targets
from app.gateways.webhooks import Reply, WebhookGateway
from tests.support.receivers import HERE, Behaviour, Names, answers, dribbles, hangs, receiver, says

AT = datetime(2026, 11, 23, 8, 15, 30, 900_000, tzinfo=UTC)
BODY = '{"id":"evnt_1","data":{"name":"数据"}}'
SECRET, ANOTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD5EY2CqqFHDQ="
OK = "HTTP/1.1 200 OK\r\n"


def gateway_to(*networks: str, timeout: int = 1) -> WebhookGateway:
    return WebhookGateway(Targets([ipaddress.ip_network(network) for network in networks]), timeout=timeout)


@pytest.fixture
async def gateway() -> AsyncIterator[WebhookGateway]:
    """May call this host."""
    made = gateway_to(HERE)
    yield made
    await made.close()


async def send(gateway: WebhookGateway, url: str, *secrets: str) -> Reply:
    return await gateway.send(url, event_id="evnt_1", body=BODY, secrets=secrets or (SECRET,), at=AT)


async def test_an_attempt_is_a_signed_post_of_the_event_and_nothing_else(gateway: WebhookGateway) -> None:
    async with receiver() as hooks:
        reply = await send(gateway, f"{hooks.url}/a%20b?tenant=1&x=%2F", SECRET, ANOTHER)

    (got,) = hooks.received
    assert (reply.status, reply.error, reply.taken) == (204, None, True)
    assert (got.method, got.target, got.body.decode()) == ("POST", "/hooks/a%20b?tenant=1&x=%2F", BODY)
    signatures = got.headers["webhook-signature"].split(" ")
    assert [one.partition(",")[0] for one in signatures] == ["v1", "v1"]
    assert len(set(signatures)) == 2
    expected = {
        "host": f"127.0.0.1:{hooks.port}",
        "content-type": "application/cloudevents+json",
        "content-length": str(len(BODY.encode())),
        "user-agent": "Guance-Webhooks/1.0",
        "webhook-id": "evnt_1",
        "webhook-timestamp": "1795421730",
    }
    assert expected.items() <= got.headers.items()
    assert not {"cookie", "authorization", "traceparent", "x-request-id"} & got.headers.keys()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_counts_as_taken(gateway: WebhookGateway, status: int) -> None:
    async with receiver(answers(status)) as hooks:
        assert (await send(gateway, hooks.url)).taken


@pytest.mark.parametrize("status", [300, 304, 400, 401, 404, 410, 429, 500, 503])
async def test_any_other_status_is_kept_and_not_taken(gateway: WebhookGateway, status: int) -> None:
    async with receiver(answers(status)) as hooks:
        reply = await send(gateway, hooks.url)

    assert (reply.status, reply.error, reply.taken) == (status, None, False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(gateway: WebhookGateway, status: int) -> None:
    async with receiver() as elsewhere, receiver(answers(status, location=elsewhere.url)) as hooks:
        reply = await send(gateway, hooks.url)

    assert (reply.status, reply.taken) == (status, False)
    assert (len(hooks.received), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize(
    "behave",
    [hangs, dribbles(b"", b"H", 0.1), dribbles(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", 0.1)],
    ids=["silence", "a slow status line", "a slow head"],
)
async def test_the_timeout_bounds_the_whole_attempt(gateway: WebhookGateway, behave: Behaviour) -> None:
    began = time.monotonic()
    async with receiver(behave) as hooks:
        reply = await send(gateway, hooks.url)

    assert (reply.status, reply.error) == (None, "timeout")
    assert time.monotonic() - began < 3
    assert 1000 <= reply.milliseconds < 3000


async def test_informational_answers_without_end_run_into_the_timeout(gateway: WebhookGateway) -> None:
    async with receiver(dribbles(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.01)) as hooks:
        assert (await send(gateway, hooks.url)).error == "timeout"


@pytest.mark.parametrize(
    ("start", "again"),
    [("content-length: 1000000000000\r\n\r\n", b"x" * 65_536), ("transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n")],
    ids=["long", "chunked"],
)
async def test_a_body_without_end_is_not_read(gateway: WebhookGateway, start: str, again: bytes) -> None:
    async with receiver(dribbles(f"{OK}{start}".encode(), again, 0.01)) as hooks:
        assert (await send(gateway, hooks.url)).taken


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 000 Zero\r\n\r\n",
        b"HTTP/1.1 20 Short\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_not_taken_and_raises_nothing(gateway: WebhookGateway, raw: bytes) -> None:
    async with receiver(says(raw)) as hooks:
        reply = await send(gateway, hooks.url)

    assert not reply.taken
    assert (reply.status, reply.error) in [(None, "network"), (101, None)]


async def test_nobody_at_the_port_is_said(gateway: WebhookGateway) -> None:
    async with receiver() as hooks:
        url = hooks.url

    assert (await send(gateway, url)).error == "connect"


async def test_the_target_is_looked_at_on_every_attempt() -> None:
    async with receiver() as hooks:
        closed = gateway_to("10.0.0.0/8")
        assert (await send(closed, hooks.url)).error == "forbidden_address"
        await closed.close()

    assert hooks.connections == 0


async def test_a_name_that_resolves_otherwise_a_moment_later_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, hooks_example_com=[["127.0.0.2"], ["127.0.0.1"]])
    gateway = gateway_to("127.0.0.2/32")
    async with receiver(host="127.0.0.2") as hooks, receiver(port=hooks.port) as inside:
        url = f"http://hooks.example.com:{hooks.port}/hooks"
        first, second = await send(gateway, url), await send(gateway, url)
    await gateway.close()

    assert (first.taken, second.error) == (True, "forbidden_address")
    assert (len(hooks.received), inside.connections) == (1, 0)
    assert names.asked == ["hooks.example.com"] * 2  # once an attempt
    assert hooks.received[0].headers["host"] == f"hooks.example.com:{hooks.port}"


async def test_a_second_address_is_tried_when_nobody_is_at_the_first(
    monkeypatch: pytest.MonkeyPatch, gateway: WebhookGateway
) -> None:
    Names(monkeypatch, hooks_example_com=[["127.0.0.3", "127.0.0.2", "127.0.0.1"]])
    async with receiver() as hooks:
        assert (await send(gateway, f"http://hooks.example.com:{hooks.port}/")).taken


async def test_a_second_address_does_not_get_what_the_first_may_have_taken(
    monkeypatch: pytest.MonkeyPatch, gateway: WebhookGateway
) -> None:
    Names(monkeypatch, hooks_example_com=[["127.0.0.2", "127.0.0.1"]])
    async with receiver(says(b""), host="127.0.0.2") as first, receiver(port=first.port) as second:
        assert (await send(gateway, f"http://hooks.example.com:{first.port}/")).error == "network"

    assert (len(first.received), second.connections) == (1, 0)


async def test_proxies_of_the_environment_are_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answers(200)) as proxy, receiver() as hooks:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        gateway = gateway_to(HERE)
        reply = await send(gateway, hooks.url)
        await gateway.close()

    assert (reply.status, proxy.connections) == (204, 0)


async def test_a_cookie_that_a_receiver_sets_is_never_sent(gateway: WebhookGateway) -> None:
    async with receiver(answers(204, **{"set-cookie": "tenant=one; Path=/"})) as hooks, receiver() as neighbour:
        for url in (hooks.url, hooks.url, neighbour.url):
            assert (await send(gateway, url)).taken

    assert not any("cookie" in got.headers for got in hooks.received + neighbour.received)


async def test_no_connection_is_used_twice(gateway: WebhookGateway) -> None:
    alive = says(b"HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\n")
    async with receiver(alive) as hooks:
        for _ in range(3):
            assert (await send(gateway, hooks.url)).taken

    assert hooks.connections == 3


def certificate(folder: Path, name: str, address: str | None = None) -> tuple[Path, ssl.SSLContext]:
    """A certificate for the name (or the address) that signs for itself, and what its server needs."""
    subject = x509.IPAddress(ipaddress.ip_address(address)) if address else x509.DNSName(name)
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    day = timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - day)
        .not_valid_after(datetime.now(UTC) + day)
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    clear = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, clear)
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return file, context


@pytest.mark.parametrize(
    ("name", "trusted", "expected"),
    [
        ("hooks.example.com", True, 204),
        ("other.example.com", True, None),
        ("127.0.0.1", True, None),
        ("hooks.example.com", False, None),
    ],
    ids=["right", "another name", "the address", "unknown issuer"],
)
async def test_the_certificate_is_asked_of_the_name_and_checked_against_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, trusted: bool, expected: int | None
) -> None:
    file, context = certificate(tmp_path, name)
    asked: list[str | None] = []
    context.sni_callback = lambda _, wanted, __: asked.append(wanted)
    if trusted:
        monkeypatch.setattr(certifi, "where", lambda: str(file))
    Names(monkeypatch, hooks_example_com=[["127.0.0.1"]])
    gateway = gateway_to(HERE)
    async with receiver(tls=context) as hooks:
        reply = await send(gateway, f"https://hooks.example.com:{hooks.port}/hooks")
    await gateway.close()

    assert (reply.status, reply.error) == (expected, None if expected else "connect")
    assert len(hooks.received) == (1 if expected else 0)
    assert asked == ["hooks.example.com"]


async def test_a_certificate_of_an_address_is_checked_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, context = certificate(tmp_path, "hooks", "127.0.0.1")
    monkeypatch.setattr(certifi, "where", lambda: str(file))
    gateway = gateway_to(HERE)
    async with receiver(tls=context) as hooks, receiver(tls=context, host="127.0.0.2") as other:
        assert (await send(gateway, hooks.url)).taken
        assert (await send(gateway, other.url)).error == "connect"
    await gateway.close()
