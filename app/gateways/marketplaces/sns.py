"""Amazon SNS over HTTPS: who signed an envelope, and the answer to a topic that asks whether it may send.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html and
https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html.
"""

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from app.core.outgoing import quiet_client
from app.gateways.exchange import Unanswered, members, send
from app.gateways.marketplaces.base import Call, Refused, json_reply

NOTIFICATION, CONFIRMATION, UNSUBSCRIBED = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"

_OLDEST = timedelta(hours=1, minutes=5)  # no delivery policy goes on for more than 3,600 s
_AHEAD = timedelta(minutes=5)
_WAIT = 5  # seconds
_CERTIFICATES = 16  # kept; Amazon replaces its own now and then

# What is signed, in this order. Subject is not always there.
_ASKING = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: _ASKING,
    UNSUBSCRIBED: _ASKING,
}
_BESIDES = ("Signature", "SignatureVersion", "SigningCertURL")
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"1": hashes.SHA1, "2": hashes.SHA256}

# No other shape of region: `sns.s3.amazonaws.com` would be a bucket that anyone can own.
_REGION = r"[a-z]{2}(?:-[a-z]{2,16}){1,2}-[0-9]{1,2}"
_TOPIC = re.compile(rf"arn:(aws|aws-cn):sns:({_REGION}):[0-9]{{12}}:[A-Za-z0-9_-]{{1,256}}")
_CERTIFICATE = re.compile(
    rf"https://sns\.{_REGION}\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9a-f]{{1,64}}\.pem"
)
_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{1,100}")
_TOKEN = re.compile(r"[!-~]{1,1024}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A genuine one. `timestamp` is as it was written; `token` is what a subscription is confirmed with."""

    type: str
    message_id: str
    topic: str
    timestamp: str
    message: str
    token: str | None = field(default=None, repr=False)


class SnsReader:
    """Reads envelopes of the `topics` (ARNs): for any other nothing is fetched. Raises ValueError for what is none."""

    def __init__(self, topics: Collection[str]) -> None:
        for topic in topics:
            if not _TOPIC.fullmatch(topic):
                raise ValueError(f"not the ARN of an SNS topic: {topic}")
        self._topics = frozenset(topics)
        self._certificates: dict[str, x509.Certificate] = {}
        self._client = quiet_client(_WAIT)

    async def open(self, call: Call) -> Envelope:
        """Verifies an envelope. Raises Refused: 400 malformed, 403 not genuine, 503 its certificate cannot be had."""
        if call.headers.get("x-amz-sns-rawdelivery", "").lower() == "true":
            raise _refused("raw", 403)  # it has no signature
        said = _read(call.body)
        topic = said["TopicArn"]
        if topic not in self._topics:
            raise _refused("topic", 403)
        _check_time(said["Timestamp"], call.at)
        algorithm = _HASHES.get(said["SignatureVersion"])
        where = _CERTIFICATE.fullmatch(said["SigningCertURL"])
        if algorithm is None or where is None or (where[1] == ".cn") != topic.startswith("arn:aws-cn:"):
            raise _refused("signature", 403)
        signature, signed = _signature(said["Signature"]), string_to_sign(said)
        certificate = await self._certificate(said["SigningCertURL"])
        _verify(certificate, signature, signed, algorithm(), call.at)
        return Envelope(
            said["Type"], said["MessageId"], topic, said["Timestamp"], said["Message"], token=said.get("Token")
        )

    async def confirm(self, envelope: Envelope) -> None:
        """Tells the topic that it may send. Raises Refused, 503: then it asks again.

        The URL in the message is not followed: the call is built from what is allowed here.
        """
        found = _TOPIC.fullmatch(envelope.topic)
        if found is None or envelope.token is None or not _TOKEN.fullmatch(envelope.token):
            raise _refused("malformed", 400)
        host = f"sns.{found[2]}.amazonaws.com" + (".cn" if found[1] == "aws-cn" else "")
        query = {"Action": "ConfirmSubscription", "TopicArn": envelope.topic, "Token": envelope.token}
        request = self._client.build_request("GET", f"https://{host}/", params=query)
        await self._fetch(request, "unconfirmed")

    async def close(self) -> None:
        await self._client.aclose()

    async def _certificate(self, url: str) -> x509.Certificate:
        """That it is Amazon's follows from where it lies."""
        if url not in self._certificates:
            pem = await self._fetch(self._client.build_request("GET", url), "certificate")
            try:
                certificate = x509.load_pem_x509_certificate(pem)
            except (ValueError, UnsupportedAlgorithm):
                raise _refused("certificate", 503) from None
            while len(self._certificates) >= _CERTIFICATES:
                del self._certificates[next(iter(self._certificates))]
            self._certificates[url] = certificate
        return self._certificates[url]

    async def _fetch(self, request: httpx.Request, why: str) -> bytes:
        try:
            status, body = await send(self._client, request, within=_WAIT)
        except Unanswered:
            raise _refused(why, 503) from None
        if status != httpx.codes.OK:  # a redirect too
            raise _refused(why, 503)
        return body


def string_to_sign(said: Mapping[str, str]) -> bytes:
    """Name and value in turn, each ended by a line feed. Raises UnicodeEncodeError for half of a surrogate pair."""
    return "".join(f"{name}\n{said[name]}\n" for name in _SIGNED[said["Type"]] if name in said).encode()


def _refused(why: str, status: int) -> Refused:
    return Refused(why, json_reply({}, status))


def _read(body: bytes) -> dict[str, str]:
    """The members that matter, all of them text. Raises Refused."""
    try:
        found = members(body)
    except Unanswered:
        raise _refused("malformed", 400) from None
    kind = found.get("Type")
    if not isinstance(kind, str) or kind not in _SIGNED:
        raise _refused("malformed", 400)
    said = {name: found[name] for name in (*_SIGNED[kind], *_BESIDES) if found.get(name) is not None}
    missing = {*_SIGNED[kind], *_BESIDES} - said.keys() - {"Subject"}
    if missing or not all(isinstance(value, str) for value in said.values()):
        raise _refused("malformed", 400)
    if not _MESSAGE_ID.fullmatch(said["MessageId"]) or any(map(_is_no_text, said.values())):
        raise _refused("malformed", 400)
    return said


def _is_no_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_time(text: str, at: datetime) -> None:
    try:
        age = at - datetime.fromisoformat(text)
    except (ValueError, TypeError, OverflowError):  # TypeError: it has no time zone
        raise _refused("malformed", 400) from None
    if not -_AHEAD <= age <= _OLDEST:
        raise _refused("stale", 403)


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise _refused("signature", 403) from None


def _verify(
    certificate: x509.Certificate, signature: bytes, signed: bytes, algorithm: hashes.HashAlgorithm, at: datetime
) -> None:
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise _refused("certificate", 403)
    try:
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise _refused("certificate", 403)
        key.verify(signature, signed, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        raise _refused("signature", 403) from None
