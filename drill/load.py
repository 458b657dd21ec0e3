"""The load: customers one after another in some lanes, readers of the event feed, a webhook endpoint."""

import asyncio
from dataclasses import dataclass, field

from app.models.events import EventType
from drill.client import Caller, GaveUp, ServiceCaller, Traffic
from drill.journeys import Customer, World
from drill.ledger import Ledger
from drill.site import Site


@dataclass(frozen=True)
class Pace:
    """`lanes` customers at a time, `pause` seconds between two of their steps; times to wait in seconds."""

    lanes: int
    pause: float
    patience: float
    code_within: float


@dataclass
class FeedReader:
    """Follows the feed, as a consumer does: from where its last page ended."""

    service: ServiceCaller
    read: list[str] = field(default_factory=list)  # ids, in the order in which they came
    _cursor: str | None = None

    async def follow(self) -> None:
        while True:
            try:
                await self.page(wait=10)
            except GaveUp:
                continue

    async def page(self, *, wait: int = 0) -> int:
        """Read on; how many events there were."""
        after = {"after": self._cursor} if self._cursor else {}
        answer = await self.service.call(
            "GET", "/events", params={"limit": 200, "wait": wait, **after}, route="/events"
        )
        items = answer.expect(200).body["items"]
        self.read += [event["id"] for event in items]
        self._cursor = answer.body["next_cursor"]
        return len(items)


class Load:
    """Runs until `stop`; then everybody finishes the step under way."""

    def __init__(self, site: Site, pace: Pace) -> None:
        self.site = site
        self.traffic, self.ledger = Traffic(), Ledger()
        self._pace = pace
        self._stopping = False
        self._lanes: list[asyncio.Task[None]] = []
        self._following: asyncio.Task[None] | None = None
        self.customers = 0

    async def start(self) -> None:
        pace, site = self._pace, self.site
        caller = Caller(site.proxy.url, self.traffic, patience=pace.patience)
        self.credentials = await site.service_client()
        service = ServiceCaller(caller, *self.credentials)
        self.world = World(
            base=site.proxy.url,
            traffic=self.traffic,
            ledger=self.ledger,
            mailbox=site.sinks.mailbox,
            service=service,
            patience=pace.patience,
            code_within=pace.code_within,
            pause=pace.pause,
        )
        self.reader = FeedReader(service)
        hook = {
            "url": f"http://127.0.0.1:{site.sinks.http_port}/hooks",
            "event_types": [one.value for one in EventType],
        }
        (await service.call("POST", "/webhook-endpoints", json=hook)).expect(201)
        self._following = asyncio.create_task(self.reader.follow())
        self._lanes = [asyncio.create_task(self._lane(number / pace.lanes)) for number in range(pace.lanes)]

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._lanes)
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def check(self) -> None:
        """Raises what ended a lane: a bug of the drill."""
        for task in (*self._lanes, self._following):
            if task is not None and task.done() and (error := task.exception()):
                raise error

    async def _lane(self, delay: float) -> None:
        await asyncio.sleep(delay * 2)
        while not self._stopping:
            self.customers += 1
            await Customer(self.world, lambda: self._stopping).live()
