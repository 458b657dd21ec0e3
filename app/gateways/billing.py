"""The billing service: what an account owes. It is asked before an account is closed."""

import asyncio
from typing import Protocol

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from app.core.outgoing import quiet_client, read_some

_LONGEST_ANSWER = 64 * 1024  # bytes; a real one has about 50


class CannotTell(Exception):
    """The billing service does not say: it is away, or answers something else than it should."""


class Standing(BaseModel):
    """What stands against the account."""

    model_config = ConfigDict(frozen=True, strict=True)

    arrears: bool
    unsettled_bills: bool


class Billing(Protocol):
    async def standing(self, account_id: str) -> Standing:
        """Raises CannotTell."""

    async def close(self) -> None: ...


class NoBilling:
    """Nobody owes anything: for development, where there is no billing service."""

    async def standing(self, account_id: str) -> Standing:
        return Standing(arrears=False, unsettled_bills=False)

    async def close(self) -> None:
        pass


class HttpBilling:
    """`GET {url}/accounts/{acnt_…}/standing` answers `{"arrears": …, "unsettled_bills": …}`.

    Anything but a 200 of that form is "cannot tell": never "owes nothing". `timeout` in seconds.
    """

    def __init__(self, url: str, *, token: str | None, timeout: int) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._client = quiet_client(timeout, ours=True)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def standing(self, account_id: str) -> Standing:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream(
                    "GET", f"{self._url}/accounts/{account_id}/standing", headers=self._headers
                ) as response,
            ):
                body = await read_some(response, _LONGEST_ANSWER)
        except (httpx.HTTPError, TimeoutError):
            raise CannotTell from None
        if response.status_code != 200 or len(body) > _LONGEST_ANSWER:
            raise CannotTell
        try:
            return Standing.model_validate_json(body)
        except ValidationError:
            raise CannotTell from None

    async def close(self) -> None:
        await self._client.aclose()
