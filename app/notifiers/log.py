"""Messages that stay here: a file for development, and its reader for the page that shows them."""

import json
import os
from pathlib import Path

import structlog

from app.core import clock
from app.notifiers.base import Message, PermanentFailure, TemporaryFailure
from app.notifiers.templates import UnknownTemplate, text_of

_BLOCK = 64 * 1024  # bytes read at a time, from the end of the file towards its start

logger = structlog.get_logger()


class LogNotifier:
    """Appends each message to a file instead of sending it; the log learns only that there was one.

    The file holds codes and addresses, so only its owner may read it. Production refuses this notifier.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, message: Message) -> None:
        try:
            line = _line(message)
        except UnknownTemplate:
            raise PermanentFailure("no_template") from None
        try:
            self._append(line)
        except OSError:
            raise TemporaryFailure("file") from None
        logger.info("message_sent", id=message.id, channel=message.channel, template=message.template)

    async def close(self) -> None:
        pass

    def _append(self, line: bytes) -> None:
        """One `write` under O_APPEND, so that the lines of several processes do not mix (POSIX.1-2017, write())."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.write(file, line) < len(line):
                raise OSError("the disk is full")
        finally:
            os.close(file)


def _line(message: Message) -> bytes:
    record = {
        "id": message.id,
        "channel": message.channel,
        "to": message.to,
        "template": message.template,
        "locale": message.locale,
        "params": dict(message.params),
        "text": text_of(message),
        "sent_at": clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


class DevMailbox:
    """What LogNotifier has written, newest first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def messages(self, limit: int) -> list[dict[str, object]]:
        """Up to `limit` messages; reads only the end of the file. A missing file holds none."""
        found: list[dict[str, object]] = []
        for line in reversed(self._last_lines(limit)):
            try:
                record = json.loads(line)
            except ValueError:  # half-written when a process died
                continue
            if isinstance(record, dict):
                found.append(record)
        return found

    def _last_lines(self, limit: int) -> list[bytes]:
        """The last `limit` finished lines; what follows the last line end is still being written."""
        if limit < 1:
            return []
        try:
            with self._path.open("rb") as file:
                start = file.seek(0, os.SEEK_END)
                blocks: list[bytes] = []
                ends = 0
                while start > 0 and ends <= limit:
                    size = min(_BLOCK, start)
                    start = file.seek(start - size)
                    blocks.append(file.read(size))
                    ends += blocks[-1].count(b"\n")
        except FileNotFoundError:
            return []
        return b"".join(reversed(blocks)).split(b"\n")[:-1][-limit:]
