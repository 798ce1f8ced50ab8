import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.monitor_data import Traffic

from gateway.monitor import gauges
from gateway.monitor.engine import Following, followed
from gateway.monitor.rows import Row, sampled
from gateway.monitor.store import load, packed, save, unpacked
from gateway.observe.events import check
from gateway.observe.exposition import summed
from gateway.observe.spool import Record


@pytest.fixture
def traffic(tmp_path: Path) -> Traffic:
    return Traffic(tmp_path)


def entries(following: Following, since: int = 0) -> list[tuple[str, Any]]:
    """What was found after number `since`, as the catalogue has it."""
    found = [(event, fields) for number, event, fields in following.watch.outbox.entries if number > since]
    for event, fields in found:
        stamp = {"event": event, "ts": "2026-11-23T00:00:00Z", "process": 1, "seq": 1}
        check({**stamp, **json.loads(json.dumps(fields))})
    return found


def stepped(following: Following, now: float = 0.0) -> Following:
    while following.step(now):
        pass
    return following


@pytest.fixture
def opened() -> Iterator[list[Following]]:
    some: list[Following] = []
    yield some
    for one in some:
        one.close()


def test_a_new_topic_is_told_with_its_words_and_exchanges_and_raises_signals(
    traffic: Traffic, opened: list[Following]
) -> None:
    opened.append(following := followed(traffic.spec()))
    traffic.send(600)
    assert entries(stepped(following)) == []
    traffic.send(400, new=0.25)
    found = entries(stepped(following))
    assert found[0][0] == "drift.detected"
    drift = found[0][1]
    assert drift["stream"] == "prompts"
    assert set(drift["topics"][0]["terms"]) == {"customs", "duty"}
    assert drift["topics"][0]["before"] < 0.01
    assert all(int(id_[1:]) > 600 for id_ in drift["topics"][0]["examples"])
    assert {fields["signal"] for event, fields in found if event == "signal.raised"} == {"topics", "drift"}


def test_drift_that_ends_is_cleared_and_its_signals_too(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec()))
    traffic.send(900)
    traffic.send(300, new=0.4)
    stepped(following)
    before = following.watch.outbox.number
    traffic.send(600)
    stepped(following)
    stepped(following)
    after = [(event, fields.get("signal")) for event, fields in entries(following, before)]
    assert ("drift.cleared", None) in after
    assert {("signal.cleared", "topics"), ("signal.cleared", "drift")} <= set(after)


def test_a_fall_in_accuracy_is_watched_then_acted_upon(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec(accuracy=0.9)))
    traffic.send(600, right=0.9)
    assert entries(stepped(following)) == []
    for _ in range(12):
        traffic.send(100, right=0.7)
        stepped(following)
    found = [fields for event, fields in entries(following) if event == "signal.raised"]
    assert [(one["signal"], one["level"]) for one in found] == [("accuracy", "watch"), ("accuracy", "act")]
    assert found[1]["evidence"]["accuracy_upper"] < 0.85
    assert found[1]["evidence"]["exchanges"]
    before = following.watch.outbox.number
    traffic.send(700, right=0.95)
    stepped(following)
    stepped(following)
    assert [event for event, _ in entries(following, before)] == ["signal.cleared"]


def test_complaints_that_rise_are_told_once_within_the_cooldown(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec()))
    traffic.send(1000, complaints=0.02)
    stepped(following)
    for _ in range(10):
        traffic.send(60, complaints=0.12)
        stepped(following)
    found = [fields for event, fields in entries(following) if event == "signal.raised"]
    assert [one["signal"] for one in found] == ["complaints"]
    assert found[0]["evidence"]["exchanges"]


def test_golden_sets_raise_the_signal_by_how_far_they_fell(traffic: Traffic, opened: list[Following]) -> None:
    golden = traffic.folder / "golden"
    golden.mkdir()
    opened.append(following := followed(traffic.spec(golden=golden)))

    def ran(name: str, passed: int) -> str:
        (golden / name).write_text(json.dumps({"set": "capitals", "passed": passed, "total": 400}))
        stepped(following)
        return following.watch.signals["accuracy"].level

    assert [ran("1.json", 360), ran("2.json", 350), ran("3.json", 335), ran("4.json", 300)] == [
        "none",
        "none",
        "watch",
        "act",
    ]
    (golden / "5.json").write_text("{}")
    stepped(following)
    assert following.watch.broken == 1


