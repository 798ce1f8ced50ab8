"""Grafana's dashboards, as code: `python -m gateway.observe.boards config/grafana/dashboards` writes them.

Four: performance, quality, safety, cost. Each panel is a line of the tables below; the JSON is Grafana 11's model
(schema 39), with the data source as a variable, so that importing one asks which Prometheus it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

_WIDE = 24
_WHERE = 'route=~"$route"'
_SOURCE = MappingProxyType({"type": "prometheus", "uid": "${source}"})


@dataclass(frozen=True, slots=True)
class Panel:
    """What it shows, in which of Grafana's units, and its queries by legend. `wide` of 24 columns."""

    title: str
    unit: str
    queries: Mapping[str, str]
    kind: str = "timeseries"
    told: str = ""
    wide: int = 12
    stacked: bool = False


def _rate(metric: str, by: str, where: str = _WHERE) -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"


def _quantiles(metric: str, where: str = _WHERE) -> dict[str, str]:
    return {
        f"P{round(100 * q)}": f"histogram_quantile({q}, {_rate(f'{metric}_bucket', 'le', where)})"
        for q in (0.5, 0.95, 0.99)
    }


def _share(part: str, whole: str) -> str:
    return f"sum(rate({part}[$__rate_interval])) / sum(rate({whole}[$__rate_interval]))"


def _increase(metric: str, where: str = _WHERE) -> str:
    return f"sum(increase({metric}{{{where}}}[$__range]))"


_ALL = f"tidegate_exchanges_total{{{_WHERE}}}"
_FAILED = f'tidegate_exchanges_total{{{_WHERE},outcome="failed"}}'
_OUTPUT = f'{_WHERE},class="output"'
_INPUT, _CACHED = f'{_WHERE},class="input"', f'{_WHERE},class="cached"'
_RAILS = _rate("tidegate_rail_seconds_bucket", "le, rail, stage", "")
_BLOCKED = f'tidegate_exchanges_total{{{_WHERE},outcome=~"blocked|unavailable"}}'

PERFORMANCE = (
    Panel("Exchanges", "short", {"": _increase("tidegate_exchanges_total")}, "stat", wide=6),
    Panel("Failed", "percentunit", {"": _share(_FAILED, _ALL)}, "stat", wide=6),
    Panel("P99 of the last minutes", "s", {"": _quantiles("tidegate_exchange_seconds")["P99"]}, "stat", wide=6),
    Panel("Going on", "short", {"": "sum(tidegate_in_flight)"}, "stat", wide=6),
    Panel("Throughput by outcome", "reqps", {"{{outcome}}": _rate("tidegate_exchanges_total", "outcome")},
          stacked=True),
    Panel("Errors by code", "reqps", {"{{code}}": _rate("tidegate_errors_total", "code")}, stacked=True),
    Panel("From request to end", "s", _quantiles("tidegate_exchange_seconds")),
    Panel("To the first text", "s", _quantiles("tidegate_first_token_seconds")),
    Panel("Between tokens", "s", _quantiles("tidegate_per_output_token_seconds")),
    Panel("Added by the gateway", "s", _quantiles("tidegate_overhead_seconds"), told="Total less upstream."),
    Panel("P95 by upstream", "s", {
        "{{upstream}}": f"histogram_quantile(0.95, {_rate('tidegate_exchange_seconds_bucket', 'le, upstream')})",
    }),
    Panel("Upstreams: under way and waiting", "short", {
        "{{upstream}} under way": "sum by (upstream) (tidegate_upstream_outstanding)",
        "{{upstream}} waiting": "sum by (upstream) (tidegate_upstream_queued)",
    }),
    Panel("Upstreams: tries that failed", "reqps", {
        "{{upstream}} {{fault}}": _rate("tidegate_upstream_faults_total", "upstream, fault", ""),
    }, told="Each may have been followed by another try."),
    Panel("Output tokens a second", "short", {
        "{{upstream}}": _rate("tidegate_tokens_total", "upstream", _OUTPUT),
    }, stacked=True),
)  # fmt: skip

QUALITY = (
    Panel("Mean score", "short", {
        "{{metric}}": f"{_rate('tidegate_score_sum', 'metric')} / {_rate('tidegate_score_count', 'metric')}",
    }, "stat", wide=24),
    Panel("Scores: the lowest tenth is below", "short", {
        "{{metric}}": f"histogram_quantile(0.1, {_rate('tidegate_score_bucket', 'le, metric')})",
    }),
    Panel("Scores: median", "short", {
        "{{metric}}": f"histogram_quantile(0.5, {_rate('tidegate_score_bucket', 'le, metric')})",
    }),
    Panel("Groundedness below 0.5", "percentunit", {
        "{{route}}": (
            f'sum by (route) (rate(tidegate_score_bucket{{{_WHERE},metric="groundedness",le="0.5"}}[$__rate_interval]))'
            f' / sum by (route) (rate(tidegate_score_count{{{_WHERE},metric="groundedness"}}[$__rate_interval]))'
        ),
    }, told="The share of scored answers that their evidence does not carry."),
    Panel("Answers offered to the scorer", "reqps", {"{{result}}": _rate("tidegate_scores_total", "result", "")},
          stacked=True, told="Those shed or failed have no score."),
)  # fmt: skip

