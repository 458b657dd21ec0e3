"""Envelopes of Amazon SNS: what is signed, whose signature counts, and how a topic is told that it may send."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import pytest
import respx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.gateways.marketplaces.base import Call, Refused
from app.gateways.marketplaces.sns import Envelope, SnsReader, string_to_sign

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = "arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-n0123EXAMPLE"
IN_CHINA = "arn:aws-cn:sns:cn-northwest-1:287250355862:aws-mp-subscription-notification-n0123EXAMPLE"
PEM = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
PEM_IN_CHINA = "https://sns.cn-northwest-1.amazonaws.com.cn/SimpleNotificationService-0123456789abcdef.pem"
SAID = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": TOPIC,
    "Message": (
        '{"action":"subscribe-success","customer-identifier":"X01EXAMPLEX","product-code":"n0123EXAMPLE",'
        '"offer-identifier":"offer-abcexample123","isFreeTrialTermPresent":"false"}'
    ),
    "Timestamp": "2026-01-01T00:00:00.000Z",
}
WITH_SUBJECT = {**SAID, "Subject": "hello"}
ASKING = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
    "Token": "2336412f37",
    "TopicArn": TOPIC,
    "Message": "You have chosen to subscribe.\nVisit the SubscribeURL.",
    "SubscribeURL": (
        f"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
    ),
    "Timestamp": "2026-01-01T00:00:00.000Z",
}


@cache
def key(name: str = "amazon") -> rsa.RSAPrivateKey:
    """A key for this run only; one for each name."""
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate(name: str = "amazon", *, days: int = 365, curve: bool = False) -> bytes:
    """Good from a day before the new year on, for so many days."""
    signer = ec.generate_private_key(ec.SECP256R1()) if curve else key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    since = NEW_YEAR - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(signer.public_key())
        .serial_number(1)
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=days))
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def signed(said: dict[str, Any], *, version: str = "1", by: str = "amazon", **changed: Any) -> dict[str, Any]:
    """The envelope as Amazon would send it. `changed` is changed after the signature."""
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - the version that topics have by default
    signature = key(by).sign(string_to_sign(said), padding.PKCS1v15(), algorithm)
    where = PEM_IN_CHINA if said["TopicArn"] == IN_CHINA else PEM
    return {
        **said,
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": where,
        **changed,
    }


def call(said: object, *, at: datetime = NEW_YEAR, raw: str = "false") -> Call:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-rawdelivery": raw}
    return Call("sns", "POST", [], headers, body, at)


@pytest.fixture(scope="module")
async def made_once() -> AsyncIterator[SnsReader]:
    """Its client reads the system's certificates, which takes a while."""
    reader = SnsReader([TOPIC, IN_CHINA])
    yield reader
    await reader.close()


@pytest.fixture
def sns(made_once: SnsReader) -> SnsReader:
    made_once._certificates.clear()
    return made_once


async def refusal(sns: SnsReader, call: Call) -> tuple[str, int]:
    with pytest.raises(Refused) as raised:
        await sns.open(call)
    assert raised.value.reply.media_type == "application/json"
    return raised.value.why, raised.value.reply.status


# What is signed


@pytest.mark.parametrize(
    ("said", "length", "digests"),
    [
        (
            SAID,
            369,
            {
                "sha1": "5dd85ec8e59671d283794acac2eeee83eef45be6",
                "sha256": "e7598a756495dc74248c22e549a3d7f57cd73843ae972c617b6e179c323f84e3",
            },
        ),
        (WITH_SUBJECT, 383, {"sha256": "a039b9b166c1380f97f1be014ec8aa0c2533978246989909ddd90bda463968b9"}),
        (
            ASKING,
            465,
            {
                "sha1": "1ebfc5c01fd13b90830b09c892e77632cf2c54eb",
                "sha256": "9d0e776a4f6b49ed91d9df71a7a991d1b19e08af911a11cca6cf306c37f2d7fe",
            },
        ),
    ],
    ids=["a notification", "with a subject", "a confirmation"],
)
def test_what_is_signed_equals_the_vectors(said: dict[str, str], length: int, digests: dict[str, str]) -> None:
    text = string_to_sign(said)
    assert len(text) == length
    assert {name: hashlib.new(name, text).hexdigest() for name in digests} == digests


