"""What holds for every operation: problems, ids, bodies, parameters, headers, limits, lists."""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine

from app.core.clock import now
from tests.support.api import Api, Holder

Json = dict[str, Any]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
KIB = 1024


def operations(api: Api) -> Iterator[tuple[str, str, Json]]:
    """Method, path (with a well-formed id that names nothing) and description of each operation."""
    prefixes = {"registrations": "regn", "credential-changes": "cchg", "password-resets": "pwrs", "sessions": "sess"}
    prefixes |= {"cloud-accounts": "clda", "workspaces": "wksp"}
    for template, item in api.app.openapi()["paths"].items():
        collection = template.partition("/{id}")[0].rpartition("/")[2]
        path = template.replace("{id}", f"{prefixes.get(collection, '')}_{'0' * 32}").replace("{username}", "acme")
        path = path.replace("{token}", "x" * 43)
        for method, operation in item.items():
            yield method.upper(), path, operation


def assert_problem(answer: httpx.Response, status: int, code: str) -> Json:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: Json = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail", "code", "trace_id"}
    assert (body["type"], body["status"]) == (f"urn:guance:problem:{code}", status)
    return body


async def post(api: Api, content: bytes, path: str = "/v1/login-codes", **headers: str) -> httpx.Response:
    return await api.client.post(path, content=content, headers={"Content-Type": "application/json"} | headers)


# Problems.


@pytest.mark.parametrize(
    ("accept_language", "locale", "title"),
    [
        (None, "en", "Log in first"),
        ("en-US", "en", "Log in first"),
        ("zh-CN", "zh-CN", "请先登录"),
        ("zh-TW, en;q=0.5", "zh-CN", "请先登录"),
        ("fr, de;q=0.9", "en", "Log in first"),
        ("garbage;;q=x,,", "en", "Log in first"),
    ],
)
async def test_problem_is_told_in_the_readers_language(
    api: Api, accept_language: str | None, locale: str, title: str
) -> None:
    headers = {} if accept_language is None else {"Accept-Language": accept_language}
    answer = await api.client.get("/v1/account", headers=headers)
    body = assert_problem(answer, 401, "unauthenticated")
    assert body.keys() == {"type", "title", "status", "detail", "code", "trace_id"}
    assert body["title"] == title
    assert answer.headers["Content-Language"] == locale
    assert "Accept-Language" in answer.headers["Vary"]


@pytest.mark.parametrize(("language", "words"), [("en", "Is required."), ("zh-CN", "此项必填。")])
async def test_validation_names_each_member_with_pointer_code_and_words(api: Api, language: str, words: str) -> None:
    answer = await post(api, b"{}", **{"Accept-Language": language})
    body = assert_problem(answer, 422, "validation_failed")
    assert body["errors"] == [{"pointer": "/identifier", "code": "missing", "detail": words}]


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        ("garbage", None),
        (None, None),
    ],
)
async def test_trace_id_is_that_of_the_caller_or_a_new_one(
    api: Api, traceparent: str | None, expected: str | None
) -> None:
    headers = {} if traceparent is None else {"traceparent": traceparent}
    trace_id = (await api.client.get("/v1/account", headers=headers)).json()["trace_id"]
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert (trace_id == TRACE) == (expected == TRACE)


async def test_request_id_comes_back_and_is_kept_with_what_was_done(api: Api) -> None:
    holder = await api.register()
    headers = {**holder.auth, "If-Match": "*", "X-Request-Id": "req-1.A_b"}
    edited = await api.client.patch("/v1/account/profile", json={"contact_name": "Li Lei"}, headers=headers)
    assert edited.headers["X-Request-Id"] == "req-1.A_b"
    [entry, *_] = (await api.client.get("/v1/account/activity", headers=holder.auth)).json()["items"]
    assert entry["request_id"] == "req-1.A_b"


@pytest.mark.parametrize("given", [None, b"", b"a b", b"x" * 129, b"\xe9", b"a;b", b'"', b"<script>"])
async def test_request_id_that_is_missing_or_odd_is_replaced(api: Api, given: bytes | None) -> None:
    answer = await api.client.get("/livez", headers={} if given is None else {b"X-Request-Id": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])


