"""AWS on this host: who its customers are, what its events say, and SNS topics with certificates of their own."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import httpx
import respx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import select, text

from app.core import ids
from app.core.clock import now
from app.models.cloud_accounts import CloudAccount, CloudAccountKey, CloudNotice
from tests.support.api import Api
from tests.support.clouds import AWS_PRODUCT, MARKETPLACES, aws_event, aws_sends

METERING = "https://metering.marketplace.us-east-1.amazonaws.com/"
METERING_IN_CHINA = "https://metering.marketplace.cn-northwest-1.amazonaws.com.cn/"
TOPIC = f"arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-{AWS_PRODUCT}"
ENTITLEMENTS = f"arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-{AWS_PRODUCT}"
TOPIC_IN_CHINA = "arn:aws-cn:sns:cn-northwest-1:461312420708:aws-mp-subscription-notification-china"
KEYS = {  # of who sells, by the id that a call is signed with
    MARKETPLACES["aws_access_key_id"]: MARKETPLACES["aws_secret_access_key"],
    "AKIDCHINA": "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
}
# For `@pytest.mark.settings(**AWS)`: all that AWS can send, in both of its partitions.
AWS: dict[str, Any] = {
    **MARKETPLACES,
    "aws_sns_topics": [TOPIC, ENTITLEMENTS, TOPIC_IN_CHINA],
    "aws_china_access_key_id": "AKIDCHINA",
    "aws_china_secret_access_key": KEYS["AKIDCHINA"],
    "aws_china_products": ["china"],
}


# Purchases


@dataclass(frozen=True)
class Purchase:
    """One agreement of a buyer. `customer` is AWS's older name of the buyer, which newer products do not have."""

    account: str = "123456789012"
    licence: str = field(default_factory=lambda: ids.new().hex)
    agreement: str = field(default_factory=lambda: f"agmt-{ids.new().hex[-25:]}")
    customer: str = ""
    at: datetime = field(default_factory=lambda: now().replace(microsecond=0) - timedelta(minutes=10))

    @property
    def arn(self) -> str:
        return f"arn:aws:license-manager::294406891311:license:l-{self.licence}"

    @property
    def resolved(self) -> dict[str, Any]:
        """What ResolveCustomer says of who brings its token."""
        return {
            "CustomerAWSAccountId": self.account,
            "LicenseArn": self.arn,
            "ProductCode": AWS_PRODUCT,
            "CustomerIdentifier": self.customer,
            "Metadata": {"AgreementId": self.agreement},
        }

    def created(self, *, after: float = 0, **members: Any) -> dict[str, Any]:
        """`after` so many seconds of the purchase, like the following."""
        agreement = {"intent": "NEW", "status": "ACTIVE", "endTime": "9999-01-01T00:00:00Z", **members}
        return self._told("Purchase Agreement Created - Proposer", after, **agreement)

    def updated(self, *, after: float = 61) -> dict[str, Any]:
        return self._told("License Updated - Manufacturer", after, licence=self.licence)

    def ended(self, status: str = "CANCELLED", *, after: float = 95) -> dict[str, Any]:
        return self._told("Purchase Agreement Ended - Proposer", after, status=status)

    def deprovisioned(self, *, after: float = 126) -> dict[str, Any]:
        return self._told("License Deprovisioned - Manufacturer", after, licence=self.licence)

    def said(self, action: str, product: str = AWS_PRODUCT) -> dict[str, str]:
        """A message of the older kind, as it stands in one of SNS."""
        return {"action": action, "customer-identifier": f" {self.customer}", "product-code": product}

    def _told(self, kind: str, after: float, *, licence: str | None = None, **members: Any) -> dict[str, Any]:
        same = str(uuid5(NAMESPACE_OID, f"{self.agreement} {kind} {after}"))  # the same event whenever it is asked for
        at = self.at + timedelta(seconds=after)
        return aws_event(
            kind, licence=licence, agreement=self.agreement, account=self.account, at=at, event_id=same, **members
        )


async def sends(api: Api, *events: Mapping[str, Any]) -> None:
    """EventBridge, one after the other; each is taken."""
    for event in events:
        answer = await aws_sends(api, dict(event))
        assert (answer.status_code, answer.json()) == (200, {}), answer.text


