"""What holders are told of credential changes, and what the activity trail keeps of them."""

from collections.abc import Mapping

import pytest

from app.notifiers.base import Message
from tests.support.api import Api, Holder, cancel, undo

PHONE, NEW_PHONE, NEW_EMAIL = "+8613800138000", "+8613900139000", "fresh@example.org"
MASKED = {"email": ("h***@example.com", "f***@example.org"), "phone": ("+86*******8000", "+86*******9000")}
BOTH = pytest.mark.parametrize(("credential", "value"), [("email", NEW_EMAIL), ("phone", NEW_PHONE)])
LOCALES = pytest.mark.parametrize("locale", ["zh-CN", "en"])


def old_of(holder: Holder, credential: str) -> str:
    return holder.email if credential == "email" else PHONE


async def changed(api: Api, holder: Holder, credential: str, value: str) -> None:
    change = await api.reach_confirm(holder, value, credential=credential, proves=old_of(holder, credential))
    done = await api.step(holder, change, "confirm", {"code": await api.code(value)})
    assert done.json()["state"] == "completed"


async def told(api: Api, to: str) -> Message:
    """The newest message to the contact."""
    return (await api.messages(to))[-1]


async def trail(api: Api, holder: Holder) -> list[dict[str, str | None]]:
    """Newest first."""
    answer = await api.client.get("/v1/account/activity?limit=100", headers=holder.auth)
    items: list[dict[str, str | None]] = answer.json()["items"]
    return items


@BOTH
async def test_both_contacts_are_told_and_only_the_old_one_may_undo(api: Api, credential: str, value: str) -> None:
    holder = await api.register(phone=PHONE)
    await changed(api, holder, credential, value)
    to_old, to_new = await told(api, old_of(holder, credential)), await told(api, value)
    masked = dict(zip(("old", "new"), MASKED[credential], strict=True))
    assert (to_old.template, to_new.template) == ("credential_changed_old", "credential_changed_new")
    assert to_new.params == {"credential": credential, **masked}
    token = to_old.params["token"]
    link = f"{str(api.settings.spa_url).rstrip('/')}/credential-change-reversals#token={token}"
    assert to_old.params == {"credential": credential, **masked, "hours": "72", "token": token, "link": link}


async def test_phone_that_was_added_is_told_to_the_email(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, PHONE, credential="phone", proves=holder.email)
    await api.step(holder, change, "confirm", {"code": await api.code(PHONE)})
    to_email, to_phone = await told(api, holder.email), await told(api, PHONE)
    named = {"credential": "phone", "old": "—", "new": MASKED["phone"][0]}
    assert to_email.template == "credential_changed_old"
    assert "token" in to_email.params
    assert named.items() <= to_email.params.items()
    assert (to_phone.template, to_phone.params) == ("credential_changed_new", named)


@LOCALES
async def test_all_messages_of_a_change_are_in_the_locale_of_the_account(api: Api, locale: str) -> None:
    holder = await api.register(locale=locale)
    await api.change_email(holder, NEW_EMAIL)
    await undo(api, await api.token(holder.email))
    about = [message for message in await api.deliver() if "change" in message.template]
    assert [message.template for message in about] == [
        "change_current_code",
        "change_new_code",
        "credential_changed_old",
        "credential_changed_new",
        "credential_change_undone",
        "credential_change_undone",
    ]
    assert {message.locale for message in about} == {locale}


async def waiting(api: Api, holder: Holder) -> str:
    """A change of a lost email that waits."""
    change = str((await api.start(holder, "email", "other")).json()["id"])
    await api.step(holder, change, "verify-current", {"code": await api.code(PHONE)})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    return change


@LOCALES
async def test_notices_of_a_lost_contact_are_in_the_locale_of_the_account(api: Api, locale: str) -> None:
    holder = await api.register(phone=PHONE, locale=locale)
    change = await waiting(api, holder)
    await cancel(api, holder, change)
    about = await api.messages(holder.email)
    notices = [(one.template, one.locale) for one in about if one.template.startswith("credential_change_")]
    assert notices == [("credential_change_waiting", locale), ("credential_change_cancelled", locale)]
    proof = await api.messages(PHONE, "change_other_code")
    assert [message.locale for message in proof] == [locale]


@BOTH
async def test_messages_with_a_code_name_the_credential_and_the_contact(api: Api, credential: str, value: str) -> None:
    holder = await api.register(phone=PHONE)
    await changed(api, holder, credential, value)
    sent: dict[str, Mapping[str, str]] = {one.template: one.params for one in await api.deliver()}
    # The registration proved a phone as well: the newest message of each template is that of this change.
    expected = zip(("change_current_code", "change_new_code"), MASKED[credential], strict=True)
    for template, target in expected:
        params = dict(sent[template])
        assert params.pop("code").isdigit()
        assert params == {"credential": credential, "target": target, "minutes": "10"}


@BOTH
async def test_trail_keeps_each_step_with_masked_values(api: Api, credential: str, value: str) -> None:
    holder = await api.register(phone=PHONE)
    await changed(api, holder, credential, value)
    old, new = MASKED[credential]
    entries = (await trail(api, holder))[:3]
    assert [(one["action"], one["old_value"], one["new_value"]) for one in entries] == [
        (f"{credential}.changed", old, new),
        ("credential_change.proven", old, None),
        ("credential_change.started", old, None),
    ]
    assert {(one["actor"], one["session_id"], one["ip"]) for one in entries} == {
        ("holder", holder.session_id, "127.0.0.1")
    }


async def test_trail_keeps_a_cancelled_change(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await cancel(api, holder, change)
    newest = (await trail(api, holder))[0]
    assert newest["action"] == "credential_change.cancelled"
    assert (newest["old_value"], newest["new_value"]) == MASKED["email"]


async def test_cancelled_change_that_did_not_wait_is_told_to_nobody(api: Api) -> None:
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await cancel(api, holder, change)
    assert not [one for one in await api.deliver() if one.template.startswith("credential_change")]


async def test_trail_names_the_session_that_cancelled(api: Api) -> None:
    holder = await api.register()
    other = await api.log_in(holder)
    change = await api.reach_confirm(holder, NEW_EMAIL, proves=holder.email)
    await cancel(api, other, change)
    assert (await trail(api, holder))[0]["session_id"] == other.session_id


async def test_trail_names_no_session_when_the_old_contact_cancelled(api: Api) -> None:
    holder = await api.register(phone=PHONE)
    other = await api.log_in(holder)
    await waiting(api, holder)
    await undo(api, await api.token(holder.email))
    newest = (await trail(api, other))[0]
    assert (newest["action"], newest["session_id"]) == ("credential_change.cancelled", None)
    assert newest["ip"] == "127.0.0.1"


async def test_trail_keeps_who_undid_a_change_with_what_came_back(api: Api) -> None:
    holder = await api.register()
    await api.change_email(holder, NEW_EMAIL)
    await undo(api, await api.token(holder.email))
    asked = await api.client.post("/v1/login-codes", json={"identifier": holder.email})
    entry = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}
    session = (await api.client.post("/v1/sessions", json=entry)).json()
    answer = await api.client.get(
        "/v1/account/activity", headers={"Authorization": f"Bearer {session['access_token']}"}
    )
    undone = next(one for one in answer.json()["items"] if one["action"] == "credential_change.undone")
    assert (undone["old_value"], undone["new_value"]) == (MASKED["email"][1], MASKED["email"][0])
    assert (undone["session_id"], undone["ip"]) == (None, "127.0.0.1")
