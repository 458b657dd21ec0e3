"""A notifier for tests: remembers what it was given, and fails when told to."""

from app.notifiers.base import Message


class RecordingNotifier:
    """`sent` holds the messages that were delivered, oldest first; failed attempts are not in it."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._failures: list[Exception] = []

    def fail_with(self, exception: Exception, times: int = 1) -> None:
        """Let the next `times` attempts raise `exception`, after those that were ordered before."""
        self._failures += [exception] * times

    async def send(self, message: Message) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.sent.append(message)

    async def close(self) -> None:
        pass
