"""The profile: read in one statement, edited under its version, and what may stand in it."""

import json
import unicodedata
from typing import Any

import httpx
import pytest

from tests.support.api import Api, Holder, statements

Json = dict[str, Any]
EMPTY: Json = {"industry": None, "region": None, "company_description": None, "contact_name": None}


async def read(api: Api, holder: Holder) -> httpx.Response:
    answer = await api.client.get("/v1/account/profile", headers=holder.auth)
    assert answer.status_code == 200, answer.text
    return answer


async def edit(api: Api, holder: Holder, members: object, if_match: str | None = "*") -> httpx.Response:
    """`members` are written as JSON with everything escaped, so that a lone surrogate can be sent."""
    headers = {**holder.auth, "Content-Type": "application/json"}
    if if_match is not None:
        headers["If-Match"] = if_match
    return await api.client.patch("/v1/account/profile", content=json.dumps(members), headers=headers)


def problems_of(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(problem["pointer"], problem["code"]) for problem in answer.json()["errors"]]


async def test_profile_shows_what_was_registered_with_masked_contacts(api: Api) -> None:
    given = {"industry": "I", "region": "CN-ZJ", "company_description": "两行\nof text", "contact_name": "李雷"}
    holder = await api.register(
        username="acme", email="li.lei@example.com", phone="+8613800138000", locale="zh-CN", **given
    )
    profile = (await read(api, holder)).json()
    assert profile.pop("updated_at").endswith("Z")
    assert profile == given | {
        "company_name": "Northwind Trading",
        "username": "acme",
        "email": "l***@example.com",
        "phone": "+86*******8000",
        "locale": "zh-CN",
        "time_zone": "Asia/Shanghai",
    }


@pytest.mark.parametrize(
    "path",
    ["/v1/account", "/v1/account/profile", "/v1/account/activity", "/v1/account/credential-changes", "/v1/sessions"],
)
async def test_reading_is_one_statement(api: Api, path: str) -> None:
    holder = await api.register(phone="+8613800138000")
    await api.start(holder, "email")
    with statements(api) as sent:
        answer = await api.client.get(path, headers=holder.auth)
    assert answer.status_code == 200
    assert len(sent) == 1, sent


# Versions.


async def test_edit_under_the_version_that_was_read_gives_the_next_version(api: Api) -> None:
    holder = await api.register()
    etag = (await read(api, holder)).headers["ETag"]
    edited = await edit(api, holder, {"contact_name": "Han Meimei"}, etag)
    assert (edited.status_code, edited.json()["contact_name"]) == (200, "Han Meimei")
    assert edited.headers["ETag"] != etag
    shown = await read(api, holder)
    assert (shown.json(), shown.headers["ETag"]) == (edited.json(), edited.headers["ETag"])


async def test_edit_without_a_version_is_refused(api: Api) -> None:
    refused = await edit(api, await api.register(), {"contact_name": "Han Meimei"}, None)
    assert (refused.status_code, refused.json()["code"]) == (428, "precondition_required")


async def test_of_two_edits_of_one_version_the_second_is_refused(api: Api) -> None:
    holder = await api.register()
    etag = (await read(api, holder)).headers["ETag"]
    await edit(api, holder, {"contact_name": "Han Meimei"}, etag)
    refused = await edit(api, holder, {"contact_name": "Li Lei"}, etag)
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert (await read(api, holder)).json()["contact_name"] == "Han Meimei"


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ("*", 200),
        ("{etag}", 200),
        ('"999", {etag}', 200),
        (' {etag} ,"999"', 200),
        ("W/{etag}", 412),
        ('"999"', 412),
        ('"999", W/{etag}', 412),
        ('"foreign"', 412),
        ('"0{version}"', 412),
        ("{version}", 412),
        ('"²"', 412),
        ('""', 412),
        ("", 412),
        ("garbage", 412),
        (f'"{"9" * 900}"', 412),
    ],
)
async def test_if_match_is_compared_strongly(api: Api, if_match: str, status: int) -> None:
    holder = await api.register()
    etag = (await read(api, holder)).headers["ETag"]
    value = if_match.replace("{etag}", etag).replace("{version}", etag.strip('"')).encode()
    headers = {b"Authorization": holder.auth["Authorization"].encode(), b"If-Match": value}
    edited = await api.client.patch("/v1/account/profile", json={"contact_name": "Li Lei"}, headers=headers)
    assert edited.status_code == status, edited.text


async def test_edit_that_changes_nothing_keeps_the_version(api: Api) -> None:
    holder = await api.register()
    etag = (await read(api, holder)).headers["ETag"]
    for members in ({}, {"company_name": "Northwind Trading"}, {"industry": None}):
        same = await edit(api, holder, members, etag)
        assert (same.status_code, same.headers["ETag"]) == (200, etag)


