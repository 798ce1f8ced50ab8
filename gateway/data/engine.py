"""What is kept, as an engine of the worker harness: takes exchanges and feedback, follows the event log for the rest.

Spec: `{"file", "events": path of the log or "-", "entities", "score", "hold_s", "hold_bytes", "days", "rows", "bytes",
"reasons": {…}}`. Nothing is written before the recognisers of the `pii` rail have looked at it: where they fail, it is
lost, and counted. One thread writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson

from gateway.data.holding import Holding, Reasons
from gateway.data.row import Feedback, Row, bare
from gateway.data.store import Store
from gateway.errors import WorkerFault
from gateway.observe.spool import Lines, Mark
from gateway.policy.engines import pii

Json = Any
T = TypeVar("T")

LOOK_S = 0.5
PURGE_S = 60.0
WAIT_S = 1.0  # for an exchange whose feedback was quicker than its own record
_STEP_S = 0.05
_WANTED = (b'"score.recorded"', b'"drift.detected"')


class Finder(Protocol):
    """The `pii` engine."""

    async def call(self, method: str, payload: Json) -> Json: ...


def prepare(spec: Json) -> dict[str, pii.Kind]:
    """The recognisers."""
    return pii.prepare({"entities": spec["entities"]})


@asynccontextmanager
async def open(spec: Json, prepared: dict[str, pii.Kind]) -> AsyncIterator[Engine]:  # noqa: A001 - the harness's word
    with ThreadPoolExecutor(1, "store") as executor:
        loop = asyncio.get_running_loop()
        store = await loop.run_in_executor(executor, Store.open, Path(spec["file"]))
        lines = None if spec["events"] == "-" else Lines(Path(spec["events"]), _end(Path(spec["events"])))
        holding = Holding(spec["hold_s"], spec["hold_bytes"])
        engine = Engine(spec, store, executor, holding, Reasons(**spec["reasons"]), pii.Engine(prepared), lines)
        task = asyncio.create_task(engine.run())
        try:
            yield engine
        finally:
            task.cancel()
            await asyncio.wait([task])
            await loop.run_in_executor(executor, store.db.close)
            if lines:
                lines.close()


def _end(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return Mark()
    return Mark(found.st_ino, found.st_size)


@dataclass(slots=True, eq=False)
class Engine:
    spec: Mapping[str, Json]
    store: Store
    executor: Executor
    holding: Holding
    reasons: Reasons
    finder: Finder
    log: Lines | None = None
    purged: float = field(default_factory=lambda: -PURGE_S)

    async def call(self, method: str, payload: Json) -> Json:
        """`keep` takes `{"rows": […]}` as `handover` makes them, gives null. `say` takes feedback, see there; `unsay`
        takes back what could not be recorded.

        Raises `WorkerFault` for any other method, and where the file cannot be written.
        """
        try:
            match method:
                case "keep":
                    return await self.keep([Row(**row) for row in payload["rows"]])
                case "say":
                    return await self.say(payload)
                case "unsay":
                    return await self._write(self.store.unsay, *payload)
        except sqlite3.Error as error:
            raise WorkerFault(f"data: the store failed ({type(error).__name__})") from None
        raise WorkerFault(f"data: no method {method!r}")

    async def run(self) -> None:
        """Follow the log and keep within bounds, for ever. A store that fails now may be well later."""
        while True:
            try:
                await self._follow()
                await self._tidy(time.monotonic(), time.time())
            except sqlite3.Error:
                await asyncio.sleep(LOOK_S)
            await asyncio.sleep(LOOK_S)

    # Exchanges…

    async def keep(self, rows: Sequence[Row]) -> None:
        await self._write(self.store.know, rows)
        now: list[Row] = []
        for row in rows:
            row.reasons = self.reasons.at_once(row)
            if not row.texts.get("input") and not row.texts.get("output"):
                continue
            if row.reasons:
                now.append(row)
            elif self.reasons.later:
                self.holding.hold(row)
        await self._store(now)

    async def _store(self, rows: Iterable[Row]) -> None:
        clean = [kept for row in rows if (kept := await self._scrubbed(row)) is not None]
        if clean:
            await self._write(self.store.put, clean)

    async def _scrubbed(self, row: Row) -> Row | None:
        """`row` without personal data; None where nobody can tell whether it has any."""
        try:
            sides = {side: await self._sayings(row.texts.get(side, ())) for side in ("input", "output")}
        except Exception:  # noqa: BLE001 - whatever a recogniser stumbles over: what was not looked at is not kept
            await self._write(self.store.count, "scrub_failed", 1)
            return None
        return replace(row, texts={**row.texts, **sides})

    async def _sayings(self, said: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
        texts = await self.scrub([one["text"] for one in said])
        return [{**one, "text": text} for one, text in zip(said, texts, strict=True)]

    async def scrub(self, texts: Sequence[str]) -> list[str]:
        """`texts` with placeholders where personal data stood. Raises whatever the recognisers do."""
        asked = {"entities": self.spec["entities"], "score": self.spec["score"], "texts": list(texts)}
        found = (await self.finder.call("inspect", asked))["spans"]
        return [_without(text, spans) for text, spans in zip(texts, found, strict=True)]

    async def _reason(self, ident: str, reason: str, topic: str = "") -> None:
        """There is a reason to keep an exchange: write it, if it waits; add the reason, if it is kept."""
        row = self.holding.take(ident)
        if row is None:
            if not await self._write(self.store.mark, ident, reason, topic):
                await self._write(self.store.count, "too_late", 1)
            return
        row.reasons.add(reason)
        row.topic = topic or row.topic
        await self._store([row])

    # Feedback…

    async def say(self, payload: Json) -> Json:
        """Of `{"id", "key" or null for anybody's, "by", "once", "feedback": {name, source, value, label, comment,
        correction}}` to `{"taken": "new" | "again" | "conflict" | "unknown" | "ambiguous", "id", "route", "texts"}`;
        `texts` is false where texts came that could not be scrubbed and so were left out.
        """
        found = await self._found(payload["id"], payload["key"])
        if len(found) != 1:
            return {"taken": "ambiguous" if found else "unknown"}
        (ident, route), told = found[0], payload["feedback"]
        said = Feedback(exchange=ident, key=payload["by"], at=time.time(), **told)
        digest = said.digest
        try:
            comment, correction = await self.scrub([said.comment, said.correction])
            clean, whole = replace(said, comment=comment, correction=correction), True
        except Exception:  # noqa: BLE001 - as with exchanges
            await self._write(self.store.count, "scrub_failed", 1)
            clean, whole = replace(said, comment="", correction=""), not (said.comment or said.correction)
        taken = await self._write(self.store.say, clean, payload["once"], digest)
        if taken == "new" and said.reason and self.reasons.feedback:
            await self._reason(ident, said.reason)
        return {"taken": taken, "id": ident, "route": route, "texts": whole}

    async def _found(self, ident: str, key: str | None) -> Sequence[tuple[str, str]]:
        until = time.monotonic() + WAIT_S
        while True:
            found = await self._write(self.store.answers, ident, bare(ident), key)
            if found or time.monotonic() > until:
                return found
            await asyncio.sleep(_STEP_S)

    # What the log says…

    async def _follow(self) -> None:
        while self.log and (lines := self.log.read()):
            for line in lines:
                if any(word in line for word in _WANTED):
                    await self._event(line)
            await asyncio.sleep(0)

    async def _event(self, line: bytes) -> None:
        try:
            event = orjson.loads(line)
            match event["event"]:
                case "score.recorded":
                    await self._scored(event["id"], event["scores"])
                case "drift.detected" if self.reasons.drifted:
                    topics = {ident: one["id"] for one in event["topics"] for ident in one["examples"]}
                    for ident in dict.fromkeys([*event["drifted"], *topics]):
                        await self._reason(ident, "drifted", topics.get(ident, ""))
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return  # no event, or not one of ours

    async def _scored(self, ident: str, scores: dict[str, float]) -> None:
        self.holding.note(ident, scores=scores)
        if self.reasons.scored(scores):
            await self._reason(ident, "score")
        if ident not in self.holding.rows:
            await self._write(self.store.mark, ident, "", "", scores)

    async def _tidy(self, clock: float, now: float) -> None:
        self.holding.expire(now)
        if clock - self.purged < PURGE_S:
            return
        self.purged = clock
        bounds = now, self.spec["days"], self.spec["rows"], self.spec["bytes"]
        if gone := await self._write(self.store.purge, *bounds):
            await self._write(self.store.count, "purged", gone)
        if dropped := self.holding.dropped:
            self.holding.dropped = 0
            await self._write(self.store.count, "no_room_to_wait", dropped)

    async def _write(self, do: Callable[..., T], *with_: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.executor, do, *with_)


def _without(text: str, spans: Sequence[Sequence[Any]]) -> str:
    for start, end, entity, _ in sorted(spans, key=lambda span: span[0], reverse=True):
        text = f"{text[:start]}[{entity}]{text[end:]}"
    return text