@respx.mock
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("said", [SAID, WITH_SUBJECT, ASKING, {**ASKING, "Type": "UnsubscribeConfirmation"}])
async def test_a_genuine_envelope_is_opened(sns: SnsReader, said: dict[str, str], version: str) -> None:
    respx.get(PEM).respond(200, content=certificate())
    assert await sns.open(call(signed(said, version=version))) == Envelope(
        said["Type"], said["MessageId"], TOPIC, said["Timestamp"], said["Message"], said.get("Token")
    )


@respx.mock
async def test_an_envelope_from_china_has_its_certificate_there(sns: SnsReader) -> None:
    route = respx.get(PEM_IN_CHINA).respond(200, content=certificate())
    assert (await sns.open(call(signed({**SAID, "TopicArn": IN_CHINA})))).topic == IN_CHINA
    assert route.called


@respx.mock
async def test_an_empty_subject_is_signed_and_none_is_not(sns: SnsReader) -> None:
    respx.get(PEM).respond(200, content=certificate())
    await sns.open(call(signed({**SAID, "Subject": ""})))
    await sns.open(call(signed(SAID, Subject=None)))


@respx.mock
async def test_the_values_are_signed_as_they_are_decoded(sns: SnsReader) -> None:
    respx.get(PEM).respond(200, content=certificate())
    said = {**SAID, "Message": '观测云 "\\\n\u0000é'}
    assert (await sns.open(call(signed(said)))).message == said["Message"]


# Whose signature counts


@respx.mock
@pytest.mark.parametrize("name", ["Message", "MessageId", "Subject", "Timestamp"])
async def test_nothing_that_is_signed_can_be_changed(sns: SnsReader, name: str) -> None:
    respx.get(PEM).respond(200, content=certificate())
    changed = {"Timestamp": "2026-01-01T00:00:01.000Z"}.get(name, "another")
    assert await refusal(sns, call(signed(WITH_SUBJECT, **{name: changed}))) == ("signature", 403)


@respx.mock
async def test_a_subject_can_neither_be_added_nor_taken_away(sns: SnsReader) -> None:
    respx.get(PEM).respond(200, content=certificate())
    assert await refusal(sns, call(signed(SAID, Subject="hello"))) == ("signature", 403)
    assert await refusal(sns, call(signed(WITH_SUBJECT, Subject=None))) == ("signature", 403)


@respx.mock
async def test_another_key_signs_in_vain(sns: SnsReader) -> None:
    respx.get(PEM).respond(200, content=certificate())
    assert await refusal(sns, call(signed(SAID, by="mallory"))) == ("signature", 403)


@respx.mock
@pytest.mark.parametrize(("version", "claimed"), [("1", "2"), ("2", "1")])
async def test_a_signature_counts_for_its_own_version_alone(sns: SnsReader, version: str, claimed: str) -> None:
    respx.get(PEM).respond(200, content=certificate())
    said = signed(SAID, version=version, SignatureVersion=claimed)
    assert await refusal(sns, call(said)) == ("signature", 403)


@respx.mock
@pytest.mark.parametrize("name", ["Signature", "SignatureVersion"])
@pytest.mark.parametrize("value", ["", "3", "=", "not base64", "é"])
async def test_no_other_signature_is_looked_at(sns: SnsReader, name: str, value: str) -> None:
    respx.get(PEM).respond(200, content=certificate())
    assert await refusal(sns, call(signed(SAID, **{name: value}))) == ("signature", 403)


@respx.mock
@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-00.pem",
        "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-00.pem",
        "https://sns.us-east-1.amazonaws.com@example.com/SimpleNotificationService-00.pem",
        "https://user@sns.us-east-1.amazonaws.com/SimpleNotificationService-00.pem",
        "https://example.com/SimpleNotificationService-00.pem",
        "https://sns.us-east-1.amazonaws.com.example.com/SimpleNotificationService-00.pem",
        "https://sns.s3.amazonaws.com/SimpleNotificationService-00.pem",
        "https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-00.pem",
        "https://sns.us-east-1.s3.amazonaws.com/SimpleNotificationService-00.pem",
        "https://evil.execute-api.us-east-1.amazonaws.com/SimpleNotificationService-00.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00.pem\n",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00.pem?x=1",
        "https://sns.us-east-1.amazonaws.com/x/../SimpleNotificationService-00.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00.pem.txt",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-XY.pem",
        "https://sns.us-east-1.amazonaws.com/",
        "https://sns.cn-northwest-1.amazonaws.com.cn/SimpleNotificationService-00.pem",
        "",
    ],
)
async def test_a_certificate_is_fetched_from_no_other_place(sns: SnsReader, url: str) -> None:
    route = respx.route().respond(200, content=certificate())
    assert await refusal(sns, call(signed(SAID, SigningCertURL=url))) == ("signature", 403)
    assert not route.called


