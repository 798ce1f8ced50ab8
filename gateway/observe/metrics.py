"""Metrics, folded from the events: what `/metrics` shows of an exchange is what its canonical line says of it.

A registry belongs to one app. Labels are names the operator chose (routes, upstreams, rails) and closed sets, so the
number of series does not depend on what clients send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest

from gateway.observe.instruments import Counter, Gauge, Gauges, Histogram, Labels, bounds

Row = tuple[str, float, float, float, float]
"""Of one upstream: its name, whether it is asked, requests under way, waiting, and its latency in seconds."""

_WHERE = ("route", "upstream")
_LONG = bounds(0.001, 600)
_SHORT = bounds(0.0001, 10)
_UNIT = tuple(n / 20 for n in range(1, 21))
_TOKENS = ("input", "cached", "output", "reasoning", "cache_write", "audio")
_COSTS = (*_TOKENS, "extra", "gpu")


class Metrics:
    """What has happened since the app was built. `in_flight` is counted up and down by the pipeline."""

    def __init__(self, dropped: Callable[[], int] = lambda: 0) -> None:
        """`dropped` tells how many events the log could not write."""
        self.in_flight = 0
        self.exchanges = Counter(
            "tidegate_exchanges_total", "Exchanges that ended.", ("route", "upstream", "status", "outcome")
        )
        self.errors = Counter("tidegate_errors_total", "Exchanges that ended in an error.", (*_WHERE, "code"))
        self.verdicts = Counter(
            "tidegate_verdicts_total", "What rails said of a stage.", ("rail", "stage", "action", "enforced")
        )
        self.faults = Counter("tidegate_rail_faults_total", "Rails that could not judge.", ("rail", "stage", "fault"))
        self.remembered = Counter(
            "tidegate_rail_remembered_total",
            "Texts a rail had judged before and did not look at again.",
            ("rail", "stage"),
        )
        self.tokens = Counter(
            "tidegate_tokens_total", "Tokens; input includes cached, output reasoning.", (*_WHERE, "class")
        )
        self.cost = Counter("tidegate_cost_usd_total", "US dollars; classes do not overlap.", (*_WHERE, "class"))
        self.bytes = Counter(
            "tidegate_text_bytes_total", "Text there was, and text that was judged.", ("route", "class")
        )
        self.restarts = Counter("tidegate_worker_restarts_total", "Workers that were replaced.", ("worker",))
        self.upstream_faults = Counter("tidegate_upstream_faults_total", "Tries that failed.", ("upstream", "fault"))
        self.ejections = Counter("tidegate_upstream_ejections_total", "Upstreams left alone.", ("upstream", "reason"))
        self.retries = Counter(
            "tidegate_retries_total", "Tries that another one followed.", ("route", "upstream", "fault")
        )
        self.mirrors = Counter(
            "tidegate_mirrored_total", "Requests asked of another upstream too.", ("route", "upstream", "outcome")
        )
        self.upstreams: Callable[[], Iterable[Row]] = tuple
        self.asked = self._upstream("tidegate_upstream_asked", "1 where it is asked, 0 where it is left alone.", 1)
        self.outstanding = self._upstream("tidegate_upstream_outstanding", "Requests under way.", 2)
        self.queued = self._upstream("tidegate_upstream_queued", "Requests that wait for a place.", 3)
        self.latency = self._upstream(
            "tidegate_upstream_latency_seconds", "To the beginning of an answer: its peak EWMA.", 4
        )
        self.scores = Counter(
            "tidegate_scores_total", "Answers offered to the scorer beside the path: scored, shed, failed.", ("result",)
        )
        self.score = Histogram("tidegate_score", "What answers scored.", ("route", "metric"), _UNIT)
        self.seconds = Histogram("tidegate_exchange_seconds", "From request to end of answer.", _WHERE, _LONG)
        self.first_token = Histogram("tidegate_first_token_seconds", "From request to first text.", _WHERE, _LONG)
        self.per_token = Histogram("tidegate_per_output_token_seconds", "After the first token.", _WHERE, _SHORT)
        self.overhead = Histogram("tidegate_overhead_seconds", "Total less upstream.", ("route",), _SHORT)
        self.rails = Histogram("tidegate_rail_seconds", "One rail judging one stage.", ("rail", "stage"), _SHORT)
        self._gauges = [Gauge("tidegate_in_flight", "Exchanges going on.", lambda: self.in_flight)]
        self.gauge("tidegate_events_dropped_total", "Events that could not be written.", dropped)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        GCCollector(registry=self._process)

    def observe(self, completed: Mapping[str, Any]) -> None:
        """Count one `exchange.completed` by its fields."""
        route, upstream = where = completed["route"], completed["upstream"]
        self.exchanges.add((route, upstream, str(completed["status"]), completed["outcome"]))
        if completed["error"]:
            self.errors.add((*where, completed["error"]))
        self._judgements(completed)
        self._spent(where, completed)
        self._timings(where, completed)
        self.bytes.add((route, "scannable"), completed["scannable_bytes"])
        self.bytes.add((route, "scanned"), completed["scanned_bytes"])

    def scored(self, route: str, scores: Mapping[str, float]) -> None:
        """Count the scores of one answer."""
        for metric, value in scores.items():
            self.score.add((route, metric), value)

    def mirrored(self, completed: Mapping[str, Any]) -> None:
        """Count one `mirror.completed`; its tokens and its cost count as what they are."""
        where = completed["route"], completed["upstream"]
        self.mirrors.add((*where, completed["outcome"]))
        self._spent(where, completed)

    def skipped(self, route: str, upstream: str) -> None:
        """Count a request that was to be mirrored and found no place."""
        self.mirrors.add((route, upstream, "skipped"))

    def gauge(self, name: str, told: str, read: Callable[[], float]) -> None:
        """Show what `read` returns whenever the metrics are asked for: a queue's depth, a log's `dropped`."""
        self._gauges.append(Gauge(name, told, read))

    def _upstream(self, name: str, told: str, column: int) -> Gauges:
        def read() -> list[tuple[Labels, float]]:
            return [((row[0],), float(row[column])) for row in self.upstreams()]

        return Gauges(name, told, ("upstream",), read)

    def render(self) -> bytes:
        """The text that Prometheus scrapes (exposition format 0.0.4): ours, then the process's own."""
        lines = (line for instrument in self.instruments() for line in instrument.lines())
        return "".join(lines).encode() + generate_latest(self._process)

    def instruments(self) -> list[Counter | Histogram | Gauge | Gauges]:
        """All of ours, in the order in which they are printed."""
        return [i for i in (*vars(self).values(), *self._gauges) if isinstance(i, Counter | Histogram | Gauge | Gauges)]

    def _judgements(self, completed: Mapping[str, Any]) -> None:
        for said in completed["judgements"]:
            rail, stage = said["rail"], said["stage"]
            self.verdicts.add((rail, stage, said["action"], "yes" if said["enforced"] else "no"))
            self.rails.add((rail, stage), said["ms"] / 1000)
            if said["remembered"]:
                self.remembered.add((rail, stage), said["remembered"])
            if said["fault"]:
                self.faults.add((rail, stage, said["fault"]))

    def _spent(self, where: tuple[str, str], completed: Mapping[str, Any]) -> None:
        for kind in _TOKENS:
            if tokens := completed[f"{kind}_tokens"]:
                self.tokens.add((*where, kind), tokens)
        for kind in _COSTS:
            if usd := completed[f"{kind}_usd"]:
                self.cost.add((*where, kind), usd)

    def _timings(self, where: tuple[str, str], completed: Mapping[str, Any]) -> None:
        if (ms := completed["total_ms"]) is not None:
            self.seconds.add(where, ms / 1000)
        if (ms := completed["first_token_ms"]) is not None:
            self.first_token.add(where, ms / 1000)
        if (ms := completed["per_output_token_ms"]) is not None:
            self.per_token.add(where, ms / 1000)
        if (ms := completed["overhead_ms"]) is not None:
            self.overhead.add(where[:1], ms / 1000)
