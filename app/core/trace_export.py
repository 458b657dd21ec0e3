"""Where spans go: by OTLP over HTTP to a collector such as DataKit.

Spans leave the process with the attributes named here and no others, without events and messages: paths, queries,
parameters and the texts of errors hold names, codes and tokens (OWASP Logging Cheat Sheet, "Data to exclude").
"""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status

_SHOWN = frozenset(
    {
        *("http.request.method", "http.route", "http.response.status_code", "url.scheme", "network.protocol.version"),
        *("server.address", "server.port", "error.type"),
        *("db.system.name", "db.operation.name", "db.query.text"),
        *("guance.channel", "guance.template", "guance.outcome", "guance.provider"),
    }
)
_OF_THE_CALLER = frozenset({"server.address", "server.port"})  # of a request: the Host header, which anybody writes


class Exporting:
    """The one provider of this process. Made before a fork, started after it: the sending takes a thread."""

    def __init__(self, *, url: str, service: str, version: str, ratio: float) -> None:
        sampled = TraceIdRatioBased(ratio)
        self._url = url
        self.provider = TracerProvider(
            # A caller may join us to its trace, but not make us record more than we want to.
            sampler=ParentBased(sampled, remote_parent_sampled=sampled, remote_parent_not_sampled=ALWAYS_OFF),
            resource=Resource.create({"service.name": service, "service.version": version}),
            shutdown_on_exit=False,
        )

    def start(self) -> None:
        """Send spans from now on, in the background. What the collector does not take is dropped, never waited for."""
        self.provider.add_span_processor(BatchSpanProcessor(Cleaned(OTLPSpanExporter(endpoint=self._url))))

    def stop(self) -> None:
        """Send what there still is; may take seconds."""
        self.provider.shutdown()


class Cleaned(SpanExporter):
    """Hands on spans of what may be seen of them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_cleaned(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _cleaned(span: ReadableSpan) -> ReadableSpan:
    hidden = _OF_THE_CALLER if span.kind is SpanKind.SERVER else frozenset()
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={key: value for key, value in (span.attributes or {}).items() if key in _SHOWN - hidden},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