SAFETY = (
    Panel("Refused", "percentunit", {"": _share(_BLOCKED, _ALL)}, "stat", wide=8),
    Panel("Text that was judged", "percentunit", {
        "": _share(f'tidegate_text_bytes_total{{{_WHERE},class="scanned"}}',
                   f'tidegate_text_bytes_total{{{_WHERE},class="scannable"}}'),
    }, "stat", wide=8, told="Anything under 100 % is a hole in the policies."),
    Panel("Rails that could not judge", "short", {"": _increase("tidegate_rail_faults_total", "") + " or vector(0)"},
          "stat", wide=8),
    Panel("Blocked, by rail", "reqps", {
        "{{rail}} ({{stage}})": _rate("tidegate_verdicts_total", "rail, stage", 'action="block",enforced="yes"'),
    }, stacked=True),
    Panel("Redacted, by rail", "reqps", {
        "{{rail}} ({{stage}})": _rate("tidegate_verdicts_total", "rail, stage", 'action="redact",enforced="yes"'),
    }, stacked=True),
    Panel("Flagged, or would have been stopped", "reqps", {
        "{{rail}} {{action}}": _rate("tidegate_verdicts_total", "rail, action", 'enforced="no",action!="allow"'),
    }, stacked=True, told="Policies that only watch, and rails that only flag."),
    Panel("Faults of rails", "reqps", {
        "{{rail}} {{fault}}": _rate("tidegate_rail_faults_total", "rail, fault", "") + " or vector(0)",
    }),
    Panel("Time a rail takes, P95", "s", {
        "{{rail}} ({{stage}})": f"histogram_quantile(0.95, {_RAILS})",
    }),
    Panel("Workers replaced", "short", {
        "{{worker}}": "sum by (worker) (increase(tidegate_worker_restarts_total[$__rate_interval]))",
    }),
)  # fmt: skip

COST = (
    Panel("Spent", "currencyUSD", {"": _increase("tidegate_cost_usd_total")}, "stat", wide=8),
    Panel("An exchange costs", "currencyUSD", {
        "": f"{_increase('tidegate_cost_usd_total')} / {_increase('tidegate_exchanges_total')}",
    }, "stat", wide=8),
    Panel("A million output tokens cost", "currencyUSD", {
        "": f"1e6 * {_increase('tidegate_cost_usd_total')}"
            f" / {_increase('tidegate_tokens_total', _OUTPUT)}",
    }, "stat", wide=8),
    Panel("Spending, an hour", "currencyUSD", {
        "{{route}} → {{upstream}}": f"3600 * {_rate('tidegate_cost_usd_total', 'route, upstream')}",
    }, stacked=True),
    Panel("Spending by class, an hour", "currencyUSD", {
        "{{class}}": f"3600 * {_rate('tidegate_cost_usd_total', 'class')}",
    }, stacked=True),
    Panel("Tokens by class", "short", {"{{class}}": _rate("tidegate_tokens_total", "class")}),
    Panel("Input that came from a provider's cache", "percentunit", {
        "": _share(f"tidegate_tokens_total{{{_CACHED}}}", f"tidegate_tokens_total{{{_INPUT}}}"),
    }),
)  # fmt: skip

BOARDS: Mapping[str, Sequence[Panel]] = MappingProxyType(
    {"performance": PERFORMANCE, "quality": QUALITY, "safety": SAFETY, "cost": COST}
)


def board(name: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Grafana's JSON of one dashboard."""
    return {
        "uid": f"tidegate-{name}",
        "title": f"Tidegate: {name}",
        "tags": ["tidegate"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _routes()]},
        "annotations": {"list": [_reloads()]},
        "panels": [*_placed(panels)],
    }


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """From left to right, and on from the left where a row is full."""
    left = top = high = 0
    for number, panel in enumerate(panels, 1):
        if left + panel.wide > _WIDE:
            left, top, high = 0, top + high, 0
        tall = 4 if panel.kind == "stat" else 8
        yield _panel(number, panel, {"x": left, "y": top, "w": panel.wide, "h": tall})
        left, high = left + panel.wide, max(high, tall)


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    drawn = {"fillOpacity": 25 if panel.stacked else 0, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.told,
        "datasource": {**_SOURCE},
        "gridPos": {**place},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {} if panel.kind == "stat" else drawn},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        if panel.kind != "stat"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none"},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend or "__auto", "datasource": {**_SOURCE}}
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}


def _routes() -> dict[str, Any]:
    return {
        "name": "route",
        "label": "Route",
        "type": "query",
        "datasource": {**_SOURCE},
        "query": {"query": "label_values(tidegate_exchanges_total, route)", "refId": "routes"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _reloads() -> dict[str, Any]:
    """A mark wherever another configuration took over."""
    return {
        "name": "configuration changed",
        "datasource": {**_SOURCE},
        "enable": True,
        "iconColor": "blue",
        "expr": "changes(tidegate_config_generation[1m]) > 0",
    }


def main(folder: str) -> None:
    for name, panels in BOARDS.items():
        (Path(folder) / f"{name}.json").write_text(json.dumps(board(name, panels), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
