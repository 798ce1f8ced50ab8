"""A log comes to the figures that counting by hand comes to, whatever form its files have."""

from __future__ import annotations

import gzip
import io
import random
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console
from support.exchanges import finished
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.observe.events import ExchangeCompleted, Judgement
from gateway.observe.log import open_log
from gateway.record import completed
from gateway.report.figures import GROUPS, Report, report
from gateway.report.log import COLUMNS, NoLog, compact, opened
from gateway.report.page import page
from gateway.report.screen import bars, show

BEGAN = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOURLY = {"vllm": 3.6}


def exchanges(count: int = 300) -> Iterator[dict[str, Any]]:
    rng = random.Random(7)
    for n in range(count):
        blocked = n % 10 == 0
        said = {
            "stage": "input",
            "rail": "words",
            "action": "block",
            "rules": ["a", "b"],
            "fault": "",
            "enforced": n % 20 == 0,
        }
        yield {
            "event": "exchange.completed",
            "ts": (BEGAN + timedelta(minutes=10 * n)).isoformat(),
            "id": f"{n:04}",
            "principal": rng.choice(["app-1", "<b>"]),
            "endpoint": "chat/completions",
            "model": rng.choice(["small", "large"]),
            "policy": "default",
            "upstream": rng.choice(["vllm", "claude"]),
            "outcome": "blocked" if blocked else "failed" if n % 25 == 1 else "completed",
            "status": 400 if blocked else 502 if n % 25 == 1 else 200,
            "error": "content_filter" if blocked else "upstream_error" if n % 25 == 1 else "",
            "verdict": "block" if blocked else "allow",
            "input_tokens": rng.randrange(100),
            "output_tokens": rng.randrange(100),
            "cost_usd": rng.randrange(1000) / 1e6,
            "gpu_usd": rng.randrange(1000) / 1e6,
            "total_ms": rng.lognormvariate(6, 1),
            "first_token_ms": None if blocked else 5.0,
            "judgements": [said] if blocked else [],
        }  # fmt: skip


EVENTS = [*exchanges()]
SCORES = [
    {"event": "score.recorded", "ts": BEGAN.isoformat(), "id": "1", "scores": {"relevance": n / 10}} for n in range(11)
]
LINES = b"".join(orjson.dumps(event) + b"\n" for event in [*EVENTS, *SCORES, {"event": "worker.started", "ts": "x"}])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "events.jsonl"
    file.write_bytes(LINES + b'{"event": "exchange.completed", "ts": "2026-11-0')
    return file


def of(*files: Path, by: tuple[str, ...] = ("key", "model", "day"), **span: Any) -> Report:
    with opened(files, **span) as found:
        return report(found, by, HOURLY)


@pytest.fixture(scope="module")
def found(log: Path) -> Report:
    return of(log)


def test_every_column_is_a_field_of_the_event() -> None:
    own = {"event", "ts", "scores"}
    assert set(COLUMNS) - own <= set(ExchangeCompleted.model_fields)
    assert {"stage", "rail", "action", "rules", "fault", "enforced"} <= set(Judgement.model_fields)


def test_the_whole_is_what_counting_by_hand_comes_to(found: Report) -> None:
    whole = found.whole
    assert whole.exchanges == len(EVENTS)
    assert whole.usd == pytest.approx(sum(event["cost_usd"] for event in EVENTS), abs=1e-9)
    assert whole.input_tokens == sum(event["input_tokens"] for event in EVENTS)
    assert whole.failed == sum(event["outcome"] == "failed" for event in EVENTS) / len(EVENTS)
    assert whole.refused == 0.1
    assert whole.total_ms is not None
    cuts = statistics.quantiles([event["total_ms"] for event in EVENTS], n=100, method="inclusive")
    assert whole.total_ms == pytest.approx([cuts[49], cuts[94], cuts[98]])
    assert (found.began, found.ended) == (BEGAN.replace(tzinfo=None), datetime(2026, 11, 3, 13, 50))  # noqa: DTZ001


@pytest.mark.parametrize("name", GROUPS)
def test_groups_sum_to_the_whole(log: Path, name: str) -> None:
    rows = of(log, by=(name,)).groups[name]
    assert len({row.name for row in rows}) == len(rows)
    if name not in {"minute", "hour"}:
        assert sum(row.exchanges for row in rows) == len(EVENTS)
    else:
        assert [row.name for row in rows] == sorted(row.name for row in rows)


