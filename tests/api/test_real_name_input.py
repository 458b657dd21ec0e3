"""What cannot be a document is refused before anybody is asked about it, each with its own answer."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from app.core.clock import now
from app.models.real_name import DocumentUse, ProviderCall, Submission
from app.models.verification import Budget
from tests.support.api import Api, frozen, refusal
from tests.support.real_names import (
    CREDIT_CODE,
    ID_NUMBER,
    OTHER_CREDIT_CODE,
    OTHER_ID_NUMBER,
    ask,
    decided,
    enterprise,
    individual,
    status,
    submit,
    submitted,
    withdraw,
)
from tests.support.services import client

Json = dict[str, Any]
LONG = "观" * 10_000
CREDIT_CODES = [
    ("91350100M000100Y44", "credit_code_check_digit"),
    ("91110000600037341N", "credit_code_check_digit"),
    ("9111000060003IOZSV", "credit_code_letters"),
    ("91350100M000100Y4I", "credit_code_letters"),
    ("91350100M000100Y4O", "credit_code_letters"),
    ("91350100M000100Y4S", "credit_code_letters"),
    ("91350100M000100Y4V", "credit_code_letters"),
    ("91350100M000100Y4z", "credit_code_letters"),
    ("350100600037341", "invalid_credit_code"),  # the tax number of before 2015
    ("91350100M000100Y4", "invalid_credit_code"),
    ("91350100M000100Y433", "invalid_credit_code"),
    ("91AB0100M000100Y43", "invalid_credit_code"),
    ("91350100M000100Y4é", "invalid_credit_code"),
    ("913501\x0000M000100Y43", "forbidden_character"),
    ("913501\u202e00M000100Y43", "forbidden_character"),
    ("9", "string_too_short"),
    ("   ", "string_too_short"),
    ("9" * 10_000, "string_too_long"),
]
ID_NUMBERS = [
    ("110105194912310021", "id_number_check_digit"),
    ("36042619910102009X", "id_number_check_digit"),
    ("360426199113010079", "id_number_birth_date"),  # in month 13
    ("110105202302290024", "id_number_birth_date"),  # on 29 February of no leap year
    ("110105180012310027", "id_number_birth_date"),  # in 1800
    ("110101209901010017", "id_number_birth_date"),  # in 2099
    ("110105491231002", "id_number_too_short"),
    ("１１０１０５４９１２３１００２", "id_number_too_short"),
    ("00010519491231002X", "invalid_id_number"),
    ("11010519491231002A", "invalid_id_number"),
    ("1101051949123100２Ⅹ?", "invalid_id_number"),
    ("١١٠١٠٥١٩٤٩١٢٣١٠٠٢X", "invalid_id_number"),  # Arabic digits
    ("11010519491231002\x07", "forbidden_character"),
    ("1" * 10_000, "string_too_long"),
]
NAMES = [
    ("   ", "string_too_short"),
    ("\u3000\u3000\u3000", "string_too_short"),
    ("", "string_too_short"),
    ("观", "string_too_short"),
    ("Acme 🏢", "forbidden_character"),
    ("👨\u200d👩\u200d👧", "forbidden_character"),
    ("Acme \u0007", "forbidden_character"),
    ("Acme\x00Ltd", "forbidden_character"),
    ("Acme\nLtd", "forbidden_character"),
    ("\u200b\u200b\u200b", "forbidden_character"),
    ("\u2060\u3000\ufeff", "forbidden_character"),
    ("Ac\u200bme", "forbidden_character"),
    ("Ac\u00adme", "forbidden_character"),
    ("Acme\ufeff", "forbidden_character"),
    ("Acme \u202eemcA", "forbidden_character"),
    ("Acme \ue000", "forbidden_character"),
    (LONG, "string_too_long"),
]
PHONES = [
    ("+85291234567", "phone_country_not_served"),
    ("+12025550123", "phone_country_not_served"),
    ("+861062345678", "phone_not_mobile"),
    ("010-62345678", "phone_not_mobile"),
    ("13800138", "invalid_phone"),
    ("12345678901", "invalid_phone"),
    ("call me", "invalid_phone"),
    ("1380013\x008000", "forbidden_character"),
    ("1" * 10_000, "string_too_long"),
]


def represented(**members: Any) -> Json:
    return enterprise(legal_representative={"name": "李雷", **members})


REFUSED: list[tuple[str, Json, str, str]] = [
    *(("a credit code", enterprise(number=text), "/registration_number", code) for text, code in CREDIT_CODES),
    *(("an id number", individual(number=text), "/id_number", code) for text, code in ID_NUMBERS),
    *(("an enterprise's name", enterprise(text), "/name", code) for text, code in NAMES),
    *(("a person's name", individual(text), "/name", code) for text, code in NAMES),
    *(("a phone", individual(phone=text), "/phone", code) for text, code in PHONES),
    *(
        ("a representative's number", represented(id_number=text), "/legal_representative/id_number", code)
        for text, code in ID_NUMBERS[::3]
    ),
    *(
        ("a representative's name", represented(name=text), "/legal_representative/name", code)
        for text, code in [*NAMES[:5], NAMES[-1]]
    ),
    ("no number", {"type": "individual", "name": "张三"}, "/id_number", "missing"),
    ("no name", {"type": "enterprise", "registration_number": CREDIT_CODE}, "/name", "missing"),
    ("null for a name", enterprise() | {"name": None}, "/name", "string_type"),
    ("a number for a number", individual(number=ID_NUMBER) | {"id_number": 11}, "/id_number", "string_type"),
    ("a member of the other type", enterprise(id_number=ID_NUMBER), "/id_number", "extra_forbidden"),
    ("a phone of an enterprise", enterprise(phone="13800138000"), "/phone", "extra_forbidden"),
    ("a country of a person", individual(country="SG"), "/country", "extra_forbidden"),
    ("a status of one's own", enterprise(status="verified"), "/status", "extra_forbidden"),
    ("an unknown member inside", represented(age=7), "/legal_representative/age", "extra_forbidden"),
    ("a country in lower case", enterprise(country="cn"), "/country", "string_pattern_mismatch"),
    ("a country that is none", enterprise(number="201912345K", country="ZZ"), "/country", "unknown_region"),
    ("a number of blanks abroad", enterprise(number="  ", country="SG"), "/registration_number", "string_too_short"),
]


async def traces(api: Api) -> list[int]:
    """Rows that a submission leaves: itself, calls to a provider, a use of its document, uses of budgets."""
    async with api.container.engine.connect() as connection:
        return [
            await connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (Submission, ProviderCall, DocumentUse, Budget)
        ]


def problems(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(one["pointer"], one["code"]) for one in answer.json()["errors"]]


# --- Refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [one[1:] for one in REFUSED],
    ids=[f"{number} {one[0]} {one[3]}" for number, one in enumerate(REFUSED)],
)
async def test_what_cannot_be_right_is_refused_by_its_member_and_nobody_is_asked(
    pg_api: Api, body: Json, pointer: str, code: str
) -> None:
    holder = await pg_api.register()
    before = await traces(pg_api)

    answer = await submit(pg_api, holder, body)

    assert problems(answer) == [(pointer, code)]
    assert await ask(pg_api) == 0
    assert await traces(pg_api) == before
    assert (await status(pg_api, holder))["status"] == "none"


@pytest.mark.parametrize("body", [{}, {"type": "company"}, {"type": None}, [], "91350100M000100Y43", 7, None])
async def test_what_is_neither_an_enterprise_nor_a_person_is_refused(api: Api, body: Any) -> None:
    answer = await submit(api, await api.register(), body)
    assert refusal(answer) == (422, "validation_failed")


async def test_a_refusal_does_not_repeat_the_number(api: Api) -> None:
    answer = await submit(api, await api.register(), individual("张三", "110105194912310021"))
    assert "19491231" not in answer.text
    assert "张三" not in answer.text


async def test_who_is_born_tomorrow_in_china_has_no_number_yet(api: Api) -> None:
    holder = await api.register()
    with frozen() as clock:
        clock.move_to(now().replace(year=2027, month=3, day=4, hour=15, minute=59))  # 23:59 in China
        holder = await api.log_in(holder)
        born = individual(number="110105202703050011")
        assert problems(await submit(api, holder, born)) == [("/id_number", "id_number_birth_date")]
        clock.shift(60)
        assert (await submit(api, holder, born)).status_code == 201


# --- Read ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (individual(number="11010519491231002x"), ID_NUMBER),
        (individual(number="１１０１０５１９４９１２３１００２Ｘ"), ID_NUMBER),
        (individual(number=" 110105 19491231 002X "), ID_NUMBER),
        (individual(number="110105\u200b19491231\u2060002X\ufeff"), ID_NUMBER),
        (individual(number="810000199003070015"), "810000199003070015"),
        (individual(number="830000199003070019"), "830000199003070019"),
        (individual(number="53010219200508011X"), "53010219200508011X"),
        (enterprise(number="91350100m000100y43"), CREDIT_CODE),
        (enterprise(number="９１３５０１００Ｍ０００１００Ｙ４３"), CREDIT_CODE),
        (enterprise(number="91350100 M000100Y 43\u3000"), CREDIT_CODE),
        (enterprise(number="N2440300MA5F00018G"), "N2440300MA5F00018G"),
        (enterprise(number="91110000600037342P"), "91110000600037342P"),  # only the check inside does not hold
    ],
)
async def test_a_number_is_read_however_it_was_typed(api: Api, body: Json, number: str) -> None:
    await submitted(api, await api.register(), body)
    (found,) = (await (await client(api)).get("/real-name/submissions")).json()["items"]
    assert found["number"] == number


@pytest.mark.parametrize("phone", ["13800138000", "+86 138 0013 8000", "１３８００１３８０００"])
async def test_a_mainland_mobile_is_read_however_it_was_typed(api: Api, phone: str) -> None:
    await submitted(api, await api.register(), individual(phone=phone))
    (found,) = (await (await client(api)).get("/real-name/submissions")).json()["items"]
    assert found["phone"] == "+8613800138000"


@pytest.mark.parametrize("name", ["阿卜杜拉·买买提", "O'Brien & Söhne", "北京（中国）有限公司", "Nu" + "n" * 126])
async def test_a_name_of_this_world_is_taken_as_it_is(api: Api, name: str) -> None:
    await submitted(api, await api.register(), enterprise(f"  {name} "))
    (found,) = (await (await client(api)).get("/real-name/submissions")).json()["items"]
    assert found["name"] == name


# --- One at a time ---------------------------------------------------------------------------------------------------


@pytest.mark.settings(real_name_accounts_per_enterprise=1)
@pytest.mark.parametrize("body", [enterprise(), enterprise(number=OTHER_CREDIT_CODE), individual()])
async def test_while_one_is_pending_another_is_refused_even_of_a_document_that_is_used_up(api: Api, body: Json) -> None:
    holder = await api.register()
    await submitted(api, holder, enterprise())
    before = await traces(api)
    assert refusal(await submit(api, holder, body)) == (409, "submission_pending")
    assert await traces(api) == before


async def test_of_two_at_once_one_is_taken_and_the_other_leaves_nothing(api: Api) -> None:
    holder = await api.register()
    bodies = (individual(), individual(number=OTHER_ID_NUMBER))

    answers = await asyncio.gather(*(submit(api, holder, body) for body in bodies))

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert [refusal(answer) for answer in answers if answer.status_code == 409] == [(409, "submission_pending")]
    assert (await traces(api))[0] == 1
    async with api.container.engine.connect() as connection:
        assert await connection.scalar(select(func.sum(DocumentUse.used))) == 1


# --- Idempotency-Key ------------------------------------------------------------------------------------------------


async def test_the_same_submission_again_under_one_key_is_one_submission(api: Api) -> None:
    holder = await api.register()
    first = await submit(api, holder, individual(), **{"Idempotency-Key": "once"})
    again = await submit(api, holder, individual(), **{"Idempotency-Key": "once"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await traces(api))[0] == 1


async def test_the_key_with_another_document_is_refused(api: Api) -> None:
    holder = await api.register()
    await submit(api, holder, individual(), **{"Idempotency-Key": "once"})
    other = await submit(api, holder, individual(number=OTHER_ID_NUMBER), **{"Idempotency-Key": "once"})
    assert refusal(other) == (422, "idempotency_key_reused")


# --- One document, several accounts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "cap"), [(enterprise(), 6), (individual(), 3)])
async def test_a_document_stands_for_so_many_accounts_and_no_more(api: Api, body: Json, cap: int) -> None:
    for _ in range(cap):
        await decided(api, await api.register(), body)
    holder = await api.register()
    before = await traces(api)
    assert refusal(await submit(api, holder, body)) == (409, "document_used_up")
    assert (await traces(api), (await status(api, holder))["status"]) == (before, "none")


@pytest.mark.settings(real_name_accounts_per_enterprise=1, real_name_accounts_per_individual=1)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (individual(), individual(number=OTHER_ID_NUMBER)),
        (enterprise(), enterprise(number=OTHER_CREDIT_CODE)),
        (enterprise(number="AB-1", country="SG"), enterprise(number="AB-1", country="HK")),
    ],
)
async def test_how_many_is_a_setting_and_each_document_has_its_own_count(api: Api, first: Json, second: Json) -> None:
    await submitted(api, await api.register(), first)
    assert refusal(await submit(api, await api.register(), first)) == (409, "document_used_up")
    assert (await submit(api, await api.register(), second)).status_code == 201


@pytest.mark.settings(real_name_accounts_per_individual=1)
async def test_a_document_that_never_came_to_anything_is_free_again(api: Api) -> None:
    await decided(api, await api.register(), individual("张三 (mismatched)"))
    holder = await api.register()
    await withdraw(api, holder, await submitted(api, holder, individual()))
    await submitted(api, await api.register(), individual())


@pytest.mark.settings(real_name_accounts_per_enterprise=1)
@pytest.mark.parametrize("name", ["Acme Ltd.", "Acme Group Ltd.", "Acme (mismatched)"])
async def test_an_account_counts_once_however_often_it_submits_its_document(api: Api, name: str) -> None:
    holder, other = await api.register(), await api.register()
    await decided(api, holder, enterprise())
    await decided(api, holder, enterprise(name))
    await decided(api, holder, enterprise("Acme Third Ltd."))
    assert refusal(await submit(api, other, enterprise())) == (409, "document_used_up")

    await decided(api, holder, enterprise(number=OTHER_CREDIT_CODE))

    assert (await submit(api, other, enterprise())).status_code == 201


@pytest.mark.settings(real_name_accounts_per_enterprise=1)
@pytest.mark.parametrize(
    "typed", ["ab-201912345k", "AB-2019 12345K", "ＡＢ-２０１９１２３４５Ｋ", "AB-201912345\u200bK"]
)
async def test_a_number_from_abroad_counts_as_one_however_it_was_typed(api: Api, typed: str) -> None:
    await submitted(api, await api.register(), enterprise(number="AB-201912345K", country="SG"))
    again = await submit(api, await api.register(), enterprise(number=typed, country="SG"))
    assert refusal(again) == (409, "document_used_up")