# ResolveCustomer


@dataclass
class Metering:
    """Answers by token: with what `knows` was told, 200 unless there is an error in it. `asked` keeps the tokens.

    `away` is why it cannot be reached.
    """

    router: respx.MockRouter
    asked: list[str] = field(default_factory=list)
    away: httpx.TransportError | None = None
    _known: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)

    def knows(self, token: str, *said: Mapping[str, Any]) -> None:
        """The first time, the second, and so on; then always the last."""
        self._known[token] = [(400 if "__type" in one else 200, dict(one)) for one in said]

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        if headers.get("x-amz-target") != "AWSMPMeteringService.ResolveCustomer":
            return 400, {"__type": "UnknownOperationException"}
        if not signed_by_seller(headers, body):
            return 403, {"__type": "InvalidSignatureException", "message": "The request signature does not match."}
        token = json.loads(body)["RegistrationToken"]
        self.asked.append(token)
        known = self._known.get(token, [(400, {"__type": "InvalidTokenException", "message": token})])
        return known.pop(0) if len(known) > 1 else known[0]


@contextmanager
def metering() -> Iterator[Metering]:
    """At the addresses of both partitions; nothing else of the outside can be reached, unless the router is told."""
    with respx.mock(assert_all_called=False) as router:
        aws = Metering(router)

        def answer(request: httpx.Request) -> httpx.Response:
            if aws.away is not None:
                raise aws.away
            status, said = aws.answer(request.headers, request.content)
            return httpx.Response(status, json=said, headers={"content-type": "application/x-amz-json-1.1"})

        for endpoint in (METERING, METERING_IN_CHINA):
            router.post(endpoint).mock(side_effect=answer)
        yield aws


def signed_by_seller(headers: Mapping[str, str], body: bytes) -> bool:
    """Checked as the other side does: Signature Version 4, the headers that it must cover, a time that is near."""
    algorithm, _, rest = headers["authorization"].partition(" ")
    said = dict(part.strip().split("=", 1) for part in rest.split(","))
    key_id, day, region, service, end = said["Credential"].split("/")
    names = said["SignedHeaders"].split(";")
    when = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if (algorithm, service, end) != ("AWS4-HMAC-SHA256", "aws-marketplace", "aws4_request") or region not in (
        METERING + METERING_IN_CHINA
    ):
        return False
    if not {"host", "x-amz-date", "x-amz-target"} <= set(names) or abs(now() - when) > timedelta(minutes=5):
        return False
    lines = [f"{name}:{headers[name].strip()}" for name in names]
    canonical = ["POST", "/", "", *lines, "", ";".join(names), hashlib.sha256(body).hexdigest()]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    secret = f"AWS4{KEYS.get(key_id, '')}".encode()
    for part in (day, region, service, end):
        secret = hmac.digest(secret, part.encode(), "sha256")
    text = f"{algorithm}\n{headers['x-amz-date']}\n{day}/{region}/{service}/{end}\n{hashed}"
    return hmac.compare_digest(hmac.digest(secret, text.encode(), "sha256").hex(), said["Signature"])


async def lands(api: Api, token: str, *, channel: str = "landing", **headers: str) -> httpx.Response:
    """A browser posts the form that AWS gave it: across sites, without a cookie."""
    form = {"x-amzn-marketplace-token": token}
    return await api.client.post(f"/marketplace/aws/{channel}", data=form, headers=headers)


# Topics


@cache
def amazons_key() -> rsa.RSAPrivateKey:
    """For this run only."""
    return rsa.generate_private_key(65537, 2048)