def test_a_monitor_that_is_killed_anywhere_comes_to_the_same(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(steady := followed(traffic.spec(state=traffic.folder / "steady")))
    opened.append(shaky := followed(traffic.spec()))
    for step in range(8):
        traffic.send(100, new=0.3 if step > 4 else 0.0, right=0.9 if step < 5 else 0.6)
        for one in (steady, shaky):
            stepped(one)
        if step % 2:
            shaky.save()
        shaky.close()  # what was not saved is gone
        opened.append(shaky := followed(traffic.spec()))
    told = [[(n, event) for n, event, _ in one.watch.outbox.entries] for one in (steady, stepped(shaky))]
    assert [event for _, event in told[0]] == [event for _, event in told[1]]
    assert "drift.detected" in {event for _, event in told[0]}
    assert shaky.watch.accuracy.seen == steady.watch.accuracy.seen == 800


def test_a_signal_that_stands_still_stands_after_another_start(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec()))
    for step in range(8):
        traffic.send(100, new=0.4 if step > 3 else 0.0)
        stepped(following)
    standing = {name for name, signal in following.watch.signals.items() if signal.level == "act"}
    assert {"drift", "topics"} <= standing
    following.save()
    following.close()
    opened.append(again := followed(traffic.spec()))
    for _ in range(5):
        stepped(again)
    assert {name for name, signal in again.watch.signals.items() if signal.level == "act"} == standing


def test_a_state_that_cannot_be_read_is_put_aside(traffic: Traffic, opened: list[Following]) -> None:
    state = traffic.folder / "state" / "state.npz"
    state.parent.mkdir(exist_ok=True)
    state.write_bytes(b"PK\x03\x04 torn")
    opened.append(following := followed(traffic.spec()))
    assert following.watch.outbox.number == 0
    assert state.with_name("state.npz.broken").exists()


def test_another_reference_is_taken_over_while_it_runs(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec()))
    traffic.send(600)
    stepped(following)
    first = following.watch.digest
    told, vectors = packed(following.watch.tracks["prompts"].window.rows)
    save(traffic.folder / "state" / "reference.npz", {"prompts": told}, {"prompts": vectors})
    traffic.send(10)
    stepped(following)
    assert following.watch.digest != first
    assert len(following.watch.tracks["prompts"].basis) == 200
    assert following.watch.tracks["prompts"].window.rows == []


def test_what_cannot_be_read_is_counted_and_stops_nothing(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec()))
    traffic.log.write_text('{"event":"exchange.completed"}\n{"event":"feedback.received",\n[]\n"score.recorded"\n')
    traffic.spool.put([Record({"kind": "prompt"}, b"ab"), Record({"kind": "prompt", "id": "x"}, b"a")])
    traffic.send(5)
    stepped(following)
    assert following.watch.broken == 4
    assert len(following.watch.tracks["prompts"].learning.rows) == 5


def test_metrics_are_prometheus_text_with_nothing_twice(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec()))
    traffic.send(600, right=0.9)
    traffic.send(400, new=0.3, right=0.9)
    stepped(following)
    text = gauges.text(following.watch)
    series = [line.split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))
    assert 'tidegate_signal{signal="drift"} 2.0' in text
    assert summed([text]).count("tidegate_labels_total 1000.0") == 1


def test_other_routes_are_left_alone(traffic: Traffic, opened: list[Following]) -> None:
    opened.append(following := followed(traffic.spec(routes=frozenset({"other"}))))
    traffic.send(400, right=0.5)
    stepped(following)
    assert following.watch.accuracy.seen == 0
    assert following.watch.tracks["prompts"].learning.seen == 0


def test_rows_are_kept_as_they_are(tmp_path: Path) -> None:
    vector = np.arange(4, dtype=np.float16)
    rows: Sequence[Row] = [Row("a", {"chars": 3.0}, {"language": "en"}, ("word",), vector), Row("b")]
    told, vectors = packed(rows)
    save(tmp_path / "rows.npz", told, {"v": vectors})
    found = load(tmp_path / "rows.npz")
    assert found is not None
    first, second = unpacked(found[0], found[1]["v"])
    assert (first.id, first.numbers, first.classes, first.words) == ("a", {"chars": 3.0}, {"language": "en"}, ("word",))
    assert first.vector is not None
    assert first.vector.tolist() == [0, 1, 2, 3]
    assert second == Row("b")
    assert len(sampled(rows)) == 1