# Merge patch.


async def test_absent_members_stay_and_null_clears(api: Api) -> None:
    holder = await api.register(industry="I", region="CN-ZJ", contact_name="Li Lei", company_description="About us")
    edited = (await edit(api, holder, {"industry": None, "region": "US"})).json()
    assert {name: edited[name] for name in EMPTY} == {
        "industry": None,
        "region": "US",
        "company_description": "About us",
        "contact_name": "Li Lei",
    }


@pytest.mark.parametrize("member", ["company_name", "locale", "time_zone"])
async def test_what_every_account_has_cannot_be_cleared(api: Api, member: str) -> None:
    holder = await api.register()
    [(pointer, _)] = problems_of(await edit(api, holder, {member: None}))
    assert pointer == f"/{member}"


async def test_merge_patch_media_type_is_taken(api: Api) -> None:
    holder = await api.register()
    headers = {**holder.auth, "If-Match": "*", "Content-Type": "application/merge-patch+json"}
    edited = await api.client.patch("/v1/account/profile", content=b'{"contact_name": "Li Lei"}', headers=headers)
    assert edited.json()["contact_name"] == "Li Lei"


@pytest.mark.parametrize("member", ["email", "phone", "updated_at", "id", "version", "a/b~c"])
async def test_unknown_members_are_refused_and_nothing_is_saved(api: Api, member: str) -> None:
    holder = await api.register()
    refused = await edit(api, holder, {"contact_name": "Li Lei", member: "x"})
    assert problems_of(refused) == [("/" + member.replace("~", "~0").replace("/", "~1"), "extra_forbidden")]
    assert (await read(api, holder)).json()["contact_name"] is None


# What may stand in it.


@pytest.mark.parametrize(
    ("member", "longest"), [("company_name", 128), ("company_description", 1000), ("contact_name", 64)]
)
async def test_texts_have_a_longest(api: Api, member: str, longest: int) -> None:
    holder = await api.register()
    text = "観" * longest
    assert (await edit(api, holder, {member: text})).json()[member] == text
    assert problems_of(await edit(api, holder, {member: text + "x"})) == [(f"/{member}", "string_too_long")]
    assert problems_of(await edit(api, holder, {member: "x" * 10_000})) == [(f"/{member}", "string_too_long")]


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ("company_name", ""),
        ("company_name", "x"),
        ("company_name", " x "),
        ("company_name", "   "),
        ("contact_name", ""),
        ("company_description", "\n"),
    ],
)
async def test_texts_have_a_shortest_after_trimming(api: Api, member: str, text: str) -> None:
    holder = await api.register()
    assert problems_of(await edit(api, holder, {member: text})) == [(f"/{member}", "string_too_short")]


async def test_company_name_of_two_characters_is_enough(api: Api) -> None:
    edited = await edit(api, await api.register(), {"company_name": "观测"})
    assert edited.json()["company_name"] == "观测"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("  Acme Ltd.\t", "Acme Ltd."),
        ("Cafe\u0301", "Café"),
        ("\u3000观测云\u3000", "观测云"),
        ("Emoji 🐎 Ltd.", "Emoji 🐎 Ltd."),
        ("家族 👨‍👩‍👧", "家族 👨‍👩‍👧"),
        ("שלום עולם", "שלום עולם"),
        ("Robert'); DROP TABLE accounts;--", "Robert'); DROP TABLE accounts;--"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("𠮷野家", "𠮷野家"),
    ],
)
async def test_text_is_trimmed_and_composed_and_otherwise_kept(api: Api, sent: str, kept: str) -> None:
    holder = await api.register()
    await edit(api, holder, {"company_name": sent})
    shown = (await read(api, holder)).json()["company_name"]
    assert shown == kept
    assert unicodedata.is_normalized("NFC", shown)


async def test_text_that_composing_makes_longer_is_measured_as_it_is_kept(api: Api) -> None:
    """U+1D15E becomes two characters in NFC (it is excluded from composition)."""
    refused = await edit(api, await api.register(), {"company_name": "\U0001d15e" * 128})
    assert problems_of(refused) == [("/company_name", "string_too_long")]


