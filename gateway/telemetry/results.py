"""What an answer was worth to somebody: the scorer's values, and feedback, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from gateway.telemetry.names import NAMES
from gateway.telemetry.span import Entry, instant, present
from gateway.wire import trace

Event = Mapping[str, Any]

_SPACE = UUID("6f1c8f8e-2d3b-5c57-9a41-6b1d2f7a9c10")

_UNSPOKEN = frozenset({"event", "ts", "process", "seq"})
_GRAVE = (".failed", ".failing", ".dropped", ".lost", ".ejected", ".refused", ".raised", ".detected", ".restarted")


@dataclass(frozen=True, slots=True)
class Result:
    """`value` or `label`, or both, under a `name`. `id` is the same whenever this result is made again.

    `source` is `scorer`, or who gave feedback: `user`, `operator`, `judge`. `at` is in nanoseconds since 1970.
    """

    id: UUID
    exchange: str
    trace: str
    name: str
    value: float | None
    label: str
    source: str
    at: int

    @property
    def span(self) -> str:
        """Of the exchange: it has one, whatever became of it."""
        return trace.server_span(self.exchange)


def results(event: Event, of: str) -> list[Result]:
    """What `event` says of an answer, whose trace is `of`, or begins with the exchange."""
    of = of or trace.root(event["id"])
    match event["event"]:
        case "score.recorded":
            return [
                _result(event, of, metric, float(value), "", "scorer", metric)
                for metric, value in event["scores"].items()
            ]
        case "feedback.received":
            name, mark = event.get("name") or "feedback", f"{event['ts']} {event['process']} {event['seq']}"
            value, label = event.get("value"), event.get("label", "")
            return [_result(event, of, name, value, label, event.get("source") or "user", mark)]
        case _:
            return []


def _result(event: Event, of: str, name: str, value: float | None, label: str, source: str, mark: str) -> Result:  # noqa: PLR0913, PLR0917 - fields of a row
    ident = uuid5(_SPACE, f"{event['id']} {source} {mark}")
    return Result(ident, event["id"], of, name, value, label, source, instant(event["ts"]))


def entries(event: Event, of: str, semconv: str) -> list[Entry]:
    """Records of the log signal: results as the conventions have them; what else happened to the gateway, by its name.

    Exchanges are spans, and not said twice.
    """
    if found := results(event, of):
        return [_evaluation(result, semconv) for result in found]
    if event["event"].startswith(("exchange.", "mirror.", "score.", "export.")):
        return []
    name, at = event["event"], instant(event["ts"])
    said = {f"tidegate.{key}": _plain(value) for key, value in event.items() if key not in _UNSPOKEN}
    return [Entry(name, at, present(said), grave=name.endswith(_GRAVE))]


def _evaluation(result: Result, semconv: str) -> Entry:
    names = NAMES[semconv]
    said = {
        names["evaluation_name"]: result.name,
        names["evaluation_value"]: result.value,
        names["evaluation_label"]: result.label,
        "tidegate.exchange.id": result.exchange,
        "tidegate.evaluation.source": result.source,
    }
    span = trace.client_span(result.exchange)
    return Entry(names["evaluation"], result.at, present(said), trace=result.trace, span=span)


def _plain(value: Any) -> Any:
    """Numbers and texts as they are; of lists their texts, or their length; of mappings theirs."""
    match value:
        case bool() | int() | float() | str() | None:
            return value
        case list() if all(isinstance(one, str) for one in value):
            return value
        case _:
            return len(value)
