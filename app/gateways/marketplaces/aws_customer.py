"""Who comes from AWS Marketplace: the registration token that a browser brings, redeemed at AWS.

Sources: https://docs.aws.amazon.com/marketplace/latest/APIReference/API_marketplace-metering_ResolveCustomer.html and
https://docs.aws.amazon.com/marketplace/latest/userguide/saas-product-customer-setup.html.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import structlog

from app.core import clock, sigv4
from app.gateways.exchange import Unanswered, mapping, members, send
from app.gateways.marketplaces.aws_names import Names, arn_of, fact, licence_of
from app.gateways.marketplaces.base import Notice, Page, Refused, Reply
from app.models.cloud_accounts import Effect

log = structlog.get_logger()

LONGEST_FORM = 64 * 1024  # bytes; a token has some hundreds
_FIELD = "x-amzn-marketplace-token"
_TOKEN = re.compile(r"[!-~]{1,8192}")
_PAUSES = (0.2, 0.4, 0.8)  # seconds before each further try
_LONGEST_NAME = 255
_STATUSES = {Page.HELP: 200, Page.EXPIRED: 410, Page.INVALID: 400, Page.LATER: 503}
_ERRORS = {"ExpiredTokenException": Page.EXPIRED, "InvalidTokenException": Page.INVALID}
_THROTTLED = "ThrottlingException"


@dataclass(frozen=True, slots=True)
class Seller:
    """The account that published the products, in one partition, and where its ResolveCustomer is.

    `products` are product codes. Temporary credentials have a `session_token`.
    """

    key_id: str
    secret: str = field(repr=False)
    session_token: str | None = field(repr=False)
    region: str
    endpoint: str
    products: frozenset[str]


def page(which: Page) -> Reply:
    return Reply(_STATUSES[which], page=which)


def turned_away(why: str, which: Page) -> Refused:
    return Refused(why, page(which))


def token_in(form: bytes) -> str:
    """The token of a registration form. Raises Refused."""
    try:
        if len(form) > LONGEST_FORM:
            raise ValueError("too long")
        fields = parse_qsl(form.decode("ascii"), keep_blank_values=True, max_num_fields=64, errors="strict")
    except ValueError:
        raise turned_away("malformed", Page.INVALID) from None
    tokens = {value for name, value in fields if name == _FIELD}
    token = tokens.pop() if len(tokens) == 1 else ""
    if not _TOKEN.fullmatch(token):
        raise turned_away("malformed", Page.INVALID)
    return token


async def resolve(client: httpx.AsyncClient, seller: Seller, token: str, *, within: float) -> dict[str, str]:
    """What AWS says of the customer: the facts that there are, under AWS's names. Raises Refused.

    `within` is in seconds, for all tries together: a throttled call and a fault of AWS's are tried again.
    """
    try:
        async with asyncio.timeout(within):
            for pause in _PAUSES:
                status, said = await _ask(client, seller, token, within)
                if status < httpx.codes.INTERNAL_SERVER_ERROR and _error(said) != _THROTTLED:
                    break
                await asyncio.sleep(pause)
            else:
                status, said = await _ask(client, seller, token, within)
    except (TimeoutError, Unanswered) as error:
        raise _unusable(error.why if isinstance(error, Unanswered) else "timeout") from None
    if status != httpx.codes.OK:
        raise _failure(said, status)
    try:
        return _facts(said)
    except ValueError:
        raise _unusable("unreadable") from None


def of_facts(channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
    """The notice in a customer's kept facts. Raises ValueError for those that name no subscription.

    Older products have no licence: there a customer has one subscription to each product.
    """
    product, customer = fact(body.get("ProductCode")), fact(body.get("CustomerIdentifier"))
    licence, account = licence_of(fact(body.get("LicenseArn"))), fact(body.get("CustomerAWSAccountId"))
    agreement = fact(body.get("AgreementId"))
    if product is None or (account is None and customer is None) or (licence is None and customer is None):
        raise ValueError("incomplete")
    names = Names(licence=licence, agreement=agreement, account=account, customer=customer, product=product)
    instance_id = arn_of(fact(body.get("LicenseArn"))) or f"{customer}/{product}"
    if len(instance_id) > _LONGEST_NAME:
        raise ValueError("too long")
    return Notice(
        channel,
        "ResolveCustomer",
        Effect.REGISTERED,
        f"{channel}:{json.dumps(dict(body), sort_keys=True)}",
        at,
        body,
        keys=names.keys,
        hints=names.hints,
        strand=agreement or "",
        account_number=account,
        instance_id=instance_id,
        product=product,
        opens=True,
    )


async def _ask(client: httpx.AsyncClient, seller: Seller, token: str, within: float) -> tuple[int, dict[str, Any]]:
    endpoint = httpx.URL(seller.endpoint).copy_with(path="/", query=None)
    call = sigv4.Call(
        host=endpoint.netloc.decode("ascii"),
        region=seller.region,
        service="aws-marketplace",
        target="AWSMPMeteringService.ResolveCustomer",
        body=json.dumps({"RegistrationToken": token}, separators=(",", ":")).encode(),
    )
    headers = sigv4.sign(
        call, key_id=seller.key_id, secret=seller.secret, at=clock.now(), session_token=seller.session_token
    )
    request = client.build_request("POST", endpoint, headers=headers, content=call.body)
    status, body = await send(client, request, within=within)
    try:
        return status, members(body)
    except Unanswered:
        if status < httpx.codes.INTERNAL_SERVER_ERROR:
            raise
        return status, {}  # a fault of a machine in front of AWS's own


def _facts(said: Mapping[str, Any]) -> dict[str, str]:
    found = {
        "CustomerAWSAccountId": fact(said.get("CustomerAWSAccountId")),
        "LicenseArn": fact(said.get("LicenseArn")),
        "ProductCode": fact(said.get("ProductCode")),
        "CustomerIdentifier": fact(said.get("CustomerIdentifier")),
        "AgreementId": fact(mapping(said.get("Metadata")).get("AgreementId")),
    }
    return {name: value for name, value in found.items() if value is not None}


def _error(said: Mapping[str, Any]) -> str:
    """Its name: `__type` may have a namespace before it, and more after a colon."""
    named = said.get("__type")
    return named.rpartition("#")[2].partition(":")[0] if isinstance(named, str) else ""


def _failure(said: Mapping[str, Any], status: int) -> Refused:
    name, text = _error(said), said.get("message", said.get("Message"))
    # The same name as for a registration token, where it is our own credentials that are too old.
    if isinstance(text, str) and "security token" in text.lower():
        return _unusable("credentials")
    if name in _ERRORS and status < httpx.codes.INTERNAL_SERVER_ERROR:
        return turned_away("token", _ERRORS[name])
    return _unusable(name if name.isascii() and name.isidentifier() and len(name) <= 64 else f"http_{status}")


def _unusable(why: str) -> Refused:
    """AWS did not say who it is: staff may have to do something (DisabledApiException, credentials)."""
    log.warning("aws_customer_unresolved", why=why)
    return turned_away("throttled" if why == _THROTTLED else "unresolved", Page.LATER)