@respx.mock
async def test_a_topic_in_china_has_no_certificate_elsewhere(sns: SnsReader) -> None:
    route = respx.route().respond(200, content=certificate())
    said = signed({**SAID, "TopicArn": IN_CHINA}, SigningCertURL=PEM)
    assert await refusal(sns, call(said)) == ("signature", 403)
    assert not route.called


@respx.mock
@pytest.mark.parametrize("topic", ["", "arn:aws:sns:us-east-1:1:x", TOPIC + "x", TOPIC.replace("287", "288")])
async def test_nothing_is_fetched_for_another_topic(sns: SnsReader, topic: str) -> None:
    route = respx.route().respond(200, content=certificate())
    assert await refusal(sns, call(signed({**SAID, "TopicArn": topic}))) == ("topic", 403)
    assert not route.called


@respx.mock
async def test_raw_delivery_has_no_signature_and_is_refused(sns: SnsReader) -> None:
    route = respx.route().respond(200, content=certificate())
    assert await refusal(sns, call(signed(SAID), raw="true")) == ("raw", 403)
    assert not route.called


@respx.mock
@pytest.mark.parametrize(
    ("late", "refused"),
    [
        (timedelta(hours=1, minutes=5), False),
        (timedelta(hours=1, minutes=5, seconds=1), True),
        (timedelta(minutes=-5), False),
        (timedelta(minutes=-5, seconds=-1), True),
    ],
)
async def test_an_envelope_is_good_for_as_long_as_it_is_sent_again(
    sns: SnsReader, late: timedelta, refused: bool
) -> None:
    route = respx.get(PEM).respond(200, content=certificate())
    coming = call(signed(SAID), at=NEW_YEAR + late)
    if refused:
        assert await refusal(sns, coming) == ("stale", 403)
    else:
        await sns.open(coming)
    assert route.called is not refused


# The certificate


@respx.mock
async def test_a_certificate_is_fetched_once(sns: SnsReader) -> None:
    route = respx.get(PEM).respond(200, content=certificate())
    for _ in range(3):
        await sns.open(call(signed(SAID)))
    assert route.call_count == 1


@respx.mock
async def test_only_so_many_certificates_are_kept(sns: SnsReader) -> None:
    route = respx.get(host="sns.us-east-1.amazonaws.com").respond(200, content=certificate())
    said = signed(SAID)
    for number in [*range(40), *range(24, 40), 0]:
        url = f"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{number:02x}.pem"
        await sns.open(call({**said, "SigningCertURL": url}))
    assert route.call_count == 41


@respx.mock
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"location": "https://example.com/SimpleNotificationService-00.pem"}),
        httpx.Response(404),
        httpx.Response(500),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        httpx.Response(200, content=b"x" * 70_000),
    ],
)
async def test_without_a_certificate_it_has_to_come_again(sns: SnsReader, answer: httpx.Response) -> None:
    other = respx.get(host="example.com").respond(200, content=certificate())
    route = respx.get(PEM).mock(return_value=answer)
    assert await refusal(sns, call(signed(SAID))) == ("certificate", 503)
    assert not other.called
    route.respond(200, content=certificate())
    await sns.open(call(signed(SAID)))


@respx.mock
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout])
async def test_without_a_connection_it_has_to_come_again(sns: SnsReader, error: type[httpx.TransportError]) -> None:
    respx.get(PEM).mock(side_effect=error("no"))
    assert await refusal(sns, call(signed(SAID))) == ("certificate", 503)


@respx.mock
@pytest.mark.parametrize(
    ("made", "at"),
    [
        ({"days": 2}, NEW_YEAR + timedelta(days=2)),
        ({}, NEW_YEAR - timedelta(days=2)),
        ({"curve": True}, NEW_YEAR),
    ],
    ids=["too old", "too young", "not RSA"],
)
async def test_a_certificate_that_does_not_count_verifies_nothing(
    sns: SnsReader, made: dict[str, Any], at: datetime
) -> None:
    respx.get(PEM).respond(200, content=certificate(**made))
    said = signed({**SAID, "Timestamp": at.isoformat()})
    assert await refusal(sns, call(said, at=at)) == ("certificate", 403)


