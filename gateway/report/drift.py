"""What a check of drift found, as one HTML file: a map of reference and window, topics, shifts. It runs no script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.axes import Axes

from gateway.report.chart import chart

Json = Any

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .3rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0 1.2rem }
th, td { padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 500; opacity: .7 } .drifts { color: #c23030; font-weight: 600 } code { font-size: .85em }
figure { margin: 1rem 0; max-width: 46rem } svg { width: 100%; height: auto } q { opacity: .8 }
@media (prefers-color-scheme: dark) { svg { filter: invert(.88) hue-rotate(180deg) } .drifts { color: #ff8a80 } }
"""
_GREY, _BLUE, _PALETTE = "#9aa5b1", "#2a6fb0", ("#c23030", "#d9822b", "#3d8a4f", "#7a4fb0", "#b0822a", "#2ab0a0")
_TEXT = 160  # characters of an example


def page(found: Json, texts: Mapping[str, str], title: str = "Tidegate drift report") -> str:
    """The whole file. `texts` are prompts by exchange, where they were captured."""
    parts = "\n".join(part for one in found["streams"] for part in _stream(one, found["alpha"], texts))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n'
        f"<p>Against the reference <code>{escape(found['reference'])}</code>, with false alarms at a rate of"
        f" {found['alpha']:g}.</p>\n{parts or '<p>There is nothing to compare.</p>'}\n</html>\n"
    )


def _stream(one: Json, alpha: float, texts: Mapping[str, str]) -> Iterator[str]:
    word = '<span class="drifts">drifts</span>' if one["drifting"] else "is as it was"
    yield f"<h2>{escape(one['stream'].capitalize())}: {word}</h2>"
    vectors = "" if one["vectors_p_value"] is None else f"; of the vectors: p = {one['vectors_p_value']:.3f}"
    yield f"<p>{one['rows']:,} rows against {one['reference_rows']:,}{vectors}.</p>"
    if one["map"]:
        yield chart(lambda axes: _map(axes, one["map"]), "the two directions in which rows differ most", (8, 4.6))
    if one["topics"]:
        yield chart(
            lambda axes: _topics(axes, one["topics"]),
            "new topics: share before and now",
            (8, 0.9 + 0.4 * len(one["topics"])),
        )
        yield _table(("topic", "rows", "now", "before", "examples"), [_topic(t, texts) for t in one["topics"]])
    moved = [shift for shift in one["shifts"] if shift["adjusted"] <= alpha]
    for shift in moved:
        yield chart(lambda axes, s=shift: _shift(axes, s), f"{shift['feature']}: before and now", (8, 2.2))  # type: ignore[misc]  # mypy cannot see the default
    if one["shifts"]:
        yield _table(("feature", "test", "p, adjusted", "before", "now"), [_row(s, alpha) for s in one["shifts"]])


def _map(axes: Axes, places: Json) -> None:
    axes.scatter(*_sides(places["before"]), s=7, color=_GREY, alpha=0.5, lw=0, label="reference")
    usual = [(x, y) for x, y, drifted, _ in places["after"] if not drifted]
    if usual:
        axes.scatter(*_sides(usual), s=7, color=_BLUE, alpha=0.55, lw=0, label="window")
    names = list(dict.fromkeys(topic for *_, drifted, topic in places["after"] if drifted))
    for at, name in enumerate(sorted(names, key=lambda name: (name == "", name))):
        some = [(x, y) for x, y, drifted, topic in places["after"] if drifted and topic == name]
        colour = _PALETTE[at % len(_PALETTE)]
        axes.scatter(*_sides(some), s=16, color=colour, alpha=0.85, lw=0, label=name or "stands out")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _sides(places: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [place[0] for place in places], [place[1] for place in places]


def _topics(axes: Axes, topics: Sequence[Json]) -> None:
    names = [", ".join(topic["terms"]) or topic["id"] for topic in topics]
    _pairs(axes, names, [topic["before"] for topic in topics], [topic["share"] for topic in topics])


def _shift(axes: Axes, shift: Json) -> None:
    names = list(dict.fromkeys((*shift["before"], *shift["after"])))
    _pairs(axes, names, *([shift[side].get(name, 0) for name in names] for side in ("before", "after")))


def _pairs(axes: Axes, names: Sequence[str], before: Sequence[float], after: Sequence[float]) -> None:
    at = range(len(names))
    axes.barh([n + 0.2 for n in at], before, height=0.38, color=_GREY, label="before")
    axes.barh([n - 0.2 for n in at], after, height=0.38, color=_PALETTE[0], label="now")
    axes.set_yticks(list(at), [name[:48] for name in names])
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8)


def _topic(topic: Json, texts: Mapping[str, str]) -> list[str]:
    examples = "<br>".join(_example(id_, texts.get(id_, "")) for id_ in topic["examples"])
    name = escape(", ".join(topic["terms"]) or topic["id"])
    return [name, f"{topic['size']:,}", f"{topic['share']:.1%}", f"{topic['before']:.1%}", examples]


def _example(id_: str, text: str) -> str:
    short = text if len(text) <= _TEXT else text[:_TEXT] + "…"
    return f"<code>{escape(id_)}</code>" + (f" <q>{escape(short)}</q>" if short else "")


def _row(shift: Json, alpha: float) -> list[str]:
    p = f"{shift['adjusted']:.4f}"
    told = f'<span class="drifts">{p}</span>' if shift["adjusted"] <= alpha else p
    return [escape(shift["feature"]), shift["test"], told, _values(shift["before"]), _values(shift["after"])]


def _values(values: Mapping[str, float]) -> str:
    most = sorted(values.items(), key=lambda item: -item[1])[:6] if "p50" not in values else values.items()
    return ", ".join(f"{escape(name)} {value:.3g}" for name, value in most)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
