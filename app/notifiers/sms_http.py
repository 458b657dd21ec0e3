"""Text messages through a gateway of the operator's own: one POST each."""

import asyncio
import json

import httpx

from app.core.outgoing import hindrance, quiet_client, read_some
from app.notifiers.base import Message, PermanentFailure, TemporaryFailure

_TRY_AGAIN = {408, 425, 429}  # RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4
_DRAINED = 16 * 1024  # bytes of an answer worth reading so that its connection can be used again


class HttpSmsNotifier:
    """POSTs `{id, to, template, locale, params}` as JSON to `url`.

    2xx is accepted, 4xx permanent but for 408, 425 and 429, anything else temporary. The receiver drops repeats
    by `id`. Redirects are not followed: a code must not go where nobody configured it to. `timeout` is in seconds,
    for the whole exchange.
    """

    def __init__(self, url: str, timeout: int) -> None:
        self._url = httpx.URL(url)
        self._timeout = timeout
        self._client = quiet_client(timeout)

    async def send(self, message: Message) -> None:
        # Raised outside of any `except`, so that no request with a number in it is attached as context.
        if failure := await self._attempt(message):
            raise failure

    async def close(self) -> None:
        await self._client.aclose()

    async def _attempt(self, message: Message) -> PermanentFailure | TemporaryFailure | None:
        body = {
            "id": message.id,
            "to": message.to,
            "template": message.template,
            "locale": message.locale,
            "params": dict(message.params),
        }
        status: int | None = None
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream(
                    "POST",
                    self._url,
                    content=json.dumps(body),
                    headers={"content-type": "application/json"},
                ) as response,
            ):
                status = response.status_code
                await read_some(response, _DRAINED)
        except (httpx.HTTPError, TimeoutError) as error:
            if status is None:  # a body that breaks off changes nothing about the answer
                return TemporaryFailure(hindrance(error))
        return _failure(status)


def _failure(status: int) -> PermanentFailure | TemporaryFailure | None:
    if 200 <= status < 300:
        return None
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        return PermanentFailure(f"http_{status}")
    return TemporaryFailure(f"http_{status}")
