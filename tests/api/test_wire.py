"""Attacks below and around HTTP: requests that two readers could understand differently, addresses and names that are
believed, and bytes that would break out of a header or a log line. Against a server on a port."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.core import migrations
from tests.support.fuzzing import serving

BODY = b'{"identifier":"x"}'
POST = b"POST /v1/login-codes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = b"12\r\n" + BODY + b"\r\n0\r\n\r\n"
EVIL = "evil.example"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('wire') / 'app.db'}"
    migrations.upgrade(url)
    with serving(url, cors_origins=["https://billing.example.com"]) as address:
        yield address


def exchange(base: str, request: bytes) -> list[bytes]:
    """Send the bytes and read until the server closes; the status of each answer."""
    with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), timeout=10) as wire:
        wire.sendall(request)
        answer = b""
        while piece := wire.recv(65_536):
            answer += piece
    return re.findall(rb"HTTP/1\.1 (\d{3})", answer)


# RFC 9112 §6.1, §6.3, §11.2: a message whose length could be read in two ways is refused, and its connection with it.
AMBIGUOUS = {
    "two lengths": POST + b"Content-Length: 18\r\nContent-Length: 5\r\n\r\n" + BODY,
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKED,
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + CHUNKED,
    "a coding like chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
    "a blank before the colon": POST + b"Content-Length : 18\r\n\r\n" + BODY,
    "a length with a sign": POST + b"Content-Length: +18\r\n\r\n" + BODY,
    "a length below zero": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length beyond numbers": POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
    "a chunk below zero": POST + b"Transfer-Encoding: chunked\r\n\r\n-12\r\n" + BODY,
    "a folded line": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "a lone line feed": b"GET /livez HTTP/1.1\nHost: a\n\n",
    "a lone carriage return": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: b\rX: c\r\n\r\n",
    "a zero byte": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_request_that_can_be_read_in_two_ways_is_refused_with_its_connection(base: str, request_bytes: bytes) -> None:
    """Nothing behind it is taken for a request of its own."""
    hidden = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert exchange(base, request_bytes + hidden) in ([b"400"], [])


def test_two_requests_on_one_connection_get_two_answers(base: str) -> None:
    """So that the test above would see a hidden one."""
    request = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
    assert exchange(base, request + b"\r\n" + request + b"Connection: close\r\n\r\n") == [b"200", b"200"]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "GETX", "\x00"])
def test_methods_that_no_operation_has_are_refused(base: str, method: str) -> None:
    statuses = exchange(base, f"{method} /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert statuses in ([b"405"], [b"400"], [])


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/docs", "/v1/account", "/v1/account/", "/internal/v1/accounts", "/marketplace/alibaba"]
)
def test_no_answer_repeats_the_name_under_which_the_service_was_called(base: str, path: str) -> None:
    """A cache in front would keep it for others, and links would lead there."""
    names = ("Host", "X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL")
    headers = dict.fromkeys(names, EVIL) | {"Forwarded": f"host={EVIL}", "X-Forwarded-Prefix": f"//{EVIL}"}
    answer = requests.get(base + path, headers=headers, allow_redirects=False, timeout=10)
    assert EVIL not in answer.text + str(answer.headers)
    assert answer.status_code != 500


def test_an_absolute_target_changes_neither_the_place_nor_who_may(base: str) -> None:
    """RFC 9112 §3.2.2: the target's own host counts, and here no host counts."""
    ask = b"GET http://evil.example%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert exchange(base, ask % b"/livez") == [b"200"]
    assert exchange(base, ask % b"/internal/v1/accounts") == [b"401"]


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/../internal/v1/accounts", "/v1%2faccount", "/%76%31/account", "/%69nternal/v1/accounts"),
        *("/internal%2Fv1%2Faccounts", "//v1/account", "/V1/account", "/v1/account;x"),
    ],
)
def test_another_spelling_of_a_path_is_no_way_around_a_proxys_rules(base: str, path: str) -> None:
    assert exchange(base, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()) == [b"404"]


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "https://evil.example", "https://billing.example.com.evil.example", "http://billing.example.com"),
        *("https://evilbilling.example.com", "https://billing.example.com:444", "https://billing.example.com/"),
    ],
)
def test_no_origin_is_reflected_but_the_configured_one(base: str, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    for answer in (
        requests.get(f"{base}/livez", headers={"Origin": origin}, timeout=10),
        requests.options(f"{base}/v1/sessions", headers=asked, timeout=10),
    ):
        assert answer.headers.get("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/registrations", "/v1/sessions/refresh", "/v1/login-codes"])
def test_what_a_page_elsewhere_can_send_without_asking_first_does_nothing(
    base: str, path: str, kind: str | None
) -> None:
    """CORS-safelisted content types (Fetch §2.2.2) need no preflight: a body in one of them is not read."""
    headers = {"Origin": f"https://{EVIL}"} | ({"Content-Type": kind} if kind else {})
    answer = requests.post(base + path, data=b'{"identifier": "x"}', headers=headers, timeout=10)
    assert answer.status_code in (401, 415, 422)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("escaped", ["%0d%0aSet-Cookie:%20x=1", "%0a", "%00", "%e2%80%a8", "%1b[31m"])
def test_what_would_begin_a_line_begins_none_in_the_answers_header(base: str, escaped: str) -> None:
    headers = {"User-Agent": "a\tb", "traceparent": "00-zz", "X-Request-Id": "\\n\\u2028"}
    answer = requests.get(f"{base}/v1/usernames/a{escaped}", headers=headers, timeout=10)
    assert answer.status_code == 422
    assert "x=1" not in str(answer.headers)


def test_addresses_that_a_client_claims_are_not_counted_as_its_own(tmp_path: Path) -> None:
    """Only `X-Forwarded-For` of a proxy that is named is believed."""
    url = f"sqlite:///{tmp_path / 'app.db'}"
    migrations.upgrade(url)
    with serving(url, anonymous_requests_per_minute=3) as address:
        statuses = [
            requests.get(
                f"{address}/v1/usernames/acme{number}",
                headers={
                    "X-Real-IP": f"10.0.0.{number}",
                    "Client-IP": f"10.0.0.{number}",
                    "Forwarded": f"for=10.0.0.{number}",
                },
                timeout=10,
            ).status_code
            for number in range(5)
        ]
    assert statuses == [200, 200, 200, 429, 429]
