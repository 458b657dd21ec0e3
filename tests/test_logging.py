"""What a log line is, and what never stands in one."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.core.logging import _PATTERNS, _SUSPECT, Lines, StdoutHandler, configure, redact, redact_text

Line = dict[str, object]
UUID = "0197c0de-1111-7222-8333-138001380001"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhY250XzEifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure("INFO")
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers = before
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[Line]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def only(capsys: pytest.CaptureFixture[str]) -> Line:
    (line,) = lines(capsys)
    return line


def test_a_line_is_json_with_level_logger_and_utc_time(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("app.test").info("started", port=8000)
    line = only(capsys)
    assert (line["event"], line["level"], line["logger"], line["port"]) == ("started", "info", "app.test", 8000)
    assert str(line["timestamp"]).endswith("Z")
    assert datetime.fromisoformat(str(line["timestamp"])).tzinfo == UTC


def test_a_line_of_the_standard_library_has_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn.error").info("listening on %s", "8000", extra={"color_message": "x", "port": 1})
    line = only(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("listening on 8000", "info", "uvicorn.error")
    assert line["port"] == 1
    assert "color_message" not in line
    assert line.keys() >= {"timestamp"}


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1b[31mb", 'a", "event": "b', "a\u2028b\u0085c\x0bd"])
def test_what_was_sent_begins_no_line_and_ends_no_value(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """OWASP Logging Cheat Sheet, "Event collection": no forged entries."""
    structlog.get_logger("app.test").info("looked", at=text)
    written = capsys.readouterr().out
    assert written.count("\n") == 1
    assert not set(written[:-1]) & set("\r\x0b\x1b")
    assert json.loads(written)["event"] == "looked"
    assert json.loads(written)["at"] == text


@pytest.mark.parametrize("name", ["app", "uvicorn", "uvicorn.access", "sqlalchemy.engine", "alembic.runtime"])
def test_each_line_is_written_once_however_often_logging_is_configured(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger(name).addHandler(handler := logging.StreamHandler())
    configure("INFO")
    configure("INFO")
    logging.getLogger(name).warning("once")
    logging.getLogger(name).removeHandler(handler)
    assert [line["event"] for line in lines(capsys)] == ["once"]
    assert sum(isinstance(handler, StdoutHandler) for handler in logging.getLogger().handlers) == 1


def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("WARNING")
    structlog.get_logger("app").info("quiet")
    logging.getLogger("uvicorn").info("quiet")
    assert lines(capsys) == []


def test_what_is_bound_to_the_request_stands_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1", trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    structlog.get_logger("app").info("ours")
    logging.getLogger("sqlalchemy").warning("theirs")
    assert [(line["event"], line["request_id"]) for line in lines(capsys)] == [("ours", "r-1"), ("theirs", "r-1")]


@pytest.mark.parametrize("sent", ["r-1", "13800138000", JWT, "li@example.com", 'a\n"b 观测云\ud800'])
def test_a_line_that_is_written_for_each_request_is_the_line_that_others_are(
    sent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.contextvars.bind_contextvars(request_id=sent)
    structlog.get_logger("app.test").info("request", route="/v1/account", status=200, ms=1.5)
    Lines("app.test", "request").write(route="/v1/account", status=200, ms=1.5)
    usual, quick = lines(capsys)
    assert {str(line.pop("timestamp"))[-1] for line in (usual, quick)} == {"Z"}
    assert quick == usual


def test_a_line_that_is_written_for_each_request_is_left_out_below_the_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("WARNING")
    Lines("app.test", "request").write(status=200)
    assert lines(capsys) == []


@pytest.mark.parametrize(
    "key",
    [
        *("password", "current_password", "new_password", "code", "token", "ticket", "refresh_token", "access_token"),
        *("secret", "authorization", "Cookie", "email", "phone", "to", "target", "identifier", "value", "params"),
    ],
)
def test_a_secret_key_hides_its_value_at_any_depth(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("app").info("sent", **{key: "hunter2"}, outer=[{"inner": {key: ["hunter2", {"x": 1}]}}])
    line = only(capsys)
    assert line[key] == "[redacted]"
    assert line["outer"] == [{"inner": {key: "[redacted]"}}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mail to li.lei+x@mail.example.com bounced", "mail to [redacted] bounced"),
        ("发送到li@example.com失败", "[redacted]"),
        (
            "GET /internal/v1/accounts?email=li%40example.com&limit=5",
            "GET /internal/v1/accounts?email=[redacted]&limit=5",
        ),
        ("Key (email_key)=(li@example.com) already exists.", "Key (email_key)=([redacted]) already exists."),
        ("call +8613800138000 now", "call [redacted] now"),
        ("call %2B14155550123", "call [redacted]"),
        ("手机号13800138000已存在", "手机号[redacted]已存在"),
        ("8613800138000", "[redacted]"),
        (f"got {JWT} here", "got [redacted] here"),
        ("authorization was Bearer abc.def-123", "authorization was Bearer [redacted]"),
        ("postgresql+asyncpg://svc:p@ss@db:5432/app", "postgresql+asyncpg://[redacted]@db:5432/app"),
        ("postgresql://svc:pa/ss@db.example.com/app", "postgresql://[redacted]@db.example.com/app"),
        ("smtp://robot@example.com:pw@mail.example.com:587", "smtp://[redacted]@mail.example.com:587"),
    ],
)
def test_personal_data_is_found_by_its_form(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("app").info(text, note=text)
    line = only(capsys)
    if shown == "[redacted]":
        assert "example.com" not in str(line)
        assert "138" not in str(line["event"])
    else:
        assert line["event"] == line["note"] == shown


@pytest.mark.parametrize(
    "text",
    [
        UUID,
        f"acnt_{UUID.replace('-', '')}",
        "acnt_13800138000138001380001380013800",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "2026-07-01T10:00:00.138001Z",
        "2026-07-01T10:00:00+08:00",
        "1785000000 1785000000123 0.13800138000",
        "http://127.0.0.1:8000/v1/account?limit=20",
        "sqlite+aiosqlite:///var/app.db",
    ],
)
def test_ids_times_and_plain_urls_stay_as_they_are(text: str) -> None:
    assert redact_text(text) == text


def test_an_object_is_made_text_before_it_is_looked_at() -> None:
    class Contact:
        def __str__(self) -> str:
            return "li@example.com"

    ident = uuid4()
    assert redact({"who": Contact(), "id": ident, "both": (1, {"li@example.com": None})}) == {
        "who": "[redacted]",
        "id": str(ident),
        "both": [1, {"[redacted]": None}],
    }


def test_something_nested_in_itself_ends() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "[redacted]" in str(redact(endless))


def test_a_traceback_is_structured_and_has_neither_locals_nor_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(password: str) -> None:
        raise ValueError(f"no mail to li@example.com, {len(password)} characters")

    for log in (structlog.get_logger("app").exception, logging.getLogger("uvicorn.error").exception):
        try:
            fail("hunter2-hunter2")
        except ValueError:
            log("failed")
        out = capsys.readouterr().out
        (trace,) = json.loads(out)["exception"]
        assert trace["exc_type"] == "ValueError"
        assert trace["exc_value"] == "no mail to [redacted], 15 characters"
        assert [frame["name"] for frame in trace["frames"]][-1] == "fail"
        assert "hunter2" not in out
        assert "locals" not in trace["frames"][-1]


def test_what_pydantic_quotes_of_a_refused_value_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    class Body(BaseModel):
        new_password: int

    try:
        Body.model_validate({"new_password": "hunter2"})
    except ValidationError:
        structlog.get_logger("app").exception("refused")
    assert "hunter2" not in capsys.readouterr().out


def test_a_lone_surrogate_does_not_lose_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("app").info("name \ud800 观测云")
    assert only(capsys)["event"] == "name \ud800 观测云"


def test_a_long_line_is_redacted_quickly() -> None:
    for text in ("a" * 100_000, "eyJ" * 30_000, "://" * 30_000, "+1" * 50_000, "input_value=" * 3_000):
        assert redact_text(text)


@settings(derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "@",
                    "%40",
                    "://",
                    ":",
                    "?",
                    "&",
                    ";",
                    "=",
                    "email",
                    "token",
                    "input_value=",
                    ", input_type=",
                    "Bearer ",
                ),
                *("eyJ", "a.b", ".", "+", "%2b", "%2B", "86", "13800138000", "li", "example.com", " ", "/", "x", "中"),
            ]
        ),
        max_size=12,
    )
)
def test_a_text_that_is_passed_over_has_nothing_in_it(parts: list[str]) -> None:
    """`_SUSPECT` only spares the looking: what it lets through is what all patterns would leave alone."""
    text = "".join(parts)
    if not _SUSPECT.search(text):
        assert all(not pattern.search(text) for pattern, _ in _PATTERNS)
