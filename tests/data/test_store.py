"""What the worker keeps, for which reason, and what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.kept import RECORD, row, said

from gateway.data.engine import Engine
from gateway.data.handover import Handover
from gateway.data.holding import Holding, Reasons
from gateway.data.proof import remains
from gateway.data.row import hidden
from gateway.data.store import Store
from gateway.errors import WorkerFault, WorkerLost
from gateway.exchange import Exchange, Timing
from gateway.observe.spool import Lines

SPEC = {"entities": ["EMAIL_ADDRESS"], "score": 0.4, "days": 1e6, "rows": 1000, "bytes": 1 << 20}
TEXT = "a word that is long enough to be looked for in a file"


class Nobody:
    """Finds no personal data; `ill` ones fall over."""

    def __init__(self) -> None:
        self.ill = False

    async def call(self, method: str, payload: Any) -> Any:
        if self.ill:
            raise RuntimeError
        return {
            "spans": [[[0, 4, "EMAIL_ADDRESS", 1.0]] if text.startswith("MAIL") else [] for text in payload["texts"]]
        }


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    log = tmp_path / "events.jsonl"
    log.touch()
    with ThreadPoolExecutor(1) as executor, Store.open(tmp_path / "data.db") as store:
        reasons = Reasons(below={"groundedness": 0.5}, above={"toxicity": 0.8})
        lines = Lines(log)
        yield Engine(SPEC, store, executor, Holding(3600, 1 << 20), reasons, Nobody(), lines)
        lines.close()


def kept(engine: Engine) -> dict[str, set[str]]:
    return {row.id: row.reasons for row, _ in engine.store.rows()}


async def told(engine: Engine, *events: dict[str, Any]) -> None:
    assert engine.log is not None
    path = engine.store.path.with_name("events.jsonl")
    with path.open("ab") as file:
        file.writelines(orjson.dumps(event) + b"\n" for event in events)
    await engine._follow()


def score(number: int, **scores: float) -> dict[str, Any]:
    return {"event": "score.recorded", "id": f"req_{number}", "scores": scores}


async def test_nothing_is_kept_without_a_reason(engine: Engine) -> None:
    await engine.keep([row(1, "?", TEXT), row(2, "?", TEXT, record={**RECORD, "verdict": "flag"})])
    assert kept(engine) == {"req_2": {"guarded"}}
    assert list(engine.holding.rows) == ["req_1"]


async def test_scores_and_drift_are_reasons(engine: Engine) -> None:
    await engine.keep([row(n, "?", TEXT) for n in range(5)])
    drift = {"event": "drift.detected", "drifted": ["req_3"], "topics": [{"id": "t1", "examples": ["req_4"]}]}
    await told(engine, score(0, groundedness=0.4), score(1, toxicity=0.9), score(2, groundedness=0.6), drift)
    assert kept(engine) == {"req_0": {"score"}, "req_1": {"score"}, "req_3": {"drifted"}, "req_4": {"drifted"}}
    found = {row.id: row for row, _ in engine.store.rows()}
    assert (found["req_4"].topic, found["req_0"].scores) == ("t1", {"groundedness": 0.4})


async def test_a_line_that_is_no_event_does_no_harm(engine: Engine) -> None:
    await engine.keep([row(1, "?", TEXT)])
    await told(
        engine, {"event": "score.recorded"}, {"event": "drift.detected", "drifted": None}, score(1, toxicity=1.0)
    )
    assert kept(engine) == {"req_1": {"score"}}


async def test_what_cannot_be_scrubbed_is_not_kept_and_counted(engine: Engine) -> None:
    assert isinstance(engine.finder, Nobody)
    engine.finder.ill = True
    await engine.keep([row(1, "?", TEXT, record={**RECORD, "verdict": "block"}), row(2, "?", TEXT)])
    feedback = {"name": "n", "source": "user", "value": 0.0, "label": "", "comment": TEXT, "correction": ""}
    answer = await engine.say({"id": "req_2", "key": "app", "by": "app", "once": "", "feedback": feedback})
    assert (answer["taken"], answer["texts"]) == ("new", False)
    assert kept(engine) == {}
    assert engine.store.counts()["scrub_failed"] == 3
    assert remains(engine.store.path, [TEXT]) == 0


async def test_personal_data_is_replaced_before_it_is_kept(engine: Engine) -> None:
    await engine.keep([row(1, "MAIL me", TEXT, record={**RECORD, "verdict": "flag"})])
    [(found, _)] = engine.store.rows()
    assert found.texts["input"][0]["text"] == "[EMAIL_ADDRESS] me"


async def test_feedback_that_comes_too_late_for_the_text_is_counted(engine: Engine) -> None:
    await engine.keep([row(1, "?", TEXT)])
    engine.holding.expire(now=2e9)
    feedback = {"name": "n", "source": "user", "value": 0.0, "label": "", "comment": "", "correction": ""}
    await engine.say({"id": "req_1", "key": "app", "by": "app", "once": "", "feedback": feedback})
    assert engine.store.counts()["too_late"] == 1


async def test_the_worker_knows_no_other_method(engine: Engine) -> None:
    with pytest.raises(WorkerFault):
        await engine.call("sell", {})


def test_the_oldest_go_when_there_is_no_room_to_wait() -> None:
    holding = Holding(10.0, 2000)
    for n in range(5):
        holding.hold(row(n, "?", "x" * 300))
    assert (list(holding.rows), holding.dropped) == (["req_3", "req_4"], 3)
    assert holding.used == sum(one.size for one in holding.rows.values())


@pytest.mark.parametrize(("bounds", "left"), [((2, 100, 1 << 20), 5), ((1e9, 3, 1 << 20), 3), ((1e9, 100, 700), 2)])
def test_what_is_too_old_or_too_much_goes(tmp_path: Path, bounds: tuple[float, int, int], left: int) -> None:
    with Store.open(tmp_path / "data.db") as store:
        store.put([row(n, "?", TEXT + str(n)) for n in range(10)])
        size = store.db.execute("SELECT MAX(size) FROM exchanges").fetchone()[0]
        now = 1_700_000_005 + 2 * 86_400 if bounds[0] == 2 else 1_700_000_010
        store.purge(now, bounds[0], bounds[1], 2 * size if bounds[2] == 700 else bounds[2])
        assert [one.id for one, _ in store.rows()] == [f"req_{n}" for n in range(10 - left, 10)]


@pytest.mark.parametrize("by", ["id", "user", "key"])
def test_what_is_deleted_is_gone_from_the_bytes_and_does_not_come_back(tmp_path: Path, by: Any) -> None:
    file = tmp_path / "data.db"
    long = " ".join(f"{TEXT} {n}" for n in range(400))  # over several pages
    with Store.open(file) as store:
        mine, other = row(1, "?", long), row(2, "?", "Somebody else's words, which are to stay where they are")
        mine.user, other.key = hidden("u"), "else"
        store.know([mine, other])
        store.put([mine, other])
        store.say(said(1, comment="I did not like that answer at all, not one bit"))
        assert remains(file, [long]) > 100
        gone, texts = store.forget(by, [{"id": "req_1", "user": hidden("u"), "key": "app"}[by]])
        assert (gone, len(texts)) == (1, 3)
        assert remains(file, texts) == 0
        assert store.put([mine]) == 0, "it was still on its way"
        assert [one.id for one, _ in store.rows()] == ["req_2"]


async def test_a_full_queue_and_a_lost_worker_cost_what_they_had() -> None:
    class Gone:
        async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
            raise WorkerLost("gone")

    handover = Handover(Gone())
    for n in range(1025):
        handover.offer(Exchange(f"req_{n}", "/chat/completions", Timing(0.0)), {"id": f"req_{n}"})
    assert handover.lost.count == 1
    task = asyncio.create_task(handover.run())
    await handover.queue.join()
    task.cancel()
    assert handover.lost.count == 1025
