"""What AWS Marketplace's events and messages mean, among them the four that one real purchase brought."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateways.marketplaces.aws_events import kept_event, kept_message, of_event, of_message
from app.gateways.marketplaces.aws_names import licence_of, storable
from app.gateways.marketplaces.base import Notice
from app.gateways.marketplaces.sns import Envelope
from app.models.cloud_accounts import Effect

AT = datetime(2026, 8, 20, 15, tzinfo=UTC)
BUYER, SELLER = "782858285006", "993604559884"
AGREEMENT = "agmt-2nehijlqfz9g7f2v6imgyjhmu"
LICENCE = "l-9d01d15f86334a8894365cd7350556ff"
ARN = f"arn:aws:license-manager::294406891311:license:{LICENCE}"
PRODUCT = "74az0btybm649octamy0sktos"
PRODUCTS = frozenset({PRODUCT, "n0123EXAMPLE"})
TOPIC = "arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-n0123EXAMPLE"


def event(name: str, time: str, type_: str, agreement: dict[str, Any], **detail: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "id": name,
        "detail-type": type_,
        "source": "aws.agreement-marketplace",
        "account": SELLER,
        "time": time,
        "region": "us-east-1",
        "resources": [f"arn:aws:aws-marketplace::aws:agreement:{AGREEMENT}"],
        "detail": {
            "requestId": "40d82a8d-d914-56b8-a8b3-1caf788fc30f",
            "catalog": "AWSMarketplace",
            "agreement": {"id": AGREEMENT, **agreement},
            "acceptor": {"accountId": BUYER},
            "proposer": {"accountId": SELLER},
            "offer": {"id": "offer-uovnpk2f6jq7s"},
            **detail,
        },
    }


LICENSED = {"license": {"arn": ARN}, "product": {"id": "prod-k35yywhyj4eqg", "code": PRODUCT}}
CREATED = event(
    "84a4f48b-44a8-0b77-c2a7-6448b8e6de3d",
    "2026-08-20T14:23:22Z",
    "Purchase Agreement Created - Proposer",
    {
        "intent": "NEW",
        "status": "ACTIVE",
        "endTime": "9999-01-01T00:00:00Z",
        "startTime": "2026-08-20T14:23:11.013Z",
        "acceptanceTime": "2026-08-20T14:23:11.013Z",
    },
    resaleAuthorization={"id": None},
)
UPDATED = event(
    "6c53798d-327e-b2e5-c20e-52fec89bc174", "2026-08-20T14:24:23Z", "License Updated - Manufacturer", {}, **LICENSED
)
ENDED = event(
    "24befb37-189e-d64f-d474-4c1d6787fc8c",
    "2026-08-20T14:24:57Z",
    "Purchase Agreement Ended - Proposer",
    {"status": "CANCELLED"},
    resaleAuthorization={"id": None},
)
DEPROVISIONED = event(
    "7d02ce32-e523-b155-8b1a-b49abce1a7ff",
    "2026-08-20T14:25:28Z",
    "License Deprovisioned - Manufacturer",
    {},
    **LICENSED,
)


def told(said: dict[str, Any], **changed: Any) -> Notice:
    body = kept_event(said)
    return of_event("events", body, AT, **{"products": PRODUCTS, **changed})


def message(text: object, **changed: Any) -> Notice:
    given = {
        "type": "Notification",
        "message_id": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "topic": TOPIC,
        "timestamp": "2026-08-20T14:00:00.000Z",
        "message": text if isinstance(text, str) else json.dumps(text),
    }
    return of_message("sns", kept_message(Envelope(**{**given, **changed})), AT, PRODUCTS)


# A purchase as it really went


def test_an_agreement_is_known_by_its_id_alone() -> None:
    assert told(CREATED) == Notice(
        channel="events",
        type="Purchase Agreement Created",
        effect=Effect.REGISTERED,
        dedup="event:84a4f48b-44a8-0b77-c2a7-6448b8e6de3d",
        at=datetime(2026, 8, 20, 14, 23, 22, tzinfo=UTC),
        body=kept_event(CREATED),
        keys=(f"agreement:{AGREEMENT}",),
        strand=AGREEMENT,
        account_number=BUYER,
    )


def test_a_licence_opens_a_subscription() -> None:
    assert told(UPDATED) == Notice(
        channel="events",
        type="License Updated",
        effect=Effect.ACTIVATED,
        dedup="event:6c53798d-327e-b2e5-c20e-52fec89bc174",
        at=datetime(2026, 8, 20, 14, 24, 23, tzinfo=UTC),
        body=kept_event(UPDATED),
        keys=(f"license:{LICENCE}", f"agreement:{AGREEMENT}"),
        hints=(f"buyer:{BUYER}/{PRODUCT}",),
        strand=AGREEMENT,
        account_number=BUYER,
        instance_id=ARN,
        product=PRODUCT,
        opens=True,
    )


def test_the_end_of_an_agreement_is_announced() -> None:
    notice = told(ENDED)
    assert (notice.type, notice.effect) == ("Purchase Agreement Ended", Effect.ENDING)
    assert (notice.keys, notice.hints, notice.strand) == ((f"agreement:{AGREEMENT}",), (), AGREEMENT)
    assert notice.opens is False


def test_without_its_licence_a_subscription_is_closed() -> None:
    notice = told(DEPROVISIONED)
    assert (notice.type, notice.effect, notice.opens) == ("License Deprovisioned", Effect.CLOSED, False)
    assert notice.keys == (f"license:{LICENCE}", f"agreement:{AGREEMENT}")


@pytest.mark.parametrize("said", [CREATED, UPDATED, ENDED, DEPROVISIONED])
def test_what_is_kept_can_be_read_again(said: dict[str, Any]) -> None:
    notice = told(said)
    kept = json.loads(json.dumps(notice.body, sort_keys=True))
    assert of_event("events", kept, AT, PRODUCTS) == notice
    assert kept_event(kept) == kept


# Every type


@pytest.mark.parametrize("role", ["", " - Proposer", " - Manufacturer"])
@pytest.mark.parametrize(
    ("type_", "agreement", "effect"),
    [
        ("Purchase Agreement Created", {"intent": "NEW"}, Effect.REGISTERED),
        ("Purchase Agreement Amended", {"intent": "AMEND"}, Effect.CHANGED),
        ("Purchase Agreement Ended", {"status": "CANCELLED"}, Effect.ENDING),
        ("Purchase Agreement Ended", {"status": "EXPIRED"}, Effect.ENDING),
        ("Purchase Agreement Ended", {"status": "TERMINATED"}, Effect.ENDING),
        ("Purchase Agreement Ended", {"status": "RENEWED"}, Effect.SUPERSEDED),
        ("Purchase Agreement Ended", {"status": "REPLACED"}, Effect.SUPERSEDED),
        ("Purchase Agreement Ended", {"status": "ROLLED_BACK"}, Effect.UNKNOWN),
        ("Purchase Agreement Ended", {"status": ["CANCELLED"]}, Effect.UNKNOWN),
        ("Purchase Agreement Ended", {}, Effect.UNKNOWN),
        ("Purchase Agreement Advisory Issued", {}, Effect.NONE),
        ("Purchase Agreement Advisory Resolved", {}, Effect.NONE),
        ("Purchase Agreement Ending", {"daysBeforeEndTime": 180}, Effect.NONE),
        ("Purchase Agreement Renewal Terms Finalized", {}, Effect.NONE),
        ("Purchase Agreement Renewal Upcoming", {}, Effect.NONE),
        ("Purchase Agreement Billing Adjustment Completed", {}, Effect.NONE),
        ("Purchase Agreement Billing Adjustment Failed", {}, Effect.NONE),
        ("Agreement Cancellation Request Pending Approval", {}, Effect.NONE),
        ("Agreement Cancellation Request Approved", {}, Effect.NONE),
        ("Agreement Cancellation Request Rejected", {}, Effect.NONE),
        ("Agreement Cancellation Request Cancelled", {}, Effect.NONE),
        ("Agreement Cancellation Request Validation Failed", {}, Effect.NONE),
        ("Offer Released", {}, Effect.UNKNOWN),
        ("x" * 400, {}, Effect.UNKNOWN),
    ],
)
def test_each_type_has_its_effect(type_: str, role: str, agreement: dict[str, Any], effect: Effect) -> None:
    notice = told(event("1", "2026-08-20T14:00:00Z", type_ + role, agreement))
    assert (notice.type, notice.effect, notice.opens) == (type_[:128], effect, False)


@pytest.mark.parametrize("source", ["aws.marketplacecatalog", "mine", "", None, 1])
def test_events_of_another_source_are_not_understood(source: object) -> None:
    notice = told({**UPDATED, "source": source})
    assert (notice.effect, notice.keys, notice.opens) == (Effect.UNKNOWN, (), False)


@pytest.mark.parametrize("intent", ["RENEW", "REPLACE"])
def test_a_renewal_is_known_by_the_agreement_before_it(intent: str) -> None:
    agreement = {"id": "agmt-new", "intent": intent, "previousAgreementId": AGREEMENT}
    notice = told(event("1", "2026-08-20T14:00:00Z", "Purchase Agreement Created - Proposer", agreement))
    assert notice.effect is Effect.REGISTERED
    assert (notice.keys, notice.strand) == (("agreement:agmt-new", f"agreement:{AGREEMENT}"), "agmt-new")


@pytest.mark.parametrize("intent", ["NEW", None, ["RENEW"], {}])
def test_a_new_agreement_continues_no_other(intent: object) -> None:
    agreement = {"id": "agmt-new", "intent": intent, "previousAgreementId": AGREEMENT}
    notice = told(event("1", "2026-08-20T14:00:00Z", "Purchase Agreement Created - Proposer", agreement))
    assert notice.keys == ("agreement:agmt-new",)


def test_another_sellers_product_has_no_effect_here() -> None:
    for said in (UPDATED, DEPROVISIONED):
        notice = told(said, products={"another"})
        assert (notice.effect, notice.opens, notice.product) == (Effect.NONE, False, PRODUCT)


def test_a_licence_for_nobody_knows_what_opens_nothing() -> None:
    without = event("1", "2026-08-20T14:00:00Z", "License Updated - Manufacturer", {}, license={"arn": ARN})
    notice = told(without)
    assert (notice.effect, notice.opens, notice.instance_id) == (Effect.ACTIVATED, False, None)
    assert notice.keys == (f"license:{LICENCE}", f"agreement:{AGREEMENT}")


def test_an_event_that_names_nothing_is_not_understood() -> None:
    notice = told({**ENDED, "detail": {"agreement": {"status": "CANCELLED"}}})
    assert (notice.effect, notice.keys) == (Effect.UNKNOWN, ())


@pytest.mark.parametrize(
    "arn",
    [
        ARN,
        f"arn:aws:license-manager:us-east-1:294406891311:license/{LICENCE}",
        f"aws:license-manager:us-east-1:294406891311:license:{LICENCE}",
        LICENCE,
    ],
)
def test_a_licence_is_the_same_however_its_arn_is_written(arn: str) -> None:
    assert licence_of(arn) == LICENCE


@pytest.mark.parametrize("arn", [None, "arn:of:another:shape", f"x{LICENCE}", LICENCE + "0"])
def test_an_arn_of_another_shape_stands_for_itself(arn: str | None) -> None:
    assert licence_of(arn) == arn


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        (ARN, ARN),
        (ARN.removeprefix("arn:"), ARN),
        (f"aws-cn:license-manager::1:license:{LICENCE}", f"arn:aws-cn:license-manager::1:license:{LICENCE}"),
        (LICENCE, LICENCE),
    ],
)
def test_metering_is_asked_with_the_whole_arn_though_an_event_omits_its_beginning(written: str, whole: str) -> None:
    detail = {**UPDATED["detail"], "license": {"arn": written}}
    notice = told({**UPDATED, "detail": detail})
    assert (notice.instance_id, notice.keys[0]) == (whole, f"license:{LICENCE}")


# When


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-08-20T14:23:22Z", datetime(2026, 8, 20, 14, 23, 22, tzinfo=UTC)),
        ("2026-08-20T22:23:22+08:00", datetime(2026, 8, 20, 14, 23, 22, tzinfo=UTC)),
        ("2026-08-20T15:05:00Z", AT + timedelta(minutes=5)),
        ("2026-08-20T15:05:01Z", AT),
        ("9999-01-01T00:00:00Z", AT),
        ("0001-01-01T00:00:00+23:59", AT),
        ("2026-08-20T14:23:22", AT),
        ("yesterday", AT),
        ("", AT),
        (None, AT),
        (1787236800, AT),
    ],
)
def test_an_event_was_when_it_says_if_that_can_be(time: object, expected: datetime) -> None:
    assert told({**CREATED, "time": time}).at == expected


# What is kept


def test_what_people_wrote_is_not_kept() -> None:
    request = {"id": "acr-1", "reasonMessage": "call Jane on +1 555 0100"}
    said = event(
        "1",
        "2026-08-20T14:00:00Z",
        "Agreement Cancellation Request Approved - Proposer",
        {},
        agreementCancellationRequest=request,
    )
    assert "Jane" not in json.dumps(told(said).body)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a\x00b\ud83dc", "a\ufffdb\ufffdc"),
        ("x" * 2000, "x" * 1024),
        (float("nan"), None),
        (float("inf"), None),
        (10**4000, None),
        (-(2**53), None),
        (2**53 - 1, 2**53 - 1),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ({"\x00": ["\x00"]}, {"\ufffd": ["\ufffd"]}),
        (list(range(100)), list(range(64))),
        ([[[[[[["deep"]]]]]]], [[[[[[[]]]]]]]),
    ],
)
def test_what_no_database_takes_is_not_kept(value: object, kept: object) -> None:
    assert storable(value) == kept
    assert storable(storable(value)) == kept


# SNS


@pytest.mark.parametrize(
    ("action", "effect"),
    [
        ("subscribe-success", Effect.ACTIVATED),
        ("subscribe-fail", Effect.FAILED),
        ("unsubscribe-pending", Effect.ENDING),
        ("unsubscribe-success", Effect.CLOSED),
        ("entitlement-updated", Effect.CHANGED),
        ("subscribe-pending", Effect.UNKNOWN),
    ],
)
def test_each_action_has_its_effect(action: str, effect: Effect) -> None:
    said = {"action": action, "customer-identifier": " X01EXAMPLEX", "product-code": "n0123EXAMPLE"}
    notice = message(said)
    known = effect is not Effect.UNKNOWN
    assert notice == Notice(
        channel="sns",
        type=action,
        effect=effect,
        dedup="sns:22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        at=datetime(2026, 8, 20, 14, tzinfo=UTC),
        body=notice.body,
        hints=("customer:X01EXAMPLEX/n0123EXAMPLE",) if known else (),
        product="n0123EXAMPLE" if known else None,
    )
    assert notice.body["Message"] == said
    assert of_message("sns", json.loads(json.dumps(notice.body)), AT, PRODUCTS) == notice


def test_the_older_spelling_is_read_too() -> None:
    notice = message({"action": "subscribe-success", "CustomerIdentifier": "X01", "ProductCode": " n0123EXAMPLE "})
    assert (notice.effect, notice.hints) == (Effect.ACTIVATED, ("customer:X01/n0123EXAMPLE",))


def test_a_message_about_another_product_has_no_effect() -> None:
    notice = message({"action": "subscribe-success", "customer-identifier": "X01", "product-code": "another"})
    assert notice.effect is Effect.NONE


@pytest.mark.parametrize("said", [{}, {"customer-identifier": "X01"}, {"product-code": "n0123EXAMPLE"}])
def test_a_message_that_names_nobody_is_not_understood(said: dict[str, str]) -> None:
    notice = message({"action": "subscribe-success", **said})
    assert (notice.effect, notice.hints) == (Effect.UNKNOWN, ())


@pytest.mark.parametrize("text", ["", "hello", "[]", "null", "{}", "1", "[" * 9999, '{"action": 1}', "\x00"])
def test_a_message_of_another_kind_is_kept(text: str) -> None:
    notice = message(text)
    assert (notice.type, notice.effect) == ("Notification", Effect.UNKNOWN)
    assert of_message("sns", json.loads(json.dumps(notice.body)), AT, PRODUCTS) == notice


def test_a_message_may_be_a_whole_event() -> None:
    notice, direct = message(UPDATED), told(UPDATED)
    assert (notice.channel, notice.effect, notice.keys, notice.at) == ("sns", direct.effect, direct.keys, direct.at)
    assert notice.dedup == direct.dedup
    assert notice.opens
    assert of_message("sns", json.loads(json.dumps(notice.body)), AT, PRODUCTS) == notice


@pytest.mark.parametrize("type_", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_of_a_question_of_the_topic_it_is_kept_that_it_came(type_: str) -> None:
    notice = message("You have chosen to subscribe.", type=type_, token="2336412f37")
    assert (notice.type, notice.effect) == (type_, Effect.NONE)
    assert set(notice.body) == {"Type", "MessageId", "TopicArn", "Timestamp"}


# What is none


@pytest.mark.parametrize(
    "changed",
    [
        {"id": None},
        {"id": ""},
        {"id": 1},
        {"id": "x" * 256},
        {"id": "a b"},
        {"detail-type": None},
        {"detail-type": ""},
        {"detail-type": ["License Updated"]},
        {"detail": {**UPDATED["detail"], "agreement": {"id": 1}}},
        {"detail": {**UPDATED["detail"], "agreement": {"id": "a\x00b"}}},
        {"detail": {**UPDATED["detail"], "acceptor": {"accountId": 782858285006}}},
        {"detail": {**UPDATED["detail"], "acceptor": {"accountId": "\ud83d"}}},
        {"detail": {**UPDATED["detail"], "product": {"code": "x" * 256}}},
        {"detail": {**UPDATED["detail"], "license": {"arn": "x" * 256}}},
    ],
)
def test_an_event_that_cannot_be_stored_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"name|event has"):
        told({**UPDATED, **changed})


@pytest.mark.parametrize("body", [{}, {"Type": 1, "MessageId": "1"}, {"Type": "Notification"}])
def test_a_body_that_is_none_cannot_be_read(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a message"):
        of_message("sns", body, AT, PRODUCTS)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
_SECTIONS = st.dictionaries(
    st.sampled_from(["agreement", "acceptor", "product", "license"]),
    st.dictionaries(st.sampled_from(["id", "status", "intent", "previousAgreementId", "accountId", "code"]), _JSON)
    | _JSON,
)


@given(head=st.dictionaries(st.sampled_from(sorted(UPDATED)), _JSON), detail=_SECTIONS)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_no_garbage_raises_anything_but_value_errors(head: dict[str, Any], detail: dict[str, Any]) -> None:
    for said in ({**UPDATED, **head}, {**CREATED, "detail": {**CREATED["detail"], **detail}}):
        try:
            notice = told(said)
        except ValueError:
            continue
        kept = json.loads(json.dumps(notice.body, allow_nan=False))
        assert of_event("events", kept, AT, PRODUCTS) == notice
        texts = [notice.type, notice.strand, *notice.keys, *notice.hints, json.dumps(notice.body, ensure_ascii=False)]
        assert not any("\x00" in text or text.encode() is None for text in texts)


@given(said=st.dictionaries(st.sampled_from(["action", "customer-identifier", "product-code", "x"]), _JSON) | st.text())
@settings(derandomize=True, max_examples=100, deadline=None)
def test_no_message_raises_anything_but_value_errors(said: dict[str, Any] | str) -> None:
    try:
        notice = message(said)
    except ValueError:
        return
    kept = json.loads(json.dumps(notice.body, allow_nan=False))
    assert of_message("sns", kept, AT, PRODUCTS) == notice