async def test_a_bug_is_answered_without_a_word_of_its_cause(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(**_: object) -> None:
        raise RuntimeError("select * from secrets")

    holder = await api.register()
    monkeypatch.setattr(api.container.profile, "read", break_down)
    answer = await api.client.get("/v1/account/profile", headers={**holder.auth, "X-Request-Id": "r1"})
    assert_problem(answer, 500, "internal_error")
    assert "secrets" not in answer.text
    assert (answer.headers["X-Request-Id"], answer.headers["Cache-Control"]) == ("r1", "no-store")


# Bodies.

NOT_JSON = {
    "nothing closed": b"{",
    "not JSON": b"hello",
    "single quotes": b"{'identifier': 'acme'}",
    "trailing comma": b'{"identifier": "acme",}',
    "two documents": b'{"identifier": "acme"} {}',
    "Latin-1": b'{"identifier": "\xe9"}',
    "not UTF-8": b"\xff\xfe\xfd",
    "NUL": b"\x00",
    "nested deeply": b"[" * 30_000,
    "nested deeply, closed": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "number of 5,000 digits": b'{"identifier": ' + b"9" * 5_000 + b"}",
}
ODD = NOT_JSON | {
    "NaN": b'{"identifier": NaN, "code": NaN, "company_name": NaN}',
    "Infinity": b'{"identifier": -Infinity, "code": Infinity, "value": Infinity}',
    "empty": b"",
    "blank": b"  ",
    "empty object": b"{}",
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "huge number": b"1e999",
    "text": b'"text"',
    "list": b"[]",
    "list of objects": b'[{"method": "password"}]',
    "wrong types": b'{"method": {}, "identifier": [], "code": 1, "credential": null, "username": {}, "value": [1]}',
    "unhashable tag": b'{"method": ["password"], "challenge_id": {}}',
    "1e999 in a member": b'{"identifier": 1e999, "code": 1e999}',
    "duplicate keys": b'{"identifier": "a", "identifier": "b", "code": "123456", "code": "654321"}',
    "lone surrogate": b'{"identifier": "\\ud800", "username": "\\ud800", "value": "\\ud800", "code": "\\ud800"}',
    "escaped NUL": b'{"identifier": "a\\u0000b", "email": "a\\u0000@example.com", "token": "\\u0000"}',
    "surrogate as a name": b'{"\\ud800": 1}',
    "empty name": b'{"": 1}',
    "many members": b"{" + b",".join(b'"m%d": 1' % number for number in range(3_000)) + b"}",
    "byte order mark": b'\xef\xbb\xbf{"identifier": "acme"}',
    "UTF-16": '{"identifier": "acme"}'.encode("utf-16"),
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_what_is_not_json_is_malformed(api: Api, content: bytes) -> None:
    assert_problem(await post(api, content), 400, "malformed_body")


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
async def test_odd_body_gets_a_documented_answer_from_every_operation(api: Api, content: bytes) -> None:
    holder = await api.register()
    headers = {**holder.auth, "If-Match": "*", "Content-Type": "application/json", "Idempotency-Key": "k"}
    tried = 0
    for number, (method, path, operation) in enumerate(operations(api)):
        if "requestBody" not in operation:
            continue
        headers["Idempotency-Key"] = f"key-{number}"
        answer = await api.client.request(method, path, content=content, headers=headers)
        where = f"{method} {path}: {answer.status_code} {answer.text}"
        documented = operation["responses"].get(str(answer.status_code))
        assert documented is not None, where
        assert answer.status_code < 500, where
        if answer.status_code >= 400:
            assert answer.json()["code"] in documented["content"]["application/problem+json"]["examples"], where
        tried += 1
    assert tried >= 12


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"],
)
async def test_body_that_does_not_say_that_it_is_json_is_refused(api: Api, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await api.client.post("/v1/login-codes", content=b'{"identifier": "acme"}', headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


async def test_merge_patch_is_for_patch_alone(api: Api) -> None:
    answer = await post(api, b'{"identifier": "acme"}', **{"Content-Type": "application/merge-patch+json"})
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_be_named_with_parameters_and_in_any_case(api: Api, content_type: str) -> None:
    answer = await post(api, b'{"identifier": "acme"}', **{"Content-Type": content_type})
    assert answer.status_code == 202


def padded(size: int) -> bytes:
    """A good body of `size` bytes."""
    content = b'{"identifier": "acme"}'
    return content + b" " * (size - len(content))


async def in_chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), KIB):
        yield content[start : start + KIB]


async def test_body_of_64_kib_is_read_and_a_larger_one_is_refused(api: Api) -> None:
    assert (await post(api, padded(64 * KIB))).status_code == 202
    assert_problem(await post(api, padded(64 * KIB + 1)), 413, "body_too_large")


@pytest.mark.parametrize("path", ["/v1/login-codes", "/v1/sessions", "/v1/registrations"])
async def test_body_without_a_length_is_refused_as_soon_as_it_is_too_large(api: Api, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1000 * KIB:
            sent += KIB
            yield b" " * KIB

    answer = await api.client.post(path, content=endless(), headers={"Content-Type": "application/json"})
    assert_problem(answer, 413, "body_too_large")


async def test_body_without_a_length_is_read_up_to_the_limit(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.client.post("/v1/login-codes", content=in_chunks(padded(64 * KIB)), headers=headers)
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/registrations", {"username": "SECRET !", "email": "SECRET", "password": "SECRET", "company_name": "x"}),
        ("/v1/sessions", {"method": "SECRET"}),
        ("/v1/sessions", {"method": "password", "identifier": "acme", "password": ["SECRET"]}),
        ("/v1/sessions", {"method": "code", "challenge_id": "SECRET", "code": "SECRET"}),
        ("/v1/sessions/refresh", {"refresh_token": "SECRET"}),
        ("/v1/login-codes", {"identifier": "SECRET" * 100}),
        ("/v1/credential-change-reversals", {"token": "SECRET !"}),
    ],
)
async def test_validation_never_says_back_what_was_sent(api: Api, path: str, body: Json) -> None:
    answer = await api.client.post(path, json=body)
    assert_problem(answer, 422, "validation_failed")
    assert "SECRET" not in answer.text


# Paths and parameters.


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/account", "/v1/account/", "/v1/nothing", "/%00", "/../etc/passwd"])
async def test_unknown_path_is_not_found(api: Api, path: str) -> None:
    assert_problem(await api.client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/account/profile", {"GET", "PATCH"}),
        ("PATCH", "/v1/sessions", {"GET", "POST", "DELETE"}),
        ("GET", "/v1/registrations", {"POST"}),
        ("POST", "/v1/sessions/current", {"DELETE"}),
        ("PUT", f"/v1/account/credential-changes/cchg_{'0' * 32}", {"GET", "DELETE"}),
        ("DELETE", "/livez", {"GET"}),
        ("PUT", "/v1/account/cloud-accounts", {"GET", "POST"}),
        ("POST", "/v1/account/workspaces/wksp_1/settlement", {"PUT"}),
        ("GET", f"/v1/marketplace-claims/{'x' * 43}/accept", {"POST"}),
        ("PUT", "/marketplace/alibaba", {"GET", "HEAD", "POST"}),
    ],
)
async def test_wrong_method_is_told_every_right_one(api: Api, method: str, path: str, allow: set[str]) -> None:
    answer = await api.client.request(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allow


async def test_unknown_query_parameter_is_refused_by_every_operation(api: Api) -> None:
    holder = await api.register()
    for method, path, _ in operations(api):
        answer = await api.client.request(method, f"{path}?wrong=1", headers=holder.auth)
        body = assert_problem(answer, 422, "validation_failed")
        assert [(one["pointer"], one["code"]) for one in body["errors"]] == [("wrong", "unknown_parameter")], path
    assert (await api.client.get("/v1/account", headers=holder.auth)).status_code == 200


@pytest.mark.parametrize("repeated", ["limit=1&limit=2", "limit=1&limit=1", "limit=1&cursor=x&limit=2"])
async def test_a_parameter_that_comes_twice_is_refused(api: Api, repeated: str) -> None:
    """A proxy and this service might each take another of them."""
    holder = await api.register()
    answer = await api.client.get(f"/v1/sessions?{repeated}", headers=holder.auth)
    body = assert_problem(answer, 422, "validation_failed")
    assert [(one["pointer"], one["code"]) for one in body["errors"]] == [("limit", "repeated_parameter")]


@pytest.mark.parametrize(
    "malformed", ["x", "_", "{prefix}_", "{prefix}_123", f"acnt_{'0' * 32}", f"{{prefix}}_{'A' * 32}", "%00", "%F0%9F"]
)
async def test_malformed_id_is_not_found_on_every_operation(api: Api, malformed: str) -> None:
    holder = await api.register()
    tried = 0
    for method, path, operation in operations(api):
        wellformed = re.search(f"([a-z]{{4}})_{'0' * 32}", path)
        if wellformed is None or wellformed[1] == "wksp":  # an id of another service has a pattern: test_workspaces
            continue
        url = path.replace(wellformed[0], malformed.replace("{prefix}", wellformed[1]))
        body: Json | None = {} if "requestBody" in operation else None
        answer = await api.client.request(method, url, headers=holder.auth, json=body)
        assert_problem(answer, 404, "not_found")
        tried += 1
    assert tried >= 10


# Lists.

LISTS = ["/v1/sessions", "/v1/account/activity"]


@pytest.mark.parametrize("path", [*LISTS, "/v1/account/cloud-accounts", "/v1/account/workspaces"])
@pytest.mark.parametrize("limit", ["0", "101", "-1", "abc", "", "1.5", "9" * 30, "1e2"])
async def test_limit_is_1_to_100(api: Api, path: str, limit: str) -> None:
    holder = await api.register()
    answer = await api.client.get(path, params={"limit": limit}, headers=holder.auth)
    body = assert_problem(answer, 422, "validation_failed")
    assert [one["pointer"] for one in body["errors"]] == ["limit"]


async def cursor_of(api: Api, holder: Holder, path: str) -> str:
    await api.log_in(holder)
    page = (await api.client.get(f"{path}?limit=1", headers=holder.auth)).json()
    return str(page["next_cursor"])


async def test_cursor_of_another_list_or_account_or_none_of_ours_is_refused(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    activity, sessions = [await cursor_of(api, holder, path) for path in reversed(LISTS)]
    others = await cursor_of(api, stranger, "/v1/account/activity")
    altered = activity[:-1] + ("A" if activity[-1] != "A" else "Q")
    good = await api.client.get("/v1/account/activity", params={"cursor": activity}, headers=holder.auth)
    assert good.status_code == 200
    for cursor in (sessions, others, altered, "x", "é", "A" * 32, "A" * 50, "", "\x00"):
        answer = await api.client.get("/v1/account/activity", params={"cursor": cursor}, headers=holder.auth)
        body = assert_problem(answer, 422, "validation_failed")
        assert [(one["pointer"], one["code"]) for one in body["errors"]] == [("cursor", "invalid_cursor")], cursor


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_activity_comes_in_pages_newest_first(api: Api, limit: int) -> None:
    holder = await api.register()
    for _ in range(3):
        await api.log_in(holder)
    seen: list[Json] = []
    query = f"?limit={limit}"
    while True:
        page = (await api.client.get(f"/v1/account/activity{query}", headers=holder.auth)).json()
        assert page.keys() == {"items", "next_cursor"}
        assert len(page["items"]) <= limit
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query = f"?limit={limit}&cursor={page['next_cursor']}"
    assert [entry["action"] for entry in seen] == ["session.started"] * 3 + ["account.registered"]
    assert [entry["id"] for entry in seen] == sorted((entry["id"] for entry in seen), reverse=True)


# Headers.


async def test_every_answer_to_a_holder_may_not_be_stored_framed_or_sniffed(api: Api) -> None:
    holder = await api.register()
    for method, path, operation in operations(api):
        if "security" not in operation:
            continue
        for headers in (holder.auth if method == "GET" else {}, {}):
            answer = await api.client.request(method, path, headers=headers)
            shown = {name: answer.headers.get(name) for name in SECURE}
            assert shown == SECURE, f"{method} {path}"


SECURE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
SPA, ELSEWHERE = "https://billing.example.com", "https://elsewhere.example.com"


async def test_login_may_not_be_stored(api: Api) -> None:
    holder = await api.register()
    body = {"method": "password", "identifier": holder.username, "password": holder.password}
    assert (await api.client.post("/v1/sessions", json=body)).headers["Cache-Control"] == "no-store"


@pytest.mark.settings(cors_origins=[SPA])
async def test_a_configured_origin_may_call_with_credentials(api: Api) -> None:
    asked = {
        "Origin": SPA,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,content-type,if-match,idempotency-key",
    }
    preflight = await api.client.options("/v1/account/profile", headers=asked)
    assert preflight.status_code == 200
    answer = await api.client.get("/v1/account", headers={"Origin": SPA})
    for one in (preflight, answer):
        assert one.headers["Access-Control-Allow-Origin"] == SPA
        assert one.headers["Access-Control-Allow-Credentials"] == "true"
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed >= {"ETag", "Retry-After", "X-Request-Id", "RateLimit", "Idempotency-Replayed"}


@pytest.mark.settings(cors_origins=[SPA])
@pytest.mark.parametrize("origin", [ELSEWHERE, "null", f"{SPA}.evil.com", SPA.replace("https", "http"), f"{SPA}:8443"])
async def test_any_other_origin_may_not(api: Api, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    preflight = await api.client.options("/v1/account", headers=asked)
    answer = await api.client.get("/v1/account", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_without_configured_origins_none_may(api: Api) -> None:
    answer = await api.client.get("/v1/account", headers={"Origin": SPA})
    assert "Access-Control-Allow-Origin" not in answer.headers


# Limits.


@pytest.mark.settings(anonymous_requests_per_minute=3)
async def test_an_address_may_call_so_often_a_minute_without_a_login(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        assert [(await api.client.get("/v1/usernames/acme")).status_code for _ in range(3)] == [200] * 3
    with time_machine.travel(start + timedelta(seconds=20), tick=False):
        refused = await post(api, b'{"identifier": "acme"}')
    assert_problem(refused, 429, "rate_limited")
    assert refused.headers["Retry-After"] == "40"
    assert refused.headers["RateLimit"] == '"requests";r=0;t=40'
    assert refused.headers["RateLimit-Policy"] == '"requests";q=3;w=60'
    with time_machine.travel(start + timedelta(seconds=60), tick=False):
        assert (await api.client.get("/v1/usernames/acme")).status_code == 200


@pytest.mark.settings(anonymous_requests_per_minute=3)
async def test_calls_with_a_login_are_not_counted_among_those_without(api: Api) -> None:
    holder = await api.register()
    for _ in range(5):
        assert (await api.client.get("/v1/account", headers=holder.auth)).status_code == 200


# Reference lists: no holder, so one database is enough; they touch none.


async def codes(api: Api, path: str) -> tuple[list[str], str | None]:
    answer = await api.client.get(path)
    assert answer.status_code == 200, answer.text
    return [item["code"] for item in answer.json()["items"]], answer.json()["next_cursor"]


async def test_reference_lists_come_whole_and_may_be_kept_by_anybody(api: Api) -> None:
    assert await codes(api, "/v1/industries") == ([chr(letter) for letter in range(ord("A"), ord("T") + 1)], None)
    regions, cursor = await codes(api, "/v1/regions")
    assert cursor is None
    assert {"CN", "CN-ZJ", "HK", "US", "ZA"} <= set(regions)
    assert "US-CA" not in regions
    answer = await api.client.get("/v1/regions")
    assert answer.headers["Cache-Control"] == "public, max-age=86400"
    [zhejiang] = [item for item in answer.json()["items"] if item["code"] == "CN-ZJ"]
    assert zhejiang == {"code": "CN-ZJ", "name_zh": "浙江省", "name_en": zhejiang["name_en"], "parent": "CN"}


@pytest.mark.parametrize("path", ["/v1/industries", "/v1/regions", "/v1/regions?country=US"])
async def test_reference_lists_come_in_pages_when_asked(api: Api, path: str) -> None:
    whole, _ = await codes(api, path)
    joint = "&" if "?" in path else "?"
    seen, cursor = await codes(api, f"{path}{joint}limit=7")
    while cursor:
        page, cursor = await codes(api, f"{path}{joint}limit=7&cursor={cursor}")
        assert 1 <= len(page) <= 7
        seen += page
    assert seen == whole


async def test_regions_of_a_country_are_its_subdivisions(api: Api) -> None:
    regions, _ = await codes(api, "/v1/regions?country=US")
    assert "US-CA" in regions
    assert all(code.startswith("US-") for code in regions)
    assert await codes(api, "/v1/regions?country=AQ") == ([], None)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("country=usa", "country"), ("country=us", "country"), ("limit=0", "limit"), ("limit=x", "limit")],
)
async def test_odd_parameters_of_reference_lists_are_refused(api: Api, query: str, pointer: str) -> None:
    body = assert_problem(await api.client.get(f"/v1/regions?{query}"), 422, "validation_failed")
    assert [one["pointer"] for one in body["errors"]] == [pointer]
