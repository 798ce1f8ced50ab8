"""Plain values as OTLP's protobuf messages, ready to be posted, and what a collector says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway import __version__
from gateway.telemetry.instruments import Instrument
from gateway.telemetry.span import Attributes, Entry, Span, Value

SAMPLED = 1

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_SCOPE = InstrumentationScope(name="tidegate", version=__version__)
_REJECTED: Mapping[str, tuple[type[Message], str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}


def traces(spans: Sequence[Span], resource: Mapping[str, str]) -> bytes:
    request = ExportTraceServiceRequest()
    under = request.resource_spans.add(resource=_resource(resource)).scope_spans.add(scope=_SCOPE)
    under.spans.extend(map(_span, spans))
    return bytes(request.SerializeToString())


def logs(entries: Sequence[Entry], resource: Mapping[str, str]) -> bytes:
    request = ExportLogsServiceRequest()
    under = request.resource_logs.add(resource=_resource(resource)).scope_logs.add(scope=_SCOPE)
    under.log_records.extend(map(_entry, entries))
    return bytes(request.SerializeToString())


def metrics(instruments: Iterable[Instrument], resource: Mapping[str, str], since: int, now: int) -> bytes:
    """Cumulative from `since`, an instant in nanoseconds, until `now`."""
    request = ExportMetricsServiceRequest()
    under = request.resource_metrics.add(resource=_resource(resource)).scope_metrics.add(scope=_SCOPE)
    under.metrics.extend(_metric(instrument, since, now) for instrument in instruments)
    return bytes(request.SerializeToString())


def rejected(signal: str, answer: bytes) -> int:
    """How much of what was sent a collector did not want, though it answered 200."""
    kind, count = _REJECTED[signal]
    said: Any = kind()
    try:
        said.ParseFromString(answer)
    except DecodeError:
        return 0
    return int(getattr(said.partial_success, count))


def _span(span: Span) -> trace_pb2.Span:
    told = trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace),
        span_id=bytes.fromhex(span.id),
        parent_span_id=bytes.fromhex(span.parent),
        flags=SAMPLED,
        name=span.name,
        kind=span.kind,  # type: ignore[arg-type]  # its enumeration is of plain numbers
        start_time_unix_nano=span.start,
        end_time_unix_nano=max(span.start, span.end),
        attributes=_pairs(span.attributes),
    )
    for one in span.happenings:
        told.events.add(name=one.name, time_unix_nano=one.at, attributes=_pairs(one.attributes))
    if span.error:
        told.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        told.status.message = span.error
    return told


def _entry(entry: Entry) -> LogRecord:
    return LogRecord(
        time_unix_nano=entry.at,
        observed_time_unix_nano=entry.at,
        severity_number=SeverityNumber.SEVERITY_NUMBER_WARN if entry.grave else SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="WARN" if entry.grave else "INFO",
        event_name=entry.name,
        body=AnyValue(string_value=entry.name),
        attributes=_pairs(entry.attributes),
        trace_id=bytes.fromhex(entry.trace),
        span_id=bytes.fromhex(entry.span),
        flags=SAMPLED if entry.trace else 0,
    )


def _metric(instrument: Instrument, since: int, now: int) -> Metric:
    metric = Metric(name=instrument.name, unit=instrument.unit, description=instrument.told)
    if not instrument.bounds:
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = _CUMULATIVE, True
        metric.sum.data_points.extend(
            NumberDataPoint(
                attributes=_pairs(dict(labels)), as_double=cell.sum, start_time_unix_nano=since, time_unix_nano=now
            )
            for labels, cell in instrument.cells.items()
        )
        return metric
    metric.histogram.aggregation_temporality = _CUMULATIVE
    metric.histogram.data_points.extend(
        HistogramDataPoint(
            attributes=_pairs(dict(labels)),
            count=sum(cell.counts),
            sum=cell.sum,
            min=cell.least,
            max=cell.most,
            bucket_counts=cell.counts,
            explicit_bounds=instrument.bounds,
            start_time_unix_nano=since,
            time_unix_nano=now,
        )
        for labels, cell in instrument.cells.items()
    )
    return metric


def _resource(said: Mapping[str, str]) -> Resource:
    return Resource(attributes=_pairs(said))


def _pairs(attributes: Attributes) -> list[KeyValue]:
    return [
        _often(name, value)
        if isinstance(value, str) and len(value) <= SHORT
        else KeyValue(key=name, value=_value(value))
        for name, value in attributes.items()
    ]


SHORT = 48  # characters of what is worth remembering: never a text


@lru_cache(maxsize=4096)
def _often(name: str, value: str) -> KeyValue:
    """Kinds, names and verdicts come again and again. Whoever takes one copies it."""
    return KeyValue(key=name, value=_value(value))


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=one) for one in value]))