def test_what_machines_did_and_what_they_idled_is_their_bill(found: Report) -> None:
    (machine,) = found.machines
    used = sum(event["gpu_usd"] for event in EVENTS if event["upstream"] == "vllm")
    assert machine.bill == pytest.approx(3.6 * 299 / 6)
    assert machine.attributed == pytest.approx(used, abs=1e-9)
    assert machine.attributed + machine.idle == machine.bill
    assert found.usd == pytest.approx(found.whole.usd + machine.idle)


def test_refusals_are_counted_by_rule_and_told_from_those_only_watched(found: Report) -> None:
    assert [(r.rail, r.rule, r.stopped, r.watched) for r in found.refusals] == [
        ("words", "a", 15, 15),
        ("words", "b", 15, 15),
    ]


def test_failures_and_scores_are_told(found: Report) -> None:
    assert sum(failure.count for failure in found.failures) == sum(event["outcome"] == "failed" for event in EVENTS)
    (score,) = found.scores
    assert (score.metric, score.answers) == ("relevance", 11)
    assert score.mean == pytest.approx(0.5)
    assert score.spread == pytest.approx([0.05, 0.5, 0.95])


def test_packed_files_say_the_same(log: Path, found: Report, tmp_path: Path) -> None:
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(LINES))
    compact([log], tmp_path / "events.parquet")
    assert of(packed) == found
    assert of(tmp_path / "events.parquet") == found


def test_files_of_both_kinds_add_up(log: Path, tmp_path: Path) -> None:
    compact([log], tmp_path / "events.parquet")
    assert of(log, tmp_path / "events.parquet").whole.exchanges == 2 * len(EVENTS)


def test_a_span_leaves_out_what_is_outside(log: Path) -> None:
    after, before = datetime(2026, 11, 1, 13), datetime(2026, 11, 1, 14)  # noqa: DTZ001 - UTC, as the log is
    assert of(log, since=after, until=before).whole.exchanges == 6


def test_a_log_without_exchanges_is_told(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"")
    out = Console(width=100, record=True, file=io.StringIO())
    empty = of(tmp_path / "events.jsonl")
    show(empty, out)
    assert "no exchanges" in out.export_text() + page(empty)


@pytest.mark.parametrize("name", ["notes.txt", "gone.jsonl", "torn.parquet"])
def test_what_is_no_log_is_refused(tmp_path: Path, name: str) -> None:
    if name != "gone.jsonl":
        (tmp_path / name).write_text("hello")
    with pytest.raises(NoLog):
        of(tmp_path / name)


def test_the_screen_shows_every_figure(found: Report) -> None:
    out = Console(width=160, record=True, file=io.StringIO())
    show(found, out)
    text = out.export_text()
    for said in ("300 exchanges", "by key", "by day", "refused by", "went wrong", "scores", "machines", "idle $", "█"):
        assert said in text


def test_the_page_is_one_file_that_runs_nothing_and_takes_names_as_text(found: Report) -> None:
    html = page(found, "A <title>")
    assert html.count("<svg") == 5
    assert "<script" not in html
    assert "A &lt;title&gt;" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.replace("<b>", "", html.count("<li>"))
    assert page(found, "A <title>") == html


def test_bars_fit_the_line_and_show_the_largest() -> None:
    assert bars([]) == ""
    assert bars([0.0, 1.0]) == "▁█"
    assert len(bars([1.0] * 1000)) <= 72


def test_events_as_the_gateway_writes_them_are_read(tmp_path: Path) -> None:
    with open_log(str(tmp_path / "events.jsonl")) as log:
        log.emit("exchange.completed", **completed(finished()))
    whole = of(tmp_path / "events.jsonl").whole
    assert (whole.exchanges, whole.input_tokens) == (1, 100)
    assert whole.usd == pytest.approx(0.0201)


def test_the_command_prints_and_writes_a_page(log: Path, tmp_path: Path) -> None:
    html, packed = tmp_path / "report.html", tmp_path / "log.parquet"
    done = CliRunner().invoke(
        app, ["report", str(log), "--by", "model", "--html", str(html), "-c", str(tmp_path / "no")]
    )
    assert done.exit_code == 0, done.output
    assert "300 exchanges" in done.output
    assert "by model" in html.read_text().lower()
    assert CliRunner().invoke(app, ["compact", str(log), "--to", str(packed)]).exit_code == 0
    assert packed.stat().st_size < log.stat().st_size / 2


def test_the_command_says_what_it_can_group_by(log: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(log), "--by", "modle"])
    assert done.exit_code == 2
    assert "did you mean" in done.output
