"""The monitor's mind: takes in events and vectors as they come, checks windows, judges signals, remembers it all.

It does no waiting and reads no clock: `look` is told the time. What it knows is one file; killed at any moment it goes
on from the last one, reads again what came since, and comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson

from gateway.monitor import quality, rows, store
from gateway.monitor.outbox import Outbox
from gateway.monitor.quality import Accuracy, Complaints, Golden
from gateway.monitor.rows import STREAMS, Row, Stream
from gateway.monitor.signals import NAMES, Level, Name, Signal, raised
from gateway.monitor.spec import Spec
from gateway.monitor.topics import Known
from gateway.monitor.track import Track
from gateway.observe.spool import Record

_WANTED = (b'"exchange.completed"', b'"score.recorded"', b'"feedback.received"')


@dataclass(slots=True, eq=False)
class Watch:
    """`events` and `records` take in; `look` judges; `outbox` has what came of it."""

    spec: Spec
    tracks: dict[Stream, Track] = field(init=False)
    accuracy: Accuracy = field(init=False)
    complaints: Complaints = field(init=False)
    signals: dict[Name, Signal] = field(default_factory=lambda: {name: Signal(name) for name in NAMES})
    known: Known = field(default_factory=Known)
    outbox: Outbox = field(default_factory=Outbox)
    usual: dict[str, float] = field(default_factory=dict)  # what passed of a golden set when it was first run
    runs: dict[str, int] = field(default_factory=dict)  # golden files that were read, by when they were changed
    golden: dict[str, Golden] = field(default_factory=dict)  # the last run of each set
    digest: str = ""  # of the reference
    looks: int = 0
    broken: int = 0  # lines and files that could not be read
    learned: bool = False  # a reference that is not saved yet
    random: Random = field(init=False)
    _exchanges: int = 0
    _complained: list[str] = field(default_factory=list)
    _last: float = 0.0  # instant of the last row

    def __post_init__(self) -> None:
        spec = self.spec
        self.tracks = {stream: Track(stream, spec) for stream in STREAMS}
        self.accuracy = Accuracy(spec.drop, spec.accuracy, spec.alpha)
        self.complaints = Complaints(spec.rise, spec.least, spec.complaints)
        self.random = Random(spec.seed)  # noqa: S311 - a sample, not a secret

    # Taking in…

    def lines(self, lines: list[bytes]) -> None:
        """Lines of the event log."""
        for line in lines:
            if any(name in line for name in _WANTED):
                try:
                    self.event(orjson.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.broken += 1

    def event(self, event: Mapping[str, Any]) -> None:
        if self._ours(event.get("route", "")) and (found := rows.from_event(event)):
            self._row(*found, datetime.fromisoformat(event["ts"]).timestamp())
            self._exchanges += found[0] == "exchanges"
        if event["event"] == "feedback.received":
            self._feedback(event)

    def records(self, records: list[Record]) -> None:
        """Records of the scorer's spool."""
        for record in records:
            try:
                if self._ours(record.head.get("route", "")) and (found := rows.from_record(record)):
                    self._row(*found, float(record.head["at"]))
            except (KeyError, TypeError, ValueError):
                self.broken += 1

    def _ours(self, route: str) -> bool:
        return not self.spec.routes or route in self.spec.routes

    def _row(self, stream: Stream, row: Row, at: float) -> None:
        self._last = max(self._last, at)
        track = self.tracks[stream]
        learning = track.reference is None
        if track.add(row, at, self.random):
            self._check(track, at)
        elif learning and track.reference is not None:
            self.learned = True

    def _check(self, track: Track, at: float) -> None:
        self.looks += 1
        rng = np.random.default_rng(None if self.spec.seed is None else [self.spec.seed, self.looks])
        match track.check(self.known, at, rng):
            case "raised" if track.told:
                told = {**track.told, "alpha": self.spec.alpha, "reference": self.digest}
                self.outbox.put("drift.detected", told)
            case "cleared" if track.told:
                self.outbox.put("drift.cleared", {"stream": track.stream, "p_value": track.told["p_value"]})

    def _feedback(self, event: Mapping[str, Any]) -> None:
        if not self._ours(event.get("route", "")):
            return
        if (right := quality.label(event)) is not None:
            self.accuracy.add(event["id"], right=right)
        if quality.complains(event):
            self._complained.append(event["id"])

    def runs_in(self, folder: Path) -> None:
        """Take in the runs of golden sets that are new in `folder`, oldest first."""
        files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for file in files:
            changed = file.stat().st_mtime_ns
            if self.runs.get(file.name) == changed:
                continue
            self.runs[file.name] = changed
            try:
                run = quality.golden(orjson.loads(file.read_bytes()), self.usual)
            except ValueError:
                self.broken += 1
                continue
            self.usual.setdefault(run.name, run.usual)
            self.golden[run.name] = run

    # Judging…

    def look(self, now: float) -> None:
        """Judge the signals by what is known at the instant `now`."""
        if self.spec.golden:
            with suppress(OSError):
                self.runs_in(self.spec.golden)
        self.complaints.add(self._complained, self._exchanges)
        self._complained, self._exchanges = [], 0
        for name in self.spec.signals:
            self._judge(name, now)

    def _judge(self, name: Name, now: float) -> None:
        level, evidence = self._seen(name)
        signal, terms = self.signals[name], self.spec.signals[name]
        match signal.look(level, terms, now):
            case "raised":
                self.outbox.put("signal.raised", raised(signal, terms, evidence))
            case "cleared":
                self.outbox.put("signal.cleared", {"signal": name, "number": signal.times, "evidence": evidence})
                self._forget(name)

    def _forget(self, name: Name) -> None:
        """Test anew after a signal that is over."""
        match name:
            case "accuracy":
                self.accuracy.again()
            case "complaints":
                self.complaints.again()

    def _seen(self, name: Name) -> tuple[Level, dict[str, Any]]:
        match name:
            case "accuracy":
                return self._accuracy()
            case "topics":
                return self._topics()
            case "complaints":
                return self._complaints()
            case "drift":
                drifting = [track for track in self.tracks.values() if track.drifting]
                told = [track.told for track in drifting]
                return ("act" if drifting else "none"), {"reference": self.digest, "streams": told}

    def _accuracy(self) -> tuple[Level, dict[str, Any]]:
        spec, one = self.spec, self.accuracy
        fell = [run for run in self.golden.values() if run.dropped(spec.drop)]
        surely = [run for run in fell if run.fell(spec.drop, spec.alpha)]
        evidence = {**one.evidence(), "golden_sets": [run.evidence() for run in fell]}
        if surely or (one.sure and not one.recovered):
            return "act", evidence
        return ("watch" if fell or (one.watch and not one.recovered) else "none"), evidence

    def _topics(self) -> tuple[Level, dict[str, Any]]:
        track = self.tracks["prompts"]
        told = track.told
        if not track.drifting or told is None:
            return "none", {}
        new = [topic for topic in told["topics"] if topic["before"] <= topic["share"] / 4]
        share = sum(topic["share"] for topic in new)
        evidence = {"share": round(share, 4), "topics": new, "drifted": told["drifted"], "reference": self.digest}
        return ("act" if share >= self.spec.share else "none"), evidence

    def _complaints(self) -> tuple[Level, dict[str, Any]]:
        standing = self.signals["complaints"].level != "none"
        holds = self.complaints.risen or (standing and not self.complaints.recovered)
        return ("act" if holds else "none"), self.complaints.evidence()

    # What it rests on…

    def load_reference(self) -> bool:
        """Rest on the reference in the state's folder; whether there was another than the one that stood."""
        path = self.spec.state / "reference.npz"
        if not path.exists() or store.digest(path) == self.digest:
            return False
        if (found := store.load(path)) is None:
            return False
        self.digest = store.digest(path)
        for stream, sample in read_reference(found):
            self.tracks[stream].rest_on(sample)
        return True

    def save_reference(self) -> None:
        """Where a stream has learned its reference, write them all."""
        path = self.spec.state / "reference.npz"
        write_reference(path, {stream: track.basis for stream, track in self.tracks.items() if track.basis})
        self.digest, self.learned = store.digest(path), False


def write_reference(path: Path, samples: Mapping[Stream, list[Row]]) -> None:
    packed = {stream: store.packed(sample) for stream, sample in samples.items()}
    store.save(path, {s: told for s, (told, _) in packed.items()}, {s: vectors for s, (_, vectors) in packed.items()})


def read_reference(found: tuple[Any, store.Arrays]) -> Iterator[tuple[Stream, list[Row]]]:
    told, arrays = found
    for stream in STREAMS:
        if stream in told:
            yield stream, store.unpacked(told[stream], arrays[stream])
