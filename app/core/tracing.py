"""OpenTelemetry traces: a request, its transactions and SQL, its calls of others; and what a worker does.

Nothing of it costs anything while `GUANCE_OTLP_URL` is not set: no provider is made, so FastAPI begins no span, and
what hangs below one asks for it in a context variable. Attribute names: OpenTelemetry semantic conventions 1.44.
"""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import structlog
from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from app.core.config import Settings

if TYPE_CHECKING:
    from app.core.trace_export import Exporting

_LONGEST_STATEMENT = 2000  # characters
_OPERATION = re.compile(r"\s*(\w+)")

_NOTHING: AbstractContextManager[Span | None] = nullcontext()

_tracer: trace.Tracer = trace.NoOpTracer()


def prepare(settings: Settings, *, version: str) -> "Exporting | None":
    """What sends spans, to be started; None where they are sent nowhere: the SDK is not even loaded then."""
    global _tracer  # noqa: PLW0603 - as OpenTelemetry's own: what begins a span is given nothing to begin it with
    if settings.otlp_url is None:
        return None
    from app.core.trace_export import Exporting  # noqa: PLC0415

    exporting = Exporting(
        url=settings.otlp_url.get_secret_value(),
        service=settings.trace_service,
        version=version,
        ratio=settings.trace_ratio,
    )
    _tracer = exporting.provider.get_tracer("guance")
    return exporting


def ids_of(span: Span) -> tuple[str, str] | None:
    """Trace and span id in hexadecimal; None for no span."""
    context = span.get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def current_ids() -> tuple[str, str] | None:
    """Of the span that this is part of, sent or not."""
    return ids_of(trace.get_current_span())


def is_on() -> bool:
    """Whether spans are made in this process; decided before anything that makes them."""
    return not isinstance(_tracer, trace.NoOpTracer)


def part(name: str, **attributes: str) -> AbstractContextManager[Span | None]:
    """A span below the current one; none where there is none, or where it is not recorded."""
    if not trace.get_current_span().is_recording():
        return _NOTHING
    return _span(name, SpanKind.INTERNAL, attributes)


def work(name: str, **attributes: str) -> AbstractContextManager[Span | None]:
    """A trace of its own, for what a worker does; its lines in the log carry the ids."""
    return _root(name, attributes) if is_on() else _NOTHING


def call(method: str, host: str, port: int | None) -> AbstractContextManager[Span | None]:
    """A request to somebody else's server: who is asked, never what."""
    if not trace.get_current_span().is_recording():
        return _NOTHING
    attributes: dict[str, str | int] = {"http.request.method": method, "server.address": host}
    if port:
        attributes["server.port"] = port
    return _span(method, SpanKind.CLIENT, attributes)


def answered(span: Span | None, status: int) -> None:
    """What a call came to."""
    if span is not None:
        span.set_attribute("http.response.status_code", status)
        if status >= 400:
            span.set_status(Status(StatusCode.ERROR))


def begin_statement(system: str, statement: str) -> Span | None:
    """To be ended with `end_statement`. The text of a statement has marks in the place of its parameters."""
    if not trace.get_current_span().is_recording():
        return None
    match = _OPERATION.match(statement)
    operation = match[1].upper() if match else "SQL"
    return _tracer.start_span(
        operation,
        kind=SpanKind.CLIENT,
        attributes={
            "db.system.name": system,
            "db.operation.name": operation,
            "db.query.text": statement[:_LONGEST_STATEMENT],
        },
    )


def end_statement(span: Span | None, error: BaseException | None = None) -> None:
    if span is None:
        return
    if error is not None:
        _mark(span, error)
    span.end()


def hand_on(headers: MutableMapping[str, str]) -> None:
    """The trace in a header (W3C Trace Context), for a service of our own. Strangers are not told."""
    if trace.get_current_span().get_span_context().is_valid:
        propagate.inject(headers)


@contextmanager
def _root(name: str, attributes: Mapping[str, str]) -> Iterator[Span]:
    token = contexts.attach(contexts.Context())
    try:
        with (
            _span(name, SpanKind.CONSUMER, attributes) as span,
            structlog.contextvars.bound_contextvars(**_named(ids_of(span))),
        ):
            yield span
    finally:
        contexts.detach(token)


def _named(ids: tuple[str, str] | None) -> dict[str, str]:
    return {"trace_id": ids[0], "span_id": ids[1]} if ids else {}


@contextmanager
def _span(name: str, kind: SpanKind, attributes: Mapping[str, str | int]) -> Iterator[Span]:
    """The current span meanwhile. Of an error only its kind is kept."""
    with _tracer.start_as_current_span(
        name, kind=kind, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            _mark(span, error)
            raise


def _mark(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
