"""Makes `docs/events.md` from the catalogue and the metrics: `python -m gateway.observe.reference > docs/events.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from gateway.observe.event import Event
from gateway.observe.events import CATALOGUE, schema
from gateway.observe.instruments import Counter, Gauge, Gauges, Histogram
from gateway.observe.metrics import Metrics

_OPENING = """\
# Events

Made from `gateway/observe/events.py` by `python -m gateway.observe.reference`; do not edit.

Every event is one line of JSON, appended by one write to `events.path` of `config/gateway.yaml` (`-`: standard output).
Names are `noun.verb`. Keys are flat; the last word of a key is its unit. Names in [brackets] are those of
OpenTelemetry's conventions for the same thing. Text of prompts and answers is in no event unless `events.capture` says
so, and no key is.

What may be relied upon:

- An exchange leaves `exchange.started` before the first byte goes to an upstream and `exchange.completed` when it ends,
  also when it was blocked, cancelled, timed out or failed. A started one without a completed one died with its process.
- A line that was written survives the death of the process. It is not forced to the disk, so a loss of power may take
  the last ones.
- A line that could not be written is counted in `tidegate_events_dropped_total` and its `seq` is missing. A full disk
  may leave part of a line; the next event then starts on a line of its own, and a reader skips what is not JSON.
- A log file that is moved or removed is made anew within a second; no signal is needed to rotate it.

"""


def reference() -> str:
    """The page, in Markdown."""
    return "".join((_OPENING, *_common(), *(part for name in CATALOGUE for part in _event(name)), *_metrics()))


def _common() -> Iterator[str]:
    yield "## In every event\n\n"
    yield from _table(Event.model_json_schema(), skip=())


def _event(name: str) -> Iterator[str]:
    found = schema(name)
    yield f"\n## `{name}`\n\n{found['description']}\n\n"
    yield from _table(found, skip=tuple(Event.model_fields))
    for inner in found.get("$defs", {}).values():
        yield f"\nA `{inner['title'].lower()}`: {inner['description']}\n\n"
        yield from _table(inner, skip=())


def _table(found: dict[str, Any], skip: tuple[str, ...]) -> Iterator[str]:
    yield "| key | type | what it says |\n|---|---|---|\n"
    for key, about in found["properties"].items():
        if key not in skip:
            yield f"| `{key}` | {_type(about)} | {about.get('description', '')} |\n"


def _type(about: dict[str, Any]) -> str:
    match about:
        case {"anyOf": options}:
            return " or ".join(map(_type, options))
        case {"enum": [*words]} | {"const": words}:
            return ", ".join(f"`{word}`" for word in ([words] if isinstance(words, str) else words))
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": values}:
            return "object" if values is True else f"object of {_type(values)}"
        case {"$ref": ref}:
            return str(ref).rpartition("/")[2].lower()
        case _:
            return f"{about['type']}{', ' + about['format'] if 'format' in about else ''}"


def _metrics() -> Iterator[str]:
    yield "\n# Metrics\n\n`GET /metrics`, in Prometheus' text format. Exchanges are counted from their lines.\n\n"
    yield "| metric | kind | labels | what it says |\n|---|---|---|---|\n"
    for made in Metrics().instruments():
        yield f"| `{made.name}` | {made.kind} | {_labels(made)} | {made.told} |\n"


def _labels(made: Counter | Gauge | Gauges | Histogram) -> str:
    return "" if isinstance(made, Gauge) else ", ".join(f"`{label}`" for label in made.labels)


if __name__ == "__main__":
    sys.stdout.write(reference())