# What is no envelope


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"Type": 1}',
        b'{"Type": ["Notification"]}',
        b'{"Type": "Notification"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"Type": ' + b"9" * 5000 + b"}",
    ],
)
async def test_what_is_no_envelope_is_refused(sns: SnsReader, body: bytes) -> None:
    assert await refusal(sns, call(body)) == ("malformed", 400)


@pytest.mark.parametrize(
    ("said", "missing"),
    [(said, name) for said in (SAID, ASKING) for name in signed(said) if name != "Subject"],
)
async def test_nothing_may_be_missing(sns: SnsReader, said: dict[str, str], missing: str) -> None:
    envelope = {name: value for name, value in signed(said).items() if name != missing}
    assert await refusal(sns, call(envelope)) == ("malformed", 400)


@pytest.mark.parametrize(
    "changed",
    [
        {"Message": {}},
        {"Message": "\ud83d"},
        {"Subject": 1},
        {"Subject": "\udc00"},
        {"MessageId": ""},
        {"MessageId": "a\nSubject\nhello"},
        {"MessageId": "x" * 101},
        {"Timestamp": ""},
        {"Timestamp": "yesterday"},
        {"Timestamp": "2026-01-01T00:00:00"},
        {"SignatureVersion": 1},
        {"TopicArn": [TOPIC]},
    ],
)
async def test_wrong_values_are_refused(sns: SnsReader, changed: dict[str, Any]) -> None:
    assert await refusal(sns, call(signed(SAID, **changed))) == ("malformed", 400)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(changed=st.dictionaries(st.sampled_from(sorted(signed(ASKING))), _JSON, min_size=1) | st.binary())
@settings(
    derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_garbage_raises_anything_else(sns: SnsReader, changed: dict[str, Any] | bytes) -> None:
    body = changed if isinstance(changed, bytes) else {**signed(ASKING), **changed}
    with respx.mock:
        respx.route().respond(503)
        with pytest.raises(Refused):
            await sns.open(call(body))


@pytest.mark.parametrize("topic", ["", "sns", "arn:aws:sns:us-east-1:1:x", "arn:aws:sqs:us-east-1:287250355862:x"])
def test_what_is_no_topic_cannot_be_allowed(topic: str) -> None:
    with pytest.raises(ValueError, match="not the ARN of an SNS topic"):
        SnsReader([TOPIC, topic])


# A topic that asks whether it may send


@respx.mock
@pytest.mark.parametrize(
    ("topic", "host"),
    [(TOPIC, "sns.us-east-1.amazonaws.com"), (IN_CHINA, "sns.cn-northwest-1.amazonaws.com.cn")],
)
async def test_a_topic_is_told_where_it_is_and_not_where_it_says(sns: SnsReader, topic: str, host: str) -> None:
    respx.get(PEM if topic == TOPIC else PEM_IN_CHINA).respond(200, content=certificate())
    route = respx.get(f"https://{host}/").respond(200, text="<ConfirmSubscriptionResponse/>")
    said = {**ASKING, "TopicArn": topic, "SubscribeURL": "https://example.com/?Action=ConfirmSubscription"}
    await sns.confirm(await sns.open(call(signed(said))))
    assert dict(route.calls.last.request.url.params) == {
        "Action": "ConfirmSubscription",
        "TopicArn": topic,
        "Token": "2336412f37",
    }


@respx.mock
@pytest.mark.parametrize("status", [302, 400, 403, 500])
async def test_a_topic_that_could_not_be_told_has_to_ask_again(sns: SnsReader, status: int) -> None:
    respx.get(host="sns.us-east-1.amazonaws.com").respond(status)
    with pytest.raises(Refused) as raised:
        await sns.confirm(Envelope("SubscriptionConfirmation", "1", TOPIC, "", "", "2336412f37"))
    assert (raised.value.why, raised.value.reply.status) == ("unconfirmed", 503)


@pytest.mark.parametrize("token", [None, "", "a b", "x" * 1025, "é"])
async def test_a_token_that_is_none_confirms_nothing(sns: SnsReader, token: str | None) -> None:
    with pytest.raises(Refused) as raised:
        await sns.confirm(Envelope("SubscriptionConfirmation", "1", TOPIC, "", "", token))
    assert (raised.value.why, raised.value.reply.status) == ("malformed", 400)


def test_the_token_stays_out_of_logs() -> None:
    assert "2336412f37" not in repr(Envelope("SubscriptionConfirmation", "1", TOPIC, "", "", "2336412f37"))
