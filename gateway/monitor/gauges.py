"""What `/metrics` shows of a monitor, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from gateway.monitor.signals import LEVELS
from gateway.monitor.watch import Watch

TOLD: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "tidegate_drift_detected": ("gauge", "Whether a stream drifts (1) or not (0)."),
        "tidegate_drift_p_value": ("gauge", "Of a stream's last check: its vectors', or its features', adjusted."),
        "tidegate_drift_statistic": ("gauge", "MMD of the last check of a stream's vectors."),
        "tidegate_drift_checks_total": ("counter", "Windows that were checked."),
        "tidegate_drift_window_rows": ("gauge", "Rows in a stream's window."),
        "tidegate_drift_reference_rows": ("gauge", "Rows in a stream's reference; 0 while it is learned."),
        "tidegate_topic_share": ("gauge", "Of the last window's prompts that are about a new topic; the largest ones."),
        "tidegate_signal": ("gauge", "A signal: 0 none, 1 watch, 2 act."),
        "tidegate_signals_total": ("counter", "How often a signal was raised."),
        "tidegate_accuracy_ratio": ("gauge", "Right ones among the last 500 labelled answers."),
        "tidegate_accuracy_baseline_ratio": ("gauge", "What is usual."),
        "tidegate_labels_total": ("counter", "Labelled answers."),
        "tidegate_complaints_total": ("counter", "Exchanges that were complained of."),
        "tidegate_golden_ratio": ("gauge", "What passed in the last run of a golden set."),
        "tidegate_monitor_unread_total": ("counter", "Lines, records and files that could not be read."),
    }
)
"""Every metric: its kind, and what it says."""

TOPICS = 10  # that are shown: a label of its own each

Samples = Iterator[tuple[str, Mapping[str, str], float]]


def text(watch: Watch) -> str:
    samples = list(_samples(watch))
    return "".join(_family(name, [one for one in samples if one[0] == name]) for name in TOLD)


def _family(name: str, samples: list[tuple[str, Mapping[str, str], float]]) -> str:
    if not samples:
        return ""
    kind, told = TOLD[name]
    lines = [f"{name}{_labels(labels)} {float(value)!r}" for _, labels, value in samples]
    return "\n".join([f"# HELP {name} {told}", f"# TYPE {name} {kind}", *lines, ""])


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def _samples(watch: Watch) -> Samples:
    yield from _drift(watch)
    for name in watch.spec.signals:
        signal = watch.signals[name]
        yield "tidegate_signal", {"signal": name}, LEVELS.index(signal.level)
        yield "tidegate_signals_total", {"signal": name}, signal.times
    yield from _quality(watch)
    yield "tidegate_monitor_unread_total", {}, watch.broken


def _drift(watch: Watch) -> Samples:
    for stream, track in watch.tracks.items():
        labels = {"stream": stream}
        yield "tidegate_drift_detected", labels, track.drifting
        yield "tidegate_drift_checks_total", labels, track.looks
        yield "tidegate_drift_window_rows", labels, len(track.window.rows)
        yield "tidegate_drift_reference_rows", labels, len(track.basis)
        if track.last:
            yield "tidegate_drift_p_value", labels, track.last.p
        if track.last and track.last.compared:
            yield "tidegate_drift_statistic", labels, track.last.compared.statistic
    last = watch.tracks["prompts"].last
    for topic in (last.topics if last else ())[:TOPICS]:
        yield "tidegate_topic_share", {"topic": topic.id}, topic.share


def _quality(watch: Watch) -> Samples:
    accuracy = watch.accuracy
    if accuracy.level is not None:
        yield "tidegate_accuracy_ratio", {}, accuracy.level
    if accuracy.baseline is not None:
        yield "tidegate_accuracy_baseline_ratio", {}, accuracy.baseline
    yield "tidegate_labels_total", {}, accuracy.seen
    yield "tidegate_complaints_total", {}, watch.complaints.count
    for name, run in sorted(watch.golden.items())[:TOPICS]:
        plain = "".join(letter for letter in name if letter.isalnum() or letter in "._-")
        yield "tidegate_golden_ratio", {"set": plain}, run.passed / run.total
