"""Traces: a request, its SQL and its calls of others in one, under the id of the log; and nothing secret in them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode
from sqlalchemy import text

from app.core import outgoing, trace_export, tracing
from app.core.errors import DatabaseUnavailable
from tests.api.test_log_privacy import buy_on_marketplaces, journey, stands_in
from tests.support.api import Api, empty, running
from tests.support.clouds import MARKETPLACES
from tests.support.receivers import answers, receiver

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED: dict[str, Any] = {"otlp_url": "http://127.0.0.1:1/otel/v1/traces", "trace_ratio": 1.0}


class Collector(InMemorySpanExporter):
    """What would be sent, as it would be sent."""

    def __init__(self, **_: object) -> None:
        super().__init__()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    made = Collector()
    monkeypatch.setattr(trace_export, "OTLPSpanExporter", lambda **_: made)
    monkeypatch.setattr(tracing, "_tracer", NoOpTracer())  # put back afterwards
    return made


@pytest.fixture
async def traced(database_url: str, collector: Collector) -> AsyncIterator[Api]:
    async with running(database_url, **TRACED, **MARKETPLACES) as api:
        await empty(api)
        yield api


def spans(api: Api, collector: Collector) -> list[ReadableSpan]:
    api.app.state.exporting.provider.force_flush()
    return list(collector.get_finished_spans())


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def shown(span: ReadableSpan) -> str:
    """Everything of it that is sent."""
    assert span.resource is not None
    return json.dumps([span.name, span.to_json(), dict(span.resource.attributes)], ensure_ascii=False)


async def test_a_request_its_transaction_and_its_statements_are_one_trace(traced: Api, collector: Collector) -> None:
    holder = await traced.register()
    collector.clear()

    headers = {**holder.auth, "traceparent": f"00-{TRACE}-{CALLER}-01"}
    answer = await traced.client.get("/v1/account", headers=headers)

    found = [span for span in spans(traced, collector) if trace_of(span) == TRACE]
    [request] = [span for span in found if span.name == "GET /v1/account"]
    assert request.kind is SpanKind.SERVER
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == CALLER
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/account",
        "http.response.status_code": answer.status_code,
        "url.scheme": "https",
        "network.protocol.version": "1.1",
    }
    assert request.context is not None
    below = [one for one in found if one.parent and one.parent.span_id == request.context.span_id]
    assert "SELECT" in {one.name for one in below}
    [statement, *_] = [one for one in below if one.name == "SELECT"]
    assert statement.attributes is not None
    assert statement.attributes["db.system.name"] in ("sqlite", "postgresql")
    assert "FROM" in str(statement.attributes["db.query.text"])


async def test_a_write_shows_its_transaction_with_the_statements_in_it(traced: Api, collector: Collector) -> None:
    collector.clear()
    await traced.client.post("/v1/login-codes", json={"identifier": "nobody@example.net"})

    found = spans(traced, collector)
    [request] = [one for one in found if one.name == "POST /v1/login-codes"]
    own = [one for one in found if trace_of(one) == trace_of(request)]
    transactions = {one.context.span_id for one in own if one.name == "transaction" and one.context}
    within = {one.name for one in own if one.parent and one.parent.span_id in transactions}
    assert {"SELECT", "INSERT"} <= within


async def test_log_problem_and_span_carry_one_trace_id(
    traced: Api, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    for headers in ({"traceparent": f"00-{TRACE}-{CALLER}-01"}, {}, {"traceparent": "00-what-ever-01"}):
        collector.clear()
        capsys.readouterr()
        answer = await traced.client.get("/v1/account", headers=headers)

        [span] = [one for one in spans(traced, collector) if one.kind is SpanKind.SERVER]
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        [line] = [one for one in lines if one["event"] == "request"]
        assert span.context is not None
        assert answer.status_code == 401
        assert answer.json()["trace_id"] == line["trace_id"] == trace_of(span)
        assert line["span_id"] == f"{span.context.span_id:016x}"


async def test_what_a_caller_does_not_record_is_not_recorded_and_still_has_its_id(
    traced: Api, collector: Collector
) -> None:
    collector.clear()
    answer = await traced.client.get("/v1/account", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})

    assert answer.json()["trace_id"] == TRACE
    assert [one for one in spans(traced, collector) if trace_of(one) == TRACE] == []


async def test_a_ratio_of_nothing_records_nothing_whatever_a_caller_asks_for(
    database_url: str, collector: Collector
) -> None:
    async with running(database_url, **{**TRACED, "trace_ratio": 0.0}) as api:
        answer = await api.client.get("/v1/account", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
        assert spans(api, collector) == []

    assert answer.json()["trace_id"] == TRACE


async def test_without_the_setting_there_is_no_provider_and_no_span(api: Api) -> None:
    assert api.app.state.exporting is None
    assert tracing.current_ids() is None
    with tracing.part("anything") as span:
        assert span is None


async def test_a_worker_delivers_under_a_trace_of_its_own_that_its_lines_carry(
    traced: Api, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = await traced.register()
    collector.clear()
    capsys.readouterr()
    await traced.client.post("/v1/login-codes", json={"identifier": holder.email})
    await traced.deliver()

    [line] = [
        one
        for one in map(json.loads, capsys.readouterr().out.splitlines())
        if one["event"] == "message_settled" and one["template"] == "login_code"
    ]
    [delivery] = [
        one
        for one in spans(traced, collector)
        if one.name == "deliver message" and one.attributes and one.attributes["guance.template"] == "login_code"
    ]
    assert delivery.parent is None
    assert delivery.context is not None
    assert (line["trace_id"], line["span_id"]) == (trace_of(delivery), f"{delivery.context.span_id:016x}")


async def test_a_call_shows_whom_it_asked_and_tells_the_trace_to_our_own_alone(
    traced: Api, collector: Collector
) -> None:
    async with receiver(answers(503)) as there:
        for ours in (True, False):
            client = outgoing.quiet_client(5, direct=True, ours=ours)
            with tracing.work("a test"):
                await client.get(f"{there.url}/secret-path", params={"token": "secret-token"})
            await client.aclose()
        told = ["traceparent" in one.headers for one in there.received]

    assert told == [True, False]
    calls = [one for one in spans(traced, collector) if one.kind is SpanKind.CLIENT and one.name == "GET"]
    assert len(calls) == 2
    for call in calls:
        assert call.attributes is not None
        assert call.attributes["http.response.status_code"] == 503
        assert call.attributes["server.address"] == "127.0.0.1"
        assert call.status.status_code is StatusCode.ERROR
        assert "secret" not in shown(call)


async def test_of_an_error_only_its_kind_is_shown(traced: Api, collector: Collector) -> None:
    with pytest.raises(Exception, match="no"), tracing.work("a test"):
        async with traced.container.engine.connect() as connection:
            await connection.execute(text("SELECT :secret FROM no_such_table"), {"secret": "secret-parameter"})
    with pytest.raises(DatabaseUnavailable), tracing.work("another"):
        raise DatabaseUnavailable

    found = {one.name: one for one in spans(traced, collector)}
    assert found["SELECT"].status.status_code is found["a test"].status.status_code is StatusCode.ERROR
    assert found["another"].attributes == {"error.type": "DatabaseUnavailable"}
    for span in found.values():
        assert "secret-parameter" not in shown(span)
        assert span.events == ()
        assert span.status.description is None


@pytest.mark.parametrize("what", [journey, buy_on_marketplaces])
async def test_whatever_holders_and_marketplaces_do_nothing_secret_or_personal_stands_in_a_span(
    traced: Api, collector: Collector, what: Any
) -> None:
    collector.clear()
    secrets, codes, made = await what(traced)

    found = spans(traced, collector)
    everything = "\n".join(
        json.dumps([span.name, dict(span.attributes or {}), span.status.description, len(span.events)])
        for span in found
    )
    assert len([one for one in found if one.kind is SpanKind.SERVER]) == len(made)
    assert len([one for one in found if one.name in ("SELECT", "INSERT", "UPDATE")]) > 50
    assert [secret for secret in secrets if secret in everything] == []
    assert [code for code in codes if stands_in(code, everything)] == []
    assert "$argon2" not in everything