@cache
def amazons_certificate() -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(amazons_key().public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2070, 1, 1, tzinfo=UTC))
        .sign(amazons_key(), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


class Topic:
    """Signs what it sends. Its certificate lies where nobody has looked yet; `fetched` is that place."""

    def __init__(self, router: respx.MockRouter, arn: str = TOPIC) -> None:
        self.arn = arn
        self.region = arn.split(":")[3]
        self.host = f"sns.{self.region}.amazonaws.com" + (".cn" if arn.startswith("arn:aws-cn:") else "")
        self.certificate = f"https://{self.host}/SimpleNotificationService-{ids.new().hex}.pem"
        self.fetched = router.get(self.certificate).respond(200, content=amazons_certificate())

    def notification(self, message: object, *, version: str = "1", **changed: str) -> dict[str, str]:
        """An envelope; `changed` before it is signed."""
        text = message if isinstance(message, str) else json.dumps(message)
        return self.signed({"Type": "Notification", "Message": text, **changed}, version)

    def question(self, kind: str = "SubscriptionConfirmation", *, url: str = "", **changed: str) -> dict[str, str]:
        token = "2336412f37"
        url = url or f"https://{self.host}/?Action=ConfirmSubscription&TopicArn={self.arn}&Token={token}"
        asking = {"Message": "You have chosen to subscribe.\nVisit it.", "SubscribeURL": url, "Token": token}
        return self.signed({"Type": kind, **asking, **changed}, "1")

    def signed(self, said: Mapping[str, str], version: str) -> dict[str, str]:
        envelope = {
            "MessageId": str(ids.new()),
            "TopicArn": self.arn,
            "Timestamp": now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            **said,
        }
        text = "".join(f"{name}\n{envelope[name]}\n" for name in sorted(envelope))  # all that there is, here
        algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303 - what topics do by default
        signature = amazons_key().sign(text.encode(), padding.PKCS1v15(), algorithm)
        where = {"SignatureVersion": version, "SigningCertURL": self.certificate}
        return {**envelope, **where, "Signature": base64.b64encode(signature).decode()}


async def sns(api: Api, envelope: Mapping[str, Any], **headers: str) -> httpx.Response:
    """As SNS posts: JSON that calls itself text."""
    given = {
        "content-type": "text/plain; charset=UTF-8",
        "user-agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": str(envelope.get("Type")),
        **headers,
    }
    return await api.client.post("/marketplace/aws/sns", content=json.dumps(envelope), headers=given)


# What became of it


@dataclass(frozen=True)
class Stored:
    """A cloud account as it lies in the tables; `notices` are the types applied to it, sorted."""

    id: str
    owner: str | None
    status: str
    since: datetime
    keys: frozenset[str]
    notices: tuple[str, ...]


async def stored(api: Api, accounts: Iterable[str]) -> dict[str, list[Stored]]:
    """The cloud accounts of these buyers, whoever owns them, the oldest first."""
    found: dict[str, list[Stored]] = {account: [] for account in accounts}
    async with api.container.engine.connect() as connection:
        chosen = select(CloudAccount).where(CloudAccount.provider == "aws").order_by(CloudAccount.id)
        rows = (await connection.execute(chosen)).all()
        keys = (await connection.execute(select(CloudAccountKey.cloud_account_id, CloudAccountKey.key))).all()
        notices = (await connection.execute(select(CloudNotice.cloud_account_id, CloudNotice.type))).all()
    for row in rows:
        if row.account_number in found:
            found[row.account_number].append(
                Stored(
                    id=ids.show(ids.CLOUD_ACCOUNT, row.id),
                    owner=ids.show(ids.ACCOUNT, row.account_id) if row.account_id else None,
                    status=row.status,
                    since=row.status_at,
                    keys=frozenset(key for of, key in keys if of == row.id),
                    notices=tuple(sorted(type_ for of, type_ in notices if of == row.id)),
                )
            )
    return found


@asynccontextmanager
async def failing(api: Api, table: str, *, when: str = "TRUE") -> AsyncIterator[None]:
    """The database takes no new rows of the table, or none of which `when` is true (`NEW` is the row)."""
    name = f"failing_{ids.new().hex}"  # another connection of SQLite may still know the one before
    does = "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    made = [f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN ({when}) {does}"]
    gone = [f"DROP TRIGGER {name}"]
    if api.container.engine.dialect.name == "postgresql":
        does = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$"
        runs = f"FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()"
        made = [f"CREATE FUNCTION {name}() {does}", f"CREATE TRIGGER {name} BEFORE INSERT ON {table} {runs}"]
        gone = [f"DROP TRIGGER {name} ON {table}", f"DROP FUNCTION {name}()"]
    await _run(api, made)
    try:
        yield
    finally:
        await _run(api, gone)


async def _run(api: Api, statements: Iterable[str]) -> None:
    async with api.container.engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
