"""What is asked of a monitor by hand: make a reference of rows, check rows against one. For `tidegate drift`.

Rows come as a spool, or from a monitor's state; what is given back is JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson

from gateway.monitor import store
from gateway.monitor.check import Checked, checked
from gateway.monitor.rows import STREAMS, Row, Stream, from_event, from_record, sampled
from gateway.monitor.topics import Known
from gateway.monitor.twosample import whitened
from gateway.monitor.watch import read_reference, write_reference
from gateway.monitor.window import Reservoir
from gateway.observe.spool import Lines, Record, Records

Json = Any

_WANTED = frozenset({"exchange.completed", "score.recorded"})

POINTS = 400  # of each side, on the map


def reference(asked: Mapping[str, Any]) -> Json:
    """`{"to", "rows", …}` and a source (see `_rows`): writes it; how many rows each stream has, and its digest."""
    rows = _rows(asked, asked["rows"])
    kept = {stream: found for stream, found in rows.items() if found}
    if not kept:
        raise ValueError("there is nothing to make a reference of")
    to = Path(asked["to"])
    write_reference(to, kept)
    return {"rows": {stream: len(found) for stream, found in kept.items()}, "digest": store.digest(to)}


def check(asked: Mapping[str, Any]) -> Json:
    """`{"reference", "rows", "alpha", "seed", …}` and a source: what each stream's check says, and a map of vectors."""
    path = Path(asked["reference"])
    found = store.load(path)
    if found is None:
        raise ValueError("there is no reference: make one with `tidegate drift reference`")
    windows, rng, known = _rows(asked, asked["rows"]), np.random.default_rng(asked["seed"]), Known()
    told = []
    for stream, before in read_reference(found):
        after = windows[stream]
        if len(after) >= 2:
            one = checked(stream, sampled(before), sampled(after), known, asked["alpha"], rng)
            told.append({**one.json(), "drifting": one.p <= asked["alpha"], "map": _map(before, after, one)})
    return {"reference": store.digest(path), "alpha": asked["alpha"], "streams": told}


METHODS: Mapping[str, Callable[[Mapping[str, Any]], Json]] = MappingProxyType({"reference": reference, "check": check})


def _rows(asked: Mapping[str, Any], bound: int) -> dict[Stream, list[Row]]:
    """From `state`, a monitor's folder (its window, and what it learns from); or from `events`, and `spools`."""
    random = Random(asked.get("seed", 0))  # noqa: S311 - a sample, not a secret
    taken = {stream: Reservoir(bound) for stream in STREAMS}
    if "state" in asked:
        for stream, row in _remembered(Path(asked["state"])):
            taken[stream].add(row, random)
        return {stream: one.rows for stream, one in taken.items()}
    for file in asked.get("events", ()):
        for event in _events(Path(file)):
            if (found := from_event(event)) is not None:
                taken[found[0]].add(found[1], random)
    for file in asked.get("spools", ()):
        for record in _records(Path(file)):
            if (seen := from_record(record)) is not None:
                taken[seen[0]].add(seen[1], random)
    return {stream: one.rows for stream, one in taken.items()}


def _remembered(folder: Path) -> Iterator[tuple[Stream, Row]]:
    if (found := store.load(folder / "state.npz")) is None:
        raise ValueError(f"there is no state in {folder}: has a gateway with `monitor` run?")
    told, arrays = found
    for stream in STREAMS:
        yield from ((stream, row) for row in store.unpacked(told["tracks"][stream]["rows"], arrays[stream]))


def _events(file: Path) -> Iterator[Mapping[str, Any]]:
    with closing(Lines(file)) as lines:
        while read := lines.read():
            for line in read:
                with suppress(orjson.JSONDecodeError, KeyError, TypeError):
                    event = orjson.loads(line)
                    if event["event"] in _WANTED:
                        yield event


def _records(file: Path) -> Iterator[Record]:
    with closing(Records(file)) as records:
        while read := records.read():
            yield from read


def _map(before: list[Row], after: list[Row], one: Checked) -> Json:
    """The two directions that the rows differ most in: places of both sides' first rows, and which of them drifted."""
    ours, theirs = sampled(after[:POINTS]), sampled(before[:POINTS])
    if one.compared is None or not len(ours.vectors) or not len(theirs.vectors):
        return None
    rows = whitened(np.concatenate([theirs.vectors, ours.vectors]).astype(np.float32))
    _, _, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    places = np.round((rows - rows.mean(0)) @ directions[:2].T, 4).tolist()
    drifted, n = set(one.drifted), len(theirs)
    topics = {one.ids[at]: topic.name for topic in one.topics for at in topic.rows}
    marked = [[*place, id_ in drifted, topics.get(id_, "")] for place, id_ in zip(places[n:], ours.ids, strict=True)]
    return {"before": places[:n], "after": marked}
