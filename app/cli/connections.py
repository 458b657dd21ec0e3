"""Connections with bounds: what uvicorn leaves open before a request is known to the application."""

from asyncio import TimerHandle, Transport
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024  # bytes of a request line and its headers, give or take what one read brings
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Bounded(HttpToolsProtocol):
    """Ends a connection whose next request takes longer than `seconds` from its first byte (for the first request:
    from the connection) to the end of its headers, or whose headers are too large. Nobody holds one by saying nothing,
    or a byte a second; nor by going on with a body that was answered already.

    Between requests uvicorn's own keep-alive time holds.
    """

    seconds: ClassVar[float]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: TimerHandle | None = None
        self._begun = 0  # requests whose headers were whole
        self._head = 0  # bytes of the one whose are not yet
        self._in_body = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun, in_body = self._begun, self._in_body
        super().data_received(data)
        if begun == self._begun and not in_body:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._end(_TOO_LARGE)
        if self._waiting is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._begun, self._head, self._in_body = self._begun + 1, 0, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._end(_TOO_SLOW if self._head else b"")

    def _end(self, answer: bytes) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():  # as it is when what came was no HTTP
            self.transport.write(answer)
            self.transport.close()


def bounded(seconds: float) -> type[Bounded]:
    """The protocol with this patience, in seconds."""
    return type("BoundedFor", (Bounded,), {"seconds": seconds})
