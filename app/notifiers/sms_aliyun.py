"""Text messages through Alibaba Cloud's Short Message Service, action SendSms of version 2017-05-25.

Sources: https://www.alibabacloud.com/help/en/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms and its list
of error codes.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Mapping

import httpx

from app.core import acs3, clock
from app.core.outgoing import hindrance, quiet_client, read_some
from app.notifiers.base import Message, PermanentFailure, TemporaryFailure

_ACTION, _VERSION = "SendSms", "2017-05-25"
_LONGEST_ANSWER = 64 * 1024  # bytes; a real one has about 200
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")

# Answers about this number, template, signature or these parameters: the same message will get them again. All
# others (flow control, the state of our account, the gateway's own errors) may be different next time.
_PERMANENT = frozenset(
    {
        "isv.BLACK_KEY_CONTROL_LIMIT",
        "isv.COUNTRY_RESTRICTED",
        "isv.DOMESTIC_NUMBER_NOT_SUPPORTED",
        "isv.INVALID_JSON_PARAM",
        "isv.INVALID_PARAMETERS",
        "isv.MOBILE_COUNT_OVER_LIMIT",
        "isv.MOBILE_NUMBER_ILLEGAL",
        "isv.NOT_SUPPORTED_COUNTRY",
        "isv.PARAM_LENGTH_LIMIT",
        "isv.PARAM_NOT_SUPPORT_URL",
        "isv.SMS_SIGNATURE_ILLEGAL",
        "isv.SMS_TEMPLATE_ILLEGAL",
        "isv.TEMPLATE_MISSING_PARAMETERS",
        "isv.TEMPLATE_PARAMS_ILLEGAL",
    }
)


class AliyunSmsNotifier:
    """Sends by the vendor's templates: it allows no free text.

    `templates` maps `<template>:<locale>`, or `<template>` for all languages, to the vendor's template code.
    The message id travels as OutId. SendSms has no idempotency key: a repeat after a lost answer is a second text
    message. `timeout` is in seconds, for the whole exchange.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        key_id: str,
        key_secret: str,
        sign_name: str,
        templates: Mapping[str, str],
        timeout: int,
    ) -> None:
        self._endpoint = httpx.URL(endpoint)
        self._key_id = key_id
        self._key_secret = key_secret
        self._sign_name = sign_name
        self._templates = templates
        self._timeout = timeout
        self._client = quiet_client(timeout)

    async def send(self, message: Message) -> None:
        code = self._templates.get(f"{message.template}:{message.locale}") or self._templates.get(message.template)
        if not code:
            raise PermanentFailure("no_template")
        # Raised outside of any `except`, so that no request with a number in it is attached as context.
        if failure := await self._attempt(self._request(message, code)):
            raise failure

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, message: Message, template_code: str) -> httpx.Request:
        params = {name: value for name, value in message.params.items() if value is not None}
        call = acs3.Call(
            host=self._endpoint.netloc.decode("ascii"),
            action=_ACTION,
            version=_VERSION,
            query={
                "PhoneNumbers": message.to.removeprefix("+"),  # country code and number, for mainland ones as well
                "SignName": self._sign_name,
                "TemplateCode": template_code,
                "TemplateParam": json.dumps(params, ensure_ascii=False, separators=(",", ":")),
                "OutId": message.id,
            },
        )
        headers = acs3.sign(
            call,
            key_id=self._key_id,
            secret=self._key_secret,
            at=clock.now(),
            nonce=secrets.token_hex(16),
        )
        url = self._endpoint.copy_with(path="/", query=acs3.canonical_query(call.query).encode())
        return self._client.build_request(call.method, url, headers=headers)

    async def _attempt(self, request: httpx.Request) -> PermanentFailure | TemporaryFailure | None:
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(request, stream=True)
                try:
                    body = await read_some(response, _LONGEST_ANSWER)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            return TemporaryFailure(hindrance(error))
        return _failure(response.status_code, _code(body))


def _code(body: bytes) -> str | None:
    """The `Code` of an answer, or None for anything that is not the vendor's JSON."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    code = answer.get("Code") if isinstance(answer, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _failure(status: int, code: str | None) -> PermanentFailure | TemporaryFailure | None:
    if code == "OK" and 200 <= status < 300:
        return None
    if code is None:
        return TemporaryFailure("unreadable" if 200 <= status < 300 else f"http_{status}")
    if code in _PERMANENT and status < 500:
        return PermanentFailure(code)
    return TemporaryFailure(code)
