"""The questions a report answers, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from gateway.report.log import Log

GROUPS = MappingProxyType(
    {
        "key": "coalesce(nullif(principal, ''), '–')",
        "model": "model",
        "policy": "coalesce(nullif(policy, ''), '–')",
        "upstream": "coalesce(nullif(upstream, ''), '–')",
        "route": "coalesce(nullif(route, ''), '–')",
        "endpoint": "endpoint",
        "day": "strftime(ts, '%Y-%m-%d')",
        "hour": "strftime(ts, '%Y-%m-%d %H:00')",
        "minute": "strftime(ts, '%Y-%m-%d %H:%M')",
    }
)
"""What a report can be by, as SQL."""

TIMES = ("minute", "hour", "day")
MOST = 50  # rows of a table, the most frequent; times are never cut
_QUANTILES = "quantile_cont({0}, [0.5, 0.95, 0.99])"
_ROW = f"""
    count(*),
    coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cost_usd), 0),
    coalesce(avg((outcome = 'failed')::INT), 0), coalesce(avg((outcome IN ('blocked', 'unavailable'))::INT), 0),
    {_QUANTILES.format("total_ms")}, {_QUANTILES.format("first_token_ms")}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """Exchanges that have something in common. Times in milliseconds: P50, P95, P99, or None where there are none."""

    name: str
    exchanges: int
    input_tokens: int
    output_tokens: int
    usd: float
    failed: float
    refused: float
    total_ms: Sequence[float] | None
    first_token_ms: Sequence[float] | None

    @property
    def usd_each(self) -> float:
        return self.usd / self.exchanges if self.exchanges else 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rail and a rule of it; how many exchanges it stopped, and would have if its policy did more than watch."""

    policy: str
    stage: str
    rail: str
    rule: str
    stopped: int
    watched: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, as clients were told it."""

    upstream: str
    status: int
    error: str
    count: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A GPU that is paid by the hour. What its exchanges cost and what it cost idle make up the bill."""

    upstream: str
    hours: float
    bill: float
    attributed: float

    @property
    def idle(self) -> float:
        return self.bill - self.attributed


@dataclass(frozen=True, slots=True)
class Score:
    """How answers scored: the mean, and the 5th, 50th and 95th percentile."""

    metric: str
    answers: int
    mean: float
    spread: Sequence[float]


@dataclass(frozen=True, slots=True)
class Report:
    """All of it. `groups` are rows by what they are by; `began` and `ended` span all events, None if there are none."""

    began: datetime | None
    ended: datetime | None
    whole: Row
    groups: Mapping[str, Sequence[Row]]
    refusals: Sequence[Refusal]
    failures: Sequence[Failure]
    machines: Sequence[Machine]
    scores: Sequence[Score]

    @property
    def seconds(self) -> float:
        return (self.ended - self.began).total_seconds() if self.began and self.ended else 0.0

    @property
    def usd(self) -> float:
        """What was paid: for every exchange, and for machines that waited for one."""
        return self.whole.usd + sum(machine.idle for machine in self.machines)


def report(log: Log, by: Sequence[str], hourly: Mapping[str, float]) -> Report:
    """Answer everything, grouped by each of `by` (`GROUPS`). `hourly` is US dollars per hour of an upstream's GPU."""
    ((began, ended),) = log.ask("SELECT min(ts), max(ts) FROM events")
    return Report(
        began=began,
        ended=ended,
        whole=next(_rows(log, "'all'")),
        groups={name: [*_rows(log, GROUPS[name], ordered=name in TIMES)] for name in by},
        refusals=[Refusal(*row) for row in log.ask(_REFUSALS)],
        failures=[Failure(*row) for row in log.ask(_FAILURES)],
        machines=[*_machines(log, hourly, began, ended)],
        scores=[Score(*row) for row in log.ask(_SCORES)],
    )


def _rows(log: Log, group: str, *, ordered: bool = False) -> Iterator[Row]:
    order = "1" if ordered else f"count(*) DESC, 1 LIMIT {MOST}"
    sql = f"SELECT {group}, {_ROW} FROM exchanges"  # noqa: S608 - from `GROUPS`
    for row in log.ask(sql if group == "'all'" else f"{sql} GROUP BY 1 ORDER BY {order}"):
        yield Row(*row)


_REFUSALS = f"""
    WITH said AS (SELECT id, policy, unnest(judgements) AS j FROM exchanges)
    SELECT policy, j.stage, j.rail, coalesce(rule, ''),
           count(DISTINCT id) FILTER (j.enforced), count(DISTINCT id) FILTER (NOT j.enforced)
    FROM (SELECT *, unnest(CASE WHEN len(j.rules) > 0 THEN j.rules ELSE [''] END) AS rule FROM said
          WHERE j."action" = 'block')
    GROUP BY ALL ORDER BY 5 DESC, 6 DESC, 1, 2, 3, 4 LIMIT {MOST}
"""  # noqa: S608 - of constants
_FAILURES = f"""
    SELECT coalesce(nullif(upstream, ''), '–'), status, error, count(*) FROM exchanges
    WHERE error <> '' AND outcome NOT IN ('blocked', 'cancelled') GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3 LIMIT {MOST}
"""  # noqa: S608
_SCORES = """
    SELECT e.key, count(*), avg(e.value), quantile_cont(e.value, [0.05, 0.5, 0.95])
    FROM (SELECT unnest(map_entries(scores)) AS e FROM scores) GROUP BY 1 ORDER BY 1
"""


def _machines(log: Log, hourly: Mapping[str, float], began: Any, ended: Any) -> Iterator[Machine]:
    """A machine is paid from the first event to the last.

    Exchanges are charged their share by each HTTP process on its own, so that several may charge one moment more than
    once: shares are scaled down to what was paid where they come to more.
    """
    spent = {str(name): float(usd) for name, usd in log.ask("SELECT upstream, sum(gpu_usd) FROM exchanges GROUP BY 1")}
    hours = (ended - began).total_seconds() / 3600 if began and ended else 0.0
    for upstream, rate in sorted(hourly.items()):
        bill = hours * rate
        yield Machine(upstream, hours, bill, min(bill, spent.get(upstream, 0.0)))
