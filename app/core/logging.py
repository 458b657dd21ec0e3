"""Logs: one JSON object a line on stdout, whoever writes it, with nothing secret or personal in it.

structlog and the standard library's loggers (uvicorn, SQLAlchemy, Alembic) end in the same handler, so that there is
one format and one place of redaction (OWASP Logging Cheat Sheet, "Data to exclude"; ASVS 5.0 §16.2.5). What is bound
to `structlog.contextvars` (request_id, trace_id, account_id) stands in every line of a request.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TextIO

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

# Those that come with handlers of their own, or get them from their own configuration.
_CHATTY = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "sqlalchemy", "sqlalchemy.engine", "alembic")
# Whose DEBUG lines hold what was sent: SQL parameters, headers, mails.
_TALKATIVE = ("aiosqlite", "asyncpg", "aiosmtplib", "httpcore", "hpack")

REDACTED: Final = "[redacted]"
_DEEP = 12  # levels; what is nested deeper, or in itself, is no log entry

_SECRET_KEYS = frozenset(
    {
        *("password", "current_password", "new_password", "code", "token", "ticket", "refresh_token", "access_token"),
        *("secret", "client_secret", "authorization", "cookie", "set_cookie", "value", "params"),
        *("email", "phone", "to", "target", "identifier"),
    }
)

# Each begins at one fixed text or has a bounded length, so that none takes quadratic time on a long line.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:pass@host, RFC 3986 §3.2.1
    (re.compile(r'(?<=://)[^\s/?#"<>]+@'), f"{REDACTED}@"),
    # the same with a `/`, `?` or `#` in the password, which SQLAlchemy accepts; `:8000/` is a port
    (re.compile(r'(?<=://)[^\s/?#:@"<>]{0,128}:(?!\d{1,5}[/?#])[^\s@"<>]{1,256}@'), f"{REDACTED}@"),
    # ?email=…&token=… in a path or URL
    (re.compile(rf"(?i)([?&;](?:{'|'.join(sorted(_SECRET_KEYS))})=)[^\s&;\"'#]+"), rf"\g<1>{REDACTED}"),
    # pydantic quotes what it refuses
    (re.compile(r"(?s)(input_value=).{0,2000}?(?=, input_type=)"), rf"\g<1>{REDACTED}"),
    (re.compile(r"(?i)\b(bearer)\s+[^\s\"',;]+"), rf"\g<1> {REDACTED}"),
    # JWT, RFC 7519: a JSON object in base64url begins with eyJ; five parts when encrypted
    (re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]+(?:\.[\w-]*){2,4}"), REDACTED),
    # an e-mail address, percent-encoded too
    (re.compile(r"[^\s@<>\"'(),:;=/?&\[\]\\]{1,64}(?:@|%40)[\w-]+(?:\.[\w-]+)+"), REDACTED),
    # E.164, percent-encoded too
    (re.compile(r"(?:\+|%2[Bb])[1-9]\d{7,14}(?!\d)"), REDACTED),
    # a mobile number of mainland China; Chinese text may touch it, an id's letters and digits may not
    (re.compile(r"(?<![0-9A-Za-z_])(?<!\d\.)(?:86)?1[3-9]\d{9}(?![0-9A-Za-z_])"), REDACTED),
)
# What one of them cannot match without: most texts have nothing of it, and are looked through once.
_SUSPECT = re.compile(r"@|%40|://|[?&;]|input_value=|(?i:bearer)|eyJ|\+|%2[Bb]|1[3-9]\d{9}")


class StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes to what is stdout at the time, not to what it was when logging was configured."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


def configure(level: str) -> None:
    """Send everything from `level` (DEBUG, INFO, WARNING, ERROR) up to stdout. May be called again."""
    structlog.configure(
        processors=_OURS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = StdoutHandler()
    handler.setFormatter(_Formatter(foreign_pre_chain=_THEIRS, processors=_RENDERING))
    root = logging.getLogger()
    # Only what writes to a console: other handlers (a test's, an agent's) are somebody else's.
    root.handlers = [other for other in root.handlers if not _is_console(other)] + [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


class Lines:
    """Lines of one event at INFO which somebody writes for each request: the same line as structlog's chain would make,
    in a third of the time.

    Names of members are not looked at: none of them may be that of a secret.
    """

    def __init__(self, logger: str, event: str) -> None:
        self._logger = logging.getLogger(logger)
        self._same = {"event": event, "level": "info", "logger": logger}

    def write(self, **members: str | float) -> None:
        if not self._logger.isEnabledFor(logging.INFO):
            return
        line = {**members, **self._same, **structlog.contextvars.get_contextvars(), "timestamp": _now()}
        text = json.dumps(line)
        if _SUSPECT.search(text):
            text = json.dumps(_redact_members(line, _DEEP))
        marked = {"written": True}
        self._logger.handle(
            self._logger.makeRecord(self._logger.name, logging.INFO, "", 0, text, (), None, extra=marked)
        )


class _Formatter(ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg) if hasattr(record, "written") else super().format(record)


def redact(value: object, *, depth: int = _DEEP) -> object:
    """The value with everything secret or personal replaced, made of what JSON knows.

    Other objects become their text first: a renderer that did it afterwards would write what nobody has looked at.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return _redact_members(value, depth)
    if isinstance(value, list | tuple | Set):
        return [redact(item, depth=depth - 1) for item in value]
    return redact_text(str(value))


def redact_text(text: str) -> str:
    if not _SUSPECT.search(text):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _redact_members(members: Mapping[Any, object], depth: int) -> dict[str, object]:
    shown = {}
    for key, item in members.items():
        name, is_secret = _name(str(key))
        shown[name] = REDACTED if is_secret else redact(item, depth=depth - 1)
    return shown


@lru_cache(maxsize=1024)
def _name(key: str) -> tuple[str, bool]:
    """A member's name as it may be shown, and whether its value is a secret."""
    return redact_text(key), key.casefold().replace("-", "_") in _SECRET_KEYS


def _redact_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return _redact_members(event, _DEEP)


def _drop_colours(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn says everything twice, once for terminals
    return event


def _now() -> str:
    """RFC 3339, as structlog's TimeStamper writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _is_console(handler: logging.Handler) -> bool:
    return type(handler) in {logging.StreamHandler, StdoutHandler}


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),  # RFC 3339
    structlog.processors.StackInfoRenderer(),
)
_OURS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    *_SHARED,
    structlog.stdlib.PositionalArgumentsFormatter(),
    ProcessorFormatter.wrap_for_formatter,
]
_THEIRS: list[Processor] = [ExtraAdder(), _drop_colours, *_SHARED]
_RENDERING: list[Processor] = [
    ProcessorFormatter.remove_processors_meta,
    # Without local variables: they hold passwords and codes.
    structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, use_rich=False)),
    _redact_event,  # the last step before a line is written, so that no caller has to think of it
    structlog.processors.JSONRenderer(),  # ASCII only: no terminal, locale or lone surrogate breaks a line
]
