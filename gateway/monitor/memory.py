"""A `Watch` as JSON and arrays, and back: all that it knows but its reference, which is a file of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from gateway.monitor import store
from gateway.monitor.outbox import Outbox
from gateway.monitor.quality import NAMED, RECENT, Golden
from gateway.monitor.rows import STREAMS
from gateway.monitor.sequential import Betting, Cusum, Rise
from gateway.monitor.signals import Signal
from gateway.monitor.track import Track
from gateway.monitor.watch import Watch

VERSION = 1


def remembered(watch: Watch) -> tuple[dict[str, Any], store.Arrays]:
    arrays: store.Arrays = {}
    tracks = {}
    for stream, track in watch.tracks.items():
        tracks[stream], arrays[stream] = _track(track)
    for name, centre in watch.known.centres.items():
        arrays[name] = centre
    told = {
        "version": VERSION,
        "reference": watch.digest,
        "tracks": tracks,
        "accuracy": _accuracy(watch),
        "complaints": _complaints(watch),
        "signals": {name: asdict(signal) for name, signal in watch.signals.items()},
        "outbox": asdict(watch.outbox),
        "usual": watch.usual,
        "runs": watch.runs,
        "golden": {name: asdict(run) for name, run in watch.golden.items()},
        "topics": list(watch.known.centres),
        "looks": watch.looks,
        "broken": watch.broken,
    }
    return told, arrays


def recalled(watch: Watch, told: Mapping[str, Any], arrays: store.Arrays) -> None:
    """Fill a new `watch`, whose reference was loaded. What was seen against another reference is left out."""
    if told["version"] != VERSION:
        return
    for stream in STREAMS:
        if told["reference"] == watch.digest:
            _to_track(watch.tracks[stream], told["tracks"][stream], arrays[stream])
    _to_accuracy(watch, told["accuracy"])
    _to_complaints(watch, told["complaints"])
    watch.signals = {name: Signal(**signal) for name, signal in told["signals"].items()}
    entries = [(number, event, fields) for number, event, fields in told["outbox"]["entries"]]
    watch.outbox = Outbox(**{**told["outbox"], "entries": entries})
    watch.usual, watch.runs = dict(told["usual"]), dict(told["runs"])
    watch.golden = {name: Golden(**run) for name, run in told["golden"].items()}
    watch.known.centres = {name: arrays[name] for name in told["topics"]}
    watch.looks, watch.broken = told["looks"], told["broken"]


def _track(track: Track) -> tuple[dict[str, Any], Any]:
    window = track.window
    groups = [*window.closed, window.current.rows, track.learning.rows]
    packed, vectors = store.packed([row for group in groups for row in group])
    return {
        "sizes": [len(group) for group in groups],
        "rows": packed,
        "seen": [window.current.seen, track.learning.seen],
        "since": window.since,
        "looks": track.looks,
        "drift": asdict(track.drift),
        "told": track.told,
    }, vectors


def _to_track(track: Track, told: Mapping[str, Any], vectors: Any) -> None:
    rows = iter(store.unpacked(told["rows"], vectors))
    *closed, current, learning = ([next(rows) for _ in range(size)] for size in told["sizes"])
    window = track.window
    window.closed = [tuple(pane) for pane in closed][-window.panes :]
    window.current.rows, track.learning.rows = current, learning
    window.current.seen, track.learning.seen = told["seen"]
    window.since, track.looks, track.drift = told["since"], told["looks"], Signal(**told["drift"])
    track.told = told.get("told")


def _accuracy(watch: Watch) -> dict[str, Any]:
    one = watch.accuracy
    betting = None
    if one.betting:
        money = one.betting.money.tolist()
        betting = {"money": money, "starts": one.betting.starts, "seen": one.betting.seen, "peak": one.betting.peak}
    return {
        "baseline": one.baseline,
        "seen": one.seen,
        "right": one.right,
        "recent": [*one.recent],
        "wrong": [*one.wrong],
        "watch": one.watch,
        "alarmed": one.alarmed,
        "cusum": asdict(one.cusum) if one.cusum else None,
        "betting": betting,
    }


def _to_accuracy(watch: Watch, told: Mapping[str, Any]) -> None:
    """A baseline that is configured goes before one that was learned, and begins anew."""
    one, configured = watch.accuracy, watch.spec.accuracy
    one.seen, one.right, one.watch, one.alarmed = told["seen"], told["right"], told["watch"], told["alarmed"]
    one.recent, one.wrong = deque(told["recent"], RECENT), deque(told["wrong"], NAMED)
    if configured is not None and configured != told["baseline"]:
        return
    one.baseline = told["baseline"]
    if told["cusum"] and told["betting"] and one.baseline is not None:
        floor = max(0.01, one.baseline - one.drop)
        one.cusum = Cusum(**told["cusum"])
        one.betting = Betting(floor, one.alpha, **{**told["betting"], "money": np.array(told["betting"]["money"])})


def _complaints(watch: Watch) -> dict[str, Any]:
    one = watch.complaints
    return {
        "baseline": one.baseline,
        "seen": one.seen,
        "count": one.count,
        "since": one.since,
        "recent": [*one.recent],
        "sum": asdict(one.sum) if one.sum else None,
        "waiting": list(_waiting(watch)),
    }


def _waiting(watch: Watch) -> Iterator[Any]:
    yield from (watch._exchanges, watch._complained)  # noqa: SLF001 - what was read and not yet judged


def _to_complaints(watch: Watch, told: Mapping[str, Any]) -> None:
    one, configured = watch.complaints, watch.spec.complaints
    one.seen, one.count, one.since = told["seen"], told["count"], told["since"]
    one.recent = deque(told["recent"], NAMED)
    watch._exchanges, watch._complained = told["waiting"]  # noqa: SLF001 - as above
    if configured is None or configured == told["baseline"]:
        one.baseline = told["baseline"]
        one.sum = Rise(**told["sum"]) if told["sum"] else None
