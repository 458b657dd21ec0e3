"""One delivery of a webhook: signed, to a target that was looked at, without following redirects."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx
from standardwebhooks import Webhook

from app.core.outgoing import hindrance, quiet_client
from app.gateways.targets import Address, Target, TargetRefused, Targets, host_of

CONTENT_TYPE = "application/cloudevents+json"  # CloudEvents HTTP binding §3.2, structured mode


@dataclass(frozen=True, slots=True)
class Reply:
    """How an endpoint answered: `status`, or in `error` a word for why it did not."""

    status: int | None
    error: str | None
    milliseconds: int

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class WebhookGateway:
    """POSTs events by Standard Webhooks 1.0 (https://www.standardwebhooks.com). `timeout` in seconds, for all of it."""

    def __init__(self, targets: Targets, *, timeout: int) -> None:
        self._targets = targets
        self._timeout = timeout
        # A kept connection belongs to an address, and its certificate to the name that was asked for when it was made:
        # the next endpoint at the address may have another name.
        self._client = quiet_client(timeout, direct=True)

    async def check(self, url: str) -> None:
        """Raises TargetRefused for a URL that nothing may be sent to."""
        await self._targets.resolve(url)

    async def send(self, url: str, *, event_id: str, body: str, secrets: Sequence[str], at: datetime) -> Reply:
        """One attempt; `secrets` are the endpoint's, the newest first: each signs. Raises nothing of the network."""
        headers = {
            "content-type": CONTENT_TYPE,
            "user-agent": "Guance-Webhooks/1.0",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(Webhook(secret).sign(event_id, at, body) for secret in secrets),
        }
        began = time.perf_counter()
        status, error = await self._attempt(url, headers, body)
        return Reply(status, error, round((time.perf_counter() - began) * 1000))

    async def close(self) -> None:
        self._targets.close()
        await self._client.aclose()

    async def _attempt(self, url: str, headers: dict[str, str], body: str) -> tuple[int | None, str | None]:
        try:
            async with asyncio.timeout(self._timeout):
                target = await self._targets.resolve(url)
                return await self._post(target, headers, body), None
        except TargetRefused as refused:
            return None, refused.code
        except (httpx.HTTPError, TimeoutError) as failure:
            return None, hindrance(failure)

    async def _post(self, target: Target, headers: dict[str, str], body: str) -> int:
        """To the first address that takes the connection."""
        *others, last = target.addresses
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._post_to(address, target.url, headers, body)
        return await self._post_to(last, target.url, headers, body)

    async def _post_to(self, address: Address, url: httpx.URL, headers: dict[str, str], body: str) -> int:
        async with self._client.stream(
            "POST",
            url.copy_with(host=str(address)),  # nothing is resolved again
            content=body,
            headers={**headers, "host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": host_of(url)},  # whose certificate is asked for and checked
        ) as response:
            return response.status_code  # what else it says is not read
