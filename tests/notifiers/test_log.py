"""The development notifier and the mailbox that reads its file."""

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import time_machine
from structlog.testing import LogCapture

from app.notifiers import log
from app.notifiers.base import Message, PermanentFailure, TemporaryFailure
from app.notifiers.log import DevMailbox, LogNotifier
from app.notifiers.recording import RecordingNotifier

PARAMS = {"code": "482913", "minutes": "10", "target": "+86*******8000"}


def message(number: int = 1, template: str = "login_code") -> Message:
    return Message(
        id=f"mesg_{number}", channel="sms", to="+8613800138000", template=template, locale="zh-CN", params=PARAMS
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "messages.jsonl"


def content(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[LogCapture]:
    capture = LogCapture()
    monkeypatch.setattr(log, "logger", structlog.wrap_logger(structlog.ReturnLogger(), processors=[capture]))
    yield capture


async def test_a_message_becomes_one_line_of_the_file(path: Path) -> None:
    with time_machine.travel(datetime(2026, 12, 1, 8, 0, tzinfo=UTC), tick=False):
        await LogNotifier(path).send(message())
    line = content(path)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    record = json.loads(line)
    assert "482913" in record.pop("text")
    assert record == {
        "id": "mesg_1",
        "channel": "sms",
        "to": "+8613800138000",
        "template": "login_code",
        "locale": "zh-CN",
        "params": PARAMS,
        "sent_at": "2026-12-01T08:00:00.000Z",
    }


async def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    await LogNotifier(path).send(message())
    assert mode(path) == 0o600


async def test_the_log_learns_neither_the_address_nor_the_code(path: Path, logged: LogCapture) -> None:
    notifier = LogNotifier(path)
    await notifier.send(message())
    await notifier.close()
    assert logged.entries == [
        {
            "event": "message_sent",
            "id": "mesg_1",
            "channel": "sms",
            "template": "login_code",
            "log_level": "info",
        }
    ]


async def test_an_unknown_template_is_permanent(path: Path) -> None:
    with pytest.raises(PermanentFailure, match=r"^no_template$"):
        await LogNotifier(path).send(message(template="no_such"))
    assert list(path.parent.parent.iterdir()) == []


async def test_a_file_that_cannot_be_written_is_temporary(tmp_path: Path) -> None:
    with pytest.raises(TemporaryFailure, match=r"^file$"):
        await LogNotifier(tmp_path).send(message())


async def test_the_mailbox_shows_the_newest_first_and_no_more_than_asked(path: Path) -> None:
    notifier = LogNotifier(path)
    for number in range(5):
        await notifier.send(message(number))
    assert [shown["id"] for shown in DevMailbox(path).messages(3)] == ["mesg_4", "mesg_3", "mesg_2"]
    assert [shown["id"] for shown in DevMailbox(path).messages(5)] == [f"mesg_{n}" for n in (4, 3, 2, 1, 0)]
    assert len(DevMailbox(path).messages(100)) == 5
    assert DevMailbox(path).messages(0) == []


def test_the_mailbox_is_empty_without_a_file_or_with_an_empty_one(path: Path) -> None:
    assert DevMailbox(path).messages(10) == []
    path.parent.mkdir()
    path.touch()
    assert DevMailbox(path).messages(10) == []


@pytest.mark.parametrize("torn", ['{"id": "mesg_2", "te', "{", '{"id": "mesg_2"}'])
async def test_the_mailbox_passes_over_a_half_written_last_line(path: Path, torn: str) -> None:
    await LogNotifier(path).send(message())
    write(path, torn.encode())
    assert [shown["id"] for shown in DevMailbox(path).messages(10)] == ["mesg_1"]


async def test_the_mailbox_passes_over_lines_that_are_no_messages(path: Path) -> None:
    write(path, b"\xff\xfe\n[1]\n\n")
    await LogNotifier(path).send(message())
    assert [shown["id"] for shown in DevMailbox(path).messages(10)] == ["mesg_1"]


@pytest.mark.parametrize("block", [1, 7, 100, 4096])
async def test_the_mailbox_joins_lines_across_blocks(path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_BLOCK", block)
    notifier = LogNotifier(path)
    for number in range(4):
        await notifier.send(message(number))
    shown = DevMailbox(path).messages(2)
    assert [one["id"] for one in shown] == ["mesg_3", "mesg_2"]
    assert "验证码" in str(shown[0]["text"])


def test_the_mailbox_reads_only_the_end_of_a_big_file(path: Path) -> None:
    path.parent.mkdir()
    with path.open("wb") as file:
        file.seek(1 << 40)  # a sparse file of a tebibyte: reading all of it would not end
        file.write(b'\n{"id": "mesg_1"}\n')
    assert DevMailbox(path).messages(1) == [{"id": "mesg_1"}]


async def test_the_recording_notifier_fails_as_often_as_told() -> None:
    notifier = RecordingNotifier()
    notifier.fail_with(TemporaryFailure("connect"), times=2)
    for _ in range(2):
        with pytest.raises(TemporaryFailure):
            await notifier.send(message())
    assert notifier.sent == []
    await notifier.send(message())
    await notifier.close()
    assert notifier.sent == [message()]