@pytest.mark.parametrize("member", ["company_name", "company_description", "contact_name"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\x00b", id="NUL"),
        pytest.param("a\x1bb", id="escape"),
        pytest.param("a\x7fb", id="delete"),
        pytest.param("a\x85b", id="C1 control"),
        pytest.param("a\ud800b", id="lone surrogate"),
        pytest.param("a\u202eb", id="right-to-left override"),
        pytest.param("a\u2066b", id="isolate"),
        pytest.param("a\u200fb", id="right-to-left mark"),
        pytest.param("a\ue000b", id="private use"),
        pytest.param("a\uffffb", id="noncharacter"),
    ],
)
async def test_characters_that_break_or_deceive_are_refused(api: Api, member: str, text: str) -> None:
    holder = await api.register()
    [(pointer, code)] = problems_of(await edit(api, holder, {member: text}))
    assert pointer == f"/{member}"
    assert code in {"forbidden_character", "string_unicode"}


async def test_only_the_description_has_lines(api: Api) -> None:
    holder = await api.register()
    assert (await edit(api, holder, {"company_description": "one\n\ttwo"})).status_code == 200
    assert problems_of(await edit(api, holder, {"company_name": "one\ntwo"})) == [
        ("/company_name", "forbidden_character")
    ]


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("industry", "Z", "string_pattern_mismatch"),
        ("industry", "i", "string_pattern_mismatch"),
        ("region", "ZZ", "unknown_region"),
        ("region", "CN-XX", "unknown_region"),
        ("region", "cn", "string_pattern_mismatch"),
        ("region", "CN\n", "string_pattern_mismatch"),
        ("time_zone", "Asia/Atlantis", "unknown_time_zone"),
        ("time_zone", "../../etc/passwd", "unknown_time_zone"),
        ("locale", "fr", "literal_error"),
        ("company_name", 12, "string_type"),
        ("company_name", ["Acme"], "string_type"),
        ("contact_name", {"name": "Li"}, "string_type"),
        ("company_name", True, "string_type"),
    ],
)
async def test_values_that_name_nothing_are_refused(api: Api, member: str, value: object, code: str) -> None:
    holder = await api.register()
    assert problems_of(await edit(api, holder, {member: value})) == [(f"/{member}", code)]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("industry", "T"),
        ("region", "DE"),
        ("region", "CN-ZJ"),
        ("region", "GB-LND"),
        ("region", "HK"),
        ("time_zone", "Europe/Berlin"),
        ("locale", "zh-CN"),
    ],
)
async def test_codes_of_the_lists_are_taken(api: Api, member: str, value: str) -> None:
    edited = await edit(api, await api.register(), {member: value})
    assert (edited.status_code, edited.json()[member]) == (200, value)


async def test_every_wrong_member_is_told_at_once(api: Api) -> None:
    refused = await edit(api, await api.register(), {"company_name": "x", "region": "ZZ", "wrong": 1})
    assert sorted(problems_of(refused)) == [
        ("/company_name", "string_too_short"),
        ("/region", "unknown_region"),
        ("/wrong", "extra_forbidden"),
    ]


# What is kept of it.


async def test_edit_is_in_the_activity_with_old_and_new_and_without_a_persons_name(api: Api) -> None:
    holder = await api.register(contact_name="Li Lei")
    await edit(api, holder, {"company_name": "Acme", "contact_name": "Han Meimei", "industry": "I"})
    [entry, *_] = (await api.client.get("/v1/account/activity", headers=holder.auth)).json()["items"]
    assert (entry["action"], entry["actor"], entry["session_id"]) == ("profile.edited", "holder", holder.session_id)
    assert json.loads(entry["old_value"]) == {
        "company_name": "Northwind Trading",
        "contact_name": "L***",
        "industry": None,
    }
    assert json.loads(entry["new_value"]) == {"company_name": "Acme", "contact_name": "H***", "industry": "I"}


async def test_edit_of_everything_at_its_longest_fits_the_activity(api: Api) -> None:
    holder = await api.register()
    everything = {
        "company_name": '"' * 128,
        "company_description": "\\" * 1000,
        "contact_name": "🐎" * 64,
        "time_zone": "America/Argentina/ComodRivadavia",
        "region": "CN-ZJ",
        "industry": "I",
        "locale": "zh-CN",
    }
    assert (await edit(api, holder, everything)).status_code == 200
    [entry, *_] = (await api.client.get("/v1/account/activity", headers=holder.auth)).json()["items"]
    assert json.loads(entry["new_value"])["company_name"] == '"' * 64


async def test_edits_of_one_account_do_not_touch_another(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    before = (await read(api, other)).json()
    await edit(api, holder, {"company_name": "Acme"})
    assert (await read(api, other)).json() == before


async def test_unconfirmed_edits_of_two_sessions_are_kept_apart_by_the_version(api: Api) -> None:
    holder = await api.register()
    other = await api.log_in(holder)
    etag = (await read(api, holder)).headers["ETag"]
    assert (await edit(api, other, {"company_name": "Acme"}, etag)).status_code == 200
    assert (await edit(api, holder, {"contact_name": "Li Lei"}, etag)).status_code == 412
