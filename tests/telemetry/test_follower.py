"""What arrives at a collector, and what becomes of it when the collector does not take it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from pydantic import SecretStr
from support.collecting import Collector, collecting, plain, until
from support.telling import PARENT, TRACE, Follow, Journal, destination

from gateway.config.export import Otlp
from gateway.telemetry import vendors
from gateway.telemetry.standing import text
from gateway.wire import trace


def told(url: str, **more: Any) -> dict[str, Any]:
    spec = Otlp.model_validate({"kind": "otlp", "endpoint": url, "headers": {"x-key": SecretStr("k3y")}, **more})
    return vendors.told(spec, {})


async def test_an_exchange_its_rails_and_its_scores_are_one_tree_in_the_clients_trace(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    ident = journal.exchange(trace=TRACE, parent=PARENT)
    journal.score(ident)
    await follow(destination(tmp_path, told(collector.url))).part()
    spans = {span.name: span for span in collector.spans()}
    assert {*spans} == {
        "POST /v1/chat/completions",
        "chat m",
        "run_guardrail secrets",
        "run_guardrail topics",
        "evaluate answer",
    }
    server = spans.pop("POST /v1/chat/completions")
    assert (server.parent_span_id.hex(), server.span_id.hex()) == (PARENT, trace.server_span(ident))
    assert {span.parent_span_id for span in spans.values()} == {server.span_id}
    assert {span.trace_id.hex() for span in (server, *spans.values())} == {TRACE}
    assert spans["chat m"].span_id.hex() == trace.client_span(ident)
    assert len({span.span_id for span in spans.values()}) == len(spans)
    assert [event.name for event in spans["evaluate answer"].events] == ["gen_ai.evaluation.result"] * 2
    assert server.end_time_unix_nano - server.start_time_unix_nano == 2_500_000_000


async def test_every_signal_comes_with_the_headers_and_the_service(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    journal.score(journal.exchange())
    await follow(destination(tmp_path, told(collector.url, service="shop"))).part()
    assert [got.path for got in collector.taken] == ["/v1/traces", "/v1/logs", "/v1/metrics"]
    for got in collector.taken:
        assert (got.headers["x-key"], got.headers["content-encoding"]) == ("k3y", "gzip")
        resource = next(iter(got.message.ListFields()[0][1])).resource
        assert plain(resource.attributes)["service.name"] == "shop"


async def test_only_the_signals_that_are_wanted_are_sent(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    journal.score(journal.exchange())
    await follow(destination(tmp_path, told(collector.url, signals=("logs",)))).part()
    assert [got.path for got in collector.taken] == ["/v1/logs"]


async def test_what_was_taken_is_not_sent_again_by_the_next_process(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    to = destination(tmp_path, told(collector.url, signals=("traces",)))
    first = journal.exchange()
    await follow(to).part()
    second = journal.exchange()
    await follow(to).part()
    asked = [span.span_id.hex() for span in collector.spans() if span.name == "chat m"]
    assert asked == [trace.client_span(first), trace.client_span(second)]


async def test_what_a_collector_could_not_take_is_sent_until_it_can(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    journal.exchange()
    collector.refuse(503, 429, 401, 502)
    one = follow(destination(tmp_path, told(collector.url, signals=("traces",))))
    await one.part()
    assert (len(collector.got), len([*collector.spans()])) == (5, 4)
    assert [event for event, _ in one.standing.news()] == ["export.failing", "export.recovered"]
    assert (one.standing.failures, one.standing.dropped.total(), one.standing.sent["traces"]) == (4, 0, 4)


async def test_what_a_collector_refuses_is_counted_and_does_not_hold_up_what_comes_after(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    journal.exchange()
    collector.refuse(400)
    one = follow(destination(tmp_path, told(collector.url, signals=("traces",))))
    await one.part()
    journal.exchange()
    await one.part()
    assert len([*collector.spans()]) == 4
    assert one.standing.dropped == {("traces", "refused"): 4}
    dropped = [fields for event, fields in one.standing.news() if event == "export.dropped"]
    assert dropped == [{"destination": "otlp", "signal": "traces", "reason": "refused", "count": 4}]
    assert one.standing.news() == []
    shown = text([one.standing])
    assert 'tidegate_export_dropped_total{destination="otlp",signal="traces",reason="refused"} 4.0' in shown


async def test_what_a_collector_takes_in_part_is_counted(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 3
    collector.refuse(200, body=answer.SerializeToString())
    journal.exchange()
    one = follow(destination(tmp_path, told(collector.url, signals=("traces",))))
    await one.part()
    assert (one.standing.sent["traces"], one.standing.dropped) == (1, {("traces", "rejected"): 3})


async def test_a_process_that_ends_while_it_sends_leaves_the_piece_to_the_next(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    to = destination(tmp_path, told(collector.url, signals=("traces",)))
    journal.exchange()
    collector.open.clear()
    going = asyncio.create_task(follow(to).run())
    await until(lambda: bool(collector.got))
    going.cancel()
    await asyncio.wait([going])
    collector.open.set()
    await follow(to).part()
    assert len({span.span_id for span in collector.spans()}) == 4
    assert len(collector.got) == 2


async def test_one_that_is_told_to_leave_while_it_sends_sends_that_piece_first(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    journal.exchange()
    collector.open.clear()
    one = follow(destination(tmp_path, told(collector.url, signals=("traces",))))
    going = asyncio.create_task(one.run())
    await until(lambda: bool(collector.got))
    going.cancel()
    await asyncio.wait([going])
    collector.open.set()
    await one.part()
    assert len({span.span_id for span in collector.spans()}) == 4
    assert one.standing.sent["traces"] == 4


async def test_more_than_may_wait_is_let_go_oldest_first_and_counted(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    first = journal.exchange()
    to = destination(tmp_path, told(collector.url, signals=("traces",)))
    await follow(to).part()
    for _ in range(100):
        last = journal.exchange()
    one = follow(destination(tmp_path, told(collector.url, signals=("traces",)), behind=40_000))
    await one.part()
    asked = [span.span_id.hex() for span in collector.spans() if span.name == "chat m"]
    assert (asked[0], asked[-1]) == (trace.client_span(first), trace.client_span(last))
    assert 0 < one.standing.dropped["events", "behind"] == 101 - len(asked)


async def test_what_is_too_old_is_let_go_and_counted_unless_it_was_there_before_us(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    to = destination(tmp_path, told(collector.url, signals=("traces",)), keep_s=60.0)
    journal.exchange(age_s=3600)
    journal.exchange()
    one = follow(to)
    await one.part()
    assert (one.standing.sent["traces"], one.standing.dropped.total()) == (4, 0)
    journal.exchange(age_s=3600)
    await one.part()
    assert (one.standing.sent["traces"], one.standing.dropped) == (4, {("events", "late"): 1})


async def test_events_that_went_with_their_file_are_counted(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    to = destination(tmp_path, told(collector.url, signals=("traces",)))
    journal.exchange()
    await follow(to).part()
    for _ in range(7):
        journal.exchange()
    journal.path.unlink()
    (tmp_path / "filler").write_text("so that the file that comes has another number")
    journal.exchange()
    one = follow(to)
    await one.part()
    assert one.standing.dropped == {("events", "gone"): 7}


async def test_lines_that_are_no_events_and_events_of_other_versions_are_passed_over(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    odd = [b"{", b"null", b'{"event": "exchange.completed", "ts": "2099-01-01T00:00:00Z", "process": 1, "seq": 1}', b""]
    journal.path.write_bytes(b"\n".join(odd))
    journal.exchange()
    one = follow(destination(tmp_path, told(collector.url, signals=("traces",))))
    await one.part()
    assert (one.standing.sent["traces"], one.standing.dropped) == (4, {("events", "unread"): 1})


async def test_a_sample_has_whole_traces_and_scores_only_of_those(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    for _ in range(200):
        journal.score(journal.exchange())
    await follow(destination(tmp_path, told(collector.url, sample=0.25), batch=64)).part()
    spans = [*collector.spans()]
    assert 20 <= len({span.trace_id for span in spans}) <= 90
    assert len(spans) == 5 * len({span.trace_id for span in spans})
    points = collector.metrics()["gen_ai.server.request.duration"].histogram.data_points
    assert sum(point.count for point in points) == 200


async def test_a_score_finds_the_clients_trace_after_a_restart(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    to = destination(tmp_path, told(collector.url, signals=("traces", "logs")))
    ident = journal.exchange(trace=TRACE, parent=PARENT)
    await follow(to).part()
    journal.feedback(ident)
    await follow(to).part()
    (record,) = [r for r in collector.records() if r.event_name == "gen_ai.evaluation.result"]
    assert (record.trace_id.hex(), record.span_id.hex()) == (TRACE, trace.client_span(ident))


async def test_a_destination_that_is_silent_holds_up_no_other(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    async with collecting() as silent:
        silent.open.clear()
        ones = [
            follow(destination(tmp_path, told(url, name=name)))
            for name, url in (("silent", silent.url), ("well", collector.url))
        ]
        tasks = [asyncio.create_task(one.run()) for one in ones]
        journal.exchange()
        await until(lambda: bool([*collector.spans()]))
        assert not silent.taken
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
