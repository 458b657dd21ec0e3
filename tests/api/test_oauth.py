"""The token endpoint: as standard OAuth 2.0 clients use it, and each way in which RFC 6749 §5.2 has it refuse."""

import asyncio
import base64
import json
import logging
import re
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import uvicorn
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error  # type: ignore[import-untyped]
from requests_oauthlib import OAuth2Session  # type: ignore[import-untyped]

from app.core.config import Settings
from app.core.crypto import unb64
from app.core.scopes import Scope
from app.main import create_app
from tests.support.api import TEST_SETTINGS, Api
from tests.support.services import ServiceClient, client, token

with warnings.catch_warnings():
    from authlib.deprecate import AuthlibDeprecationWarning  # type: ignore[import-untyped]

    warnings.simplefilter("ignore", AuthlibDeprecationWarning)  # it would rather have the successor of httpx
    from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

Json = dict[str, Any]
FORM = "application/x-www-form-urlencoded"
SECONDS = 10

# --- Two client libraries, over HTTP --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(postgres_database: str) -> Iterator[str]:
    """The URL of the service on a port."""
    app = create_app(Settings(**{"database_url": postgres_database, **TEST_SETTINGS}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + SECONDS
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Wanted:
    """What a library is asked to do: get a token, and call with it."""

    url: str
    client_id: str
    secret: str
    scope: str | None = None


@dataclass(frozen=True)
class Got:
    token: Mapping[str, Any]
    status: int


class LibraryRefusedError(Exception):
    """The library understood the refusal; its argument is the error's code."""


async def by_authlib(wanted: Wanted, method: str) -> Got:
    options = {"token_endpoint_auth_method": method, "scope": wanted.scope}
    async with AsyncOAuth2Client(wanted.client_id, wanted.secret, **options) as session:
        try:
            got = await session.fetch_token(f"{wanted.url}/oauth/token", grant_type="client_credentials")
        except OAuthError as error:
            raise LibraryRefusedError(error.error) from error
        return Got(got, (await session.get(f"{wanted.url}/internal/v1/events")).status_code)


async def authlib_basic(wanted: Wanted) -> Got:
    return await by_authlib(wanted, "client_secret_basic")


async def authlib_post(wanted: Wanted) -> Got:
    return await by_authlib(wanted, "client_secret_post")


def by_requests(wanted: Wanted, *, in_body: bool) -> Got:
    with OAuth2Session(client=BackendApplicationClient(wanted.client_id, scope=wanted.scope)) as session:
        try:
            got = session.fetch_token(
                f"{wanted.url}/oauth/token",
                client_id=wanted.client_id,
                client_secret=wanted.secret,
                include_client_id=in_body,
                timeout=SECONDS,
            )
        except OAuth2Error as error:
            raise LibraryRefusedError(error.error) from error
        return Got(got, session.get(f"{wanted.url}/internal/v1/events", timeout=SECONDS).status_code)


async def requests_basic(wanted: Wanted) -> Got:
    return await asyncio.to_thread(by_requests, wanted, in_body=False)


async def requests_post(wanted: Wanted) -> Got:
    return await asyncio.to_thread(by_requests, wanted, in_body=True)


Library = Callable[[Wanted], Coroutine[Any, Any, Got]]
each_library = pytest.mark.parametrize(
    "library", [authlib_basic, authlib_post, requests_basic, requests_post], ids=lambda one: one.__name__
)


@pytest.fixture
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries insist on https otherwise."""
    for name in ("AUTHLIB_INSECURE_TRANSPORT", "OAUTHLIB_INSECURE_TRANSPORT"):
        monkeypatch.setenv(name, "1")


@each_library
@pytest.mark.usefixtures("plain_http")
async def test_a_standard_library_gets_a_token_and_calls_with_it(pg_api: Api, served: str, library: Library) -> None:
    service = await client(pg_api, Scope.EVENTS, Scope.ACCOUNTS_READ)

    got = await library(Wanted(served, service.client_id, service.secret, "events:read"))

    assert (got.token["token_type"], got.token["expires_in"], got.status) == ("Bearer", 600, 200)


@each_library
@pytest.mark.usefixtures("plain_http")
async def test_a_standard_library_calls_in_vain_without_the_scope(pg_api: Api, served: str, library: Library) -> None:
    service = await client(pg_api, Scope.ACCOUNTS_READ)

    got = await library(Wanted(served, service.client_id, service.secret))

    assert got.status == 403


@each_library
@pytest.mark.parametrize("error", ["invalid_client", "invalid_scope"])
@pytest.mark.usefixtures("plain_http")
async def test_a_standard_library_understands_a_refusal(pg_api: Api, served: str, library: Library, error: str) -> None:
    service = await client(pg_api, Scope.ACCOUNTS_READ)
    secret = "wrong" if error == "invalid_client" else service.secret

    with pytest.raises(LibraryRefusedError, match=f"^{error}$"):
        await library(Wanted(served, service.client_id, secret, "staff:audit"))


# --- What is given --------------------------------------------------------------------------------------------------


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def ask(api: Api, content: str | bytes, **headers: str) -> httpx.Response:
    sent = {"Content-Type": FORM} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.client.post("/oauth/token", content=content, headers={k: v for k, v in sent.items() if v})


async def ask_as(service: ServiceClient, content: str) -> httpx.Response:
    return await ask(service.api, content, Authorization=basic(service.client_id, service.secret))


def every_character(text: str) -> str:
    """Percent-encoded, as RFC 6749 §2.3.1 allows for each."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


async def test_the_token_says_for_whom_and_for_what_it_is(api: Api) -> None:
    service = await client(api, Scope.EVENTS, Scope.ACCOUNTS_READ)

    head, payload = (json.loads(unb64(part)) for part in service.token.split(".")[:2])

    assert (head["typ"], head["alg"]) == ("at+jwt", "ES256")
    assert (payload["sub"], payload["client_id"]) == (service.client_id, service.client_id)
    assert payload["scope"] == "accounts:read events:read"
    assert (payload["iss"], payload["aud"]) == (api.settings.issuer, f"{api.settings.audience}-internal")
    assert payload["exp"] - payload["iat"] == 600
    assert payload["jti"]


async def test_what_holds_a_token_is_kept_by_nobody_on_the_way(api: Api) -> None:
    answer = await ask_as(await client(api), "grant_type=client_credentials")

    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert answer.headers["Content-Type"] == "application/json"


SCOPES_GIVEN = {
    "all_of_the_clients_when_none_is_named": ("", "accounts:read events:read"),
    "all_when_the_parameter_is_empty": ("&scope=", "accounts:read events:read"),
    "the_one_that_is_named": ("&scope=events:read", "events:read"),
    "each_once": ("&scope=events:read+events:read", "events:read"),
    "both_in_any_order": ("&scope=events:read%20accounts:read", "accounts:read events:read"),
}


@pytest.mark.parametrize("case", SCOPES_GIVEN)
async def test_the_scopes_given_are(api: Api, case: str) -> None:
    parameters, given = SCOPES_GIVEN[case]
    service = await client(api, Scope.EVENTS, Scope.ACCOUNTS_READ)

    answer = await ask_as(service, f"grant_type=client_credentials{parameters}")

    assert answer.json()["scope"] == given
    assert json.loads(unb64(answer.json()["access_token"].split(".")[1]))["scope"] == given


ACCEPTED = {
    "a_charset_beside_the_media_type": ("{form}", "{basic}", f"{FORM}; charset=UTF-8"),
    "a_media_type_in_capitals": ("{form}", "{basic}", FORM.upper()),
    "a_scheme_in_capitals": ("{form}", "BASIC {credentials}", FORM),
    "credentials_with_every_character_percent_encoded": ("{form}", "{basic_encoded}", FORM),
    "unknown_parameters_even_repeated": ("{form}&resource=a&resource=b&x=", "{basic}", FORM),
    "the_client_id_in_both_places": ("{form}&client_id={id}", "{basic}", FORM),
    "empty_credentials_in_the_body_beside_basic": ("{form}&client_id=&client_secret=", "{basic}", FORM),
    "another_scheme_beside_credentials_in_the_body": ("{form}&client_id={id}&client_secret={secret}", "Bearer x", FORM),
}


def fill(template: str, service: ServiceClient) -> str:
    header = basic(service.client_id, service.secret)
    for name, value in {
        "form": "grant_type=client_credentials",
        "id": service.client_id,
        "secret": service.secret,
        "basic": header,
        "credentials": header.removeprefix("Basic "),
        "basic_encoded": basic(every_character(service.client_id), every_character(service.secret)),
    }.items():
        template = template.replace("{" + name + "}", value)
    return template


@pytest.mark.parametrize("case", ACCEPTED)
async def test_a_token_is_given_with(api: Api, case: str) -> None:
    content, authorization, media_type = ACCEPTED[case]
    service = await client(api)

    answer = await ask(api, fill(content, service), Authorization=fill(authorization, service), Content_Type=media_type)

    assert answer.status_code == 200, answer.text


# --- What is refused ------------------------------------------------------------------------------------------------

FORM_OF_A_CLIENT = "{form}&client_id={id}&client_secret={secret}"
REFUSED: dict[str, tuple[str, str, str]] = {
    # The error; the body; the Authorization header.
    "nobody": ("invalid_client", "{form}", ""),
    "no_secret": ("invalid_client", "{form}&client_id={id}", ""),
    "an_empty_secret": ("invalid_client", "{form}&client_id={id}&client_secret=", ""),
    "no_client": ("invalid_client", "{form}&client_secret={secret}", ""),
    "a_wrong_secret": ("invalid_client", "{form}&client_id={id}&client_secret=x", ""),
    "a_longer_secret": ("invalid_client", FORM_OF_A_CLIENT + "x", ""),
    "an_unknown_client": ("invalid_client", f"{{form}}&client_id=clnt_{'0' * 32}&client_secret={{secret}}", ""),
    "no_id_of_a_client": ("invalid_client", "{form}&client_id=%00&client_secret={secret}", ""),
    "basic_without_credentials": ("invalid_client", "{form}", "Basic"),
    "basic_that_is_not_base64": ("invalid_client", "{form}", "Basic {id}:{secret}"),
    "basic_without_a_colon": ("invalid_client", "{form}", "Basic " + base64.b64encode(b"clnt").decode()),
    "basic_that_is_not_utf_8": ("invalid_client", "{form}", "Basic " + base64.b64encode(b"\xff:\xfe").decode()),
    "garbage_in_basic_beside_good_credentials": ("invalid_client", FORM_OF_A_CLIENT, "Basic !"),
    "two_ways_at_once": ("invalid_request", FORM_OF_A_CLIENT, "{basic}"),
    "basic_for_one_client_and_another_in_the_body": ("invalid_request", "{form}&client_id=clnt_other", "{basic}"),
    "an_empty_body": ("invalid_request", "", "{basic}"),
    "no_grant_type": ("invalid_request", "scope=events:read", "{basic}"),
    "an_empty_grant_type": ("invalid_request", "grant_type=", "{basic}"),
    "grant_type_twice": ("invalid_request", "{form}&{form}", "{basic}"),
    "scope_twice": ("invalid_request", "{form}&scope=events:read&scope=events:read", "{basic}"),
    "client_id_twice": ("invalid_request", FORM_OF_A_CLIENT + "&client_id={id}", ""),
    "client_secret_twice": ("invalid_request", FORM_OF_A_CLIENT + "&client_secret=x", ""),
    "octets_that_are_not_utf_8": ("invalid_request", "{form}&scope=%FF", "{basic}"),
    "more_parameters_than_anybody_needs": ("invalid_request", "{form}" + "&x=1" * 100, "{basic}"),
    "a_body_longer_than_anybody_needs": ("invalid_request", "{form}&x=" + "1" * 10_000, "{basic}"),
    "another_grant_type": ("unsupported_grant_type", "grant_type=password&username=a&password=b", "{basic}"),
    "a_grant_type_in_capitals": ("unsupported_grant_type", "grant_type=CLIENT_CREDENTIALS", "{basic}"),
    "a_scope_of_others": ("invalid_scope", "{form}&scope=staff:audit", "{basic}"),
    "a_scope_of_nobody": ("invalid_scope", "{form}&scope=everything", "{basic}"),
    "a_good_scope_beside_a_bad_one": ("invalid_scope", "{form}&scope=events:read+staff:audit", "{basic}"),
    "a_scope_in_capitals": ("invalid_scope", "{form}&scope=EVENTS:READ", "{basic}"),
    "a_scope_that_is_blank": ("invalid_scope", "{form}&scope=+", "{basic}"),
    "scopes_separated_by_a_tab": ("invalid_scope", "{form}&scope=events:read%09events:read", "{basic}"),
    "a_scope_that_no_error_description_may_hold": (
        "invalid_scope",
        "{form}&" + urlencode({"scope": 'a"b\\c\x07计费'}),
        "{basic}",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_no_token_is_given_for(api: Api, case: str) -> None:
    error, content, authorization = REFUSED[case]
    service = await client(api, Scope.EVENTS)

    answer = await ask(api, fill(content, service), Authorization=fill(authorization, service))

    assert_refused(answer, error)
    assert service.secret not in answer.text


@pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
async def test_no_token_is_given_for_a_body_that_is_no_form(api: Api, media_type: str) -> None:
    service = await client(api)
    body = {"grant_type": "client_credentials", "client_id": service.client_id, "client_secret": service.secret}

    for content in (json.dumps(body), urlencode(body)):
        assert_refused(await ask(api, content, Content_Type=media_type), "invalid_request")


async def test_who_has_no_secret_learns_nothing_of_the_clients_there_are(api: Api) -> None:
    known, off = await client(api), await client(api)
    unknown = f"clnt_{'0' * 32}"
    await api.container.clients.disable(client_id=api.container.tokens.verify_service(off.token).client_id)

    tried = [(known.client_id, "wrong"), (unknown, "wrong"), (off.client_id, "wrong"), (off.client_id, off.secret)]
    answers = [await token(api, name, secret) for name, secret in tried]

    assert len({(one.status_code, one.text) for one in answers}) == 1
    assert_refused(answers[0], "invalid_client")


async def test_neither_secret_nor_token_is_ever_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service = await client(api)
    wrong = "a-secret-that-is-wrong"

    await ask(api, fill(FORM_OF_A_CLIENT, service))
    await ask_as(service, "grant_type=password")
    await token(api, service.client_id, wrong)
    await service.get("/events")

    assert "/oauth/token" in caplog.text
    assert [one for one in (service.secret, wrong, service.token) if one in caplog.text] == []


async def test_credentials_do_not_belong_in_the_address(api: Api) -> None:
    service = await client(api)
    query = {"grant_type": "client_credentials", "client_id": service.client_id, "client_secret": service.secret}

    answer = await api.client.post("/oauth/token", params=query, headers={"Content-Type": FORM})

    assert "access_token" not in answer.text
    assert 400 <= answer.status_code < 500


async def test_a_token_is_not_got_by_get(api: Api) -> None:
    answer = await api.client.get("/oauth/token")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def assert_refused(answer: httpx.Response, error: str) -> None:
    """RFC 6749 §5.2, and §5.1 for the headers."""
    assert answer.json().get("error") == error, answer.text
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.headers.get("WWW-Authenticate", "").startswith("Basic realm=") == (error == "invalid_client")
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert set(answer.json()) == {"error", "error_description"}
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", answer.json()["error_description"])
