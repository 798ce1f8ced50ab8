"""One event as one line for people: aligned, coloured, and without a character that could steer a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from rich.text import Text

Event = Mapping[str, Any]

_COLOURS = MappingProxyType(
    {"allow": "green", "flag": "yellow", "redact": "cyan", "block": "bold red", "unavailable": "bold magenta"}
)
_STAMP = frozenset({"event", "ts", "process", "seq"})


def line(event: Event) -> Text:
    """The line of one event, with the time of day where we are. Events of other versions are shown as they are."""
    try:
        cells = [*_LINES[event["event"]](event)]
    except (KeyError, TypeError, ValueError, AttributeError):
        cells = [*_other(event)]
    return Text(" ").join((Text(_clock(event.get("ts")), "dim"), *cells))


HEADER = (
    f"{'time':<12} {'verdict':<11} {'route → upstream':<32} {'status':>7} {'tokens in/out':>15} {'cost':>12}"
    f" {'first':>8} {'total':>8}  who"
)


def _exchange(event: Event) -> Iterator[Text]:
    verdict = plain(event["verdict"])
    yield Text(f"{verdict:<11}", _COLOURS.get(verdict, ""))
    yield _cell(f"{event['route'] or event['model'] or event['endpoint']} → {event['upstream'] or '–'}", 32)
    yield _status(event)
    about = "~" if event["estimated_tokens"] else ""
    yield Text(f"{about}{event['input_tokens']}/{event['output_tokens']}".rjust(15))
    yield Text(_usd(event["cost_usd"]).rjust(12))
    yield Text(_ms(event["first_token_ms"]).rjust(8), "dim")
    yield Text(_ms(event["total_ms"]).rjust(8))
    yield Text(" " + plain(_who(event)), "dim")


def _scores(event: Event) -> Iterator[Text]:
    yield Text(f"{'score':<11}", "blue")
    yield _cell(f"{event['route']} → {event['upstream']}", 32)
    yield Text(" ".join(f"{plain(metric)} {value:.2f}" for metric, value in event["scores"].items()))
    yield Text(plain(event["id"]), "dim")


def _other(event: Event) -> Iterator[Text]:
    """Anything else: its name and what it says."""
    yield Text(f"{plain(event.get('event', '?')):<11}", "bold")
    yield Text(plain(" ".join(f"{key}={value}" for key, value in event.items() if key not in _STAMP)), "dim")


_LINES: Mapping[str, Callable[[Event], Iterator[Text]]] = MappingProxyType(
    {"exchange.completed": _exchange, "score.recorded": _scores}
)


def _who(event: Event) -> str:
    """Who decided: rails that did more than allow, with the rule; what ended the exchange; how it ended."""
    said = [_opinion(j) for j in event["judgements"] if j["action"] != "allow" or j["fault"]]
    error = event["error"] if event["outcome"] != "blocked" else ""
    left = "client left" if event["outcome"] == "cancelled" else ""
    return ", ".join(filter(None, (*said, error, left)))


def _opinion(judgement: Mapping[str, Any]) -> str:
    if judgement["fault"]:
        return f"{judgement['rail']}: {judgement['fault']}"
    rules = "+".join(rule for rule in judgement["rules"] if rule != judgement["rail"])
    watching = "" if judgement["enforced"] else " (shadow)"
    return f"{judgement['rail']}{':' + rules if rules else ''} {judgement['action']}{watching}"


def _status(event: Event) -> Text:
    status = event["status"]
    return Text(f"{status or '–':>5}{' ~' if event['stream'] else '  '}", "" if status and status < 400 else "red")


def _cell(text: str, width: int) -> Text:
    cell = Text(plain(text))
    cell.truncate(width, overflow="ellipsis", pad=True)
    return cell


def _clock(ts: object) -> str:
    try:
        when = datetime.fromisoformat(str(ts)).astimezone()
    except (ValueError, OverflowError):
        return "?" * 12
    return when.strftime("%H:%M:%S.") + f"{when.microsecond // 1000:03}"


def _usd(dollars: float) -> str:
    return "–" if not dollars else f"${dollars:.6f}" if dollars < 0.01 else f"${dollars:.4f}"


def _ms(ms: float | None) -> str:
    return "–" if ms is None else f"{ms:.0f} ms" if ms < 9_999.5 else f"{ms / 1000:.1f} s"


def plain(text: object) -> str:
    """`text` with everything escaped that is not printable."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
