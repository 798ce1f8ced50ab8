"""Workers that die, hang or talk nonsense while many clients are served; and what became of every exchange.

Each client says what the rail in question blocks, never the same twice: whoever gets an answer got past a guard. Others
say something innocent to a policy without that worker, and must not notice.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
import yaml
from support.answers import answer, completion
from support.operated import PATIENCE_S, Operated, Site, family, operated
from support.script import Script, Seen
from support.scripted import Server, scripted

from gateway.worker.frames import Call, Decoder, Hello, Result, asked, encode

Kind = Literal["guardrails", "nemo", "pii", "scorer"]
Fault = Literal["kill", "hang", "nonsense"]
KINDS: tuple[Kind, ...] = ("guardrails", "nemo", "pii", "scorer")
FAULTS: tuple[Fault, ...] = ("kill", "hang", "nonsense")
DEADLINE_S = 1.5
FORBIDDEN = "tide and time alike, TIDE-1234, ada@example.org"
INNOCENT = "the harbour wakes before the town does"

_POLICIES: Mapping[Kind, dict[str, Any]] = {
    "guardrails": {"input": [{"guardrails": {"spec": "guards/words.yaml", "action": "block"}}]},
    "nemo": {"input": [{"nemo": {"config": "nemo", "action": "block"}}]},
    "pii": {"input": [{"pii": {"entities": ["EMAIL_ADDRESS"], "action": "block"}}]},
    "scorer": {"output": [{"score": {"metric": "relevance", "below": 1.0, "action": "block"}}]},
}
_GUARD = {"id": "guardrails/ban_list", "args": {"max_l_dist": 0, "banned_words": ["tide and time alike"]}}
_REGEX = {"regex_detection": {"input": {"patterns": [r"\bTIDE-[0-9]{4}\b"]}}}
_ENGINES = {"scorer": "gateway.scoring.engine", "guardrails": "gateway.policy.engines.guardrails_ai"}


@dataclass(slots=True)
class Outcome:
    """What one fault came to. `longest` is of the exchanges that were refused for it, in seconds, by their records.

    It is all the time they spent in the gateway; that in which it waits for the model does not count.
    """

    kind: Kind
    fault: Fault
    unavailable: int = 0
    blocked: int = 0
    passed: int = 0
    odd: list[str] = field(default_factory=list)  # neither judged nor refused as it should be
    longest: float = 0.0
    others: int = 0  # untouched


# The gateway


@dataclass(slots=True)
class Stage:
    """A gateway with a policy for each kind of worker, and one that needs none."""

    gateway: Operated
    site: Site
    model: Server
    kinds: Sequence[Kind]
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def ask(self, route: str, text: str) -> tuple[int, str]:
        """Status and error code of an exchange on a connection of its own."""
        body = orjson.dumps(
            {"model": route, "messages": [{"role": "user", "content": f"{next(self.numbers)}: {text}"}]}
        )
        parts = urlsplit(self.gateway.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\nconnection: close\r\n"
            writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            raw = await reader.read()
        finally:
            writer.close()
        status, said = int(raw.split(b" ", 2)[1]), orjson.loads(raw.partition(b"\r\n\r\n")[2])
        return status, (said.get("error") or {}).get("code") or ""

    def processes(self, kind: Kind) -> list[int]:
        """The worker's template and its server."""
        engine = _ENGINES.get(kind, f"gateway.policy.engines.{kind}")
        return [pid for pid in family(self.gateway.process.pid) if engine in _command(pid)]

    async def healed(self, kind: Kind) -> None:
        """Wait until the rail judges again."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.ask(kind, FORBIDDEN))[1] != "content_filter":  # noqa: ASYNC110 - another process's doings
                await asyncio.sleep(0.05)


@asynccontextmanager
async def staged(folder: Path, kinds: Sequence[Kind]) -> AsyncIterator[Stage]:
    site = Site(folder)
    async with scripted(_echoed) as model:
        routes = [{"model": name, "upstreams": ["up"], "policy": name} for name in (*kinds, "plain")]
        scoring = {"sample": 0.0} if "scorer" in kinds else None
        site.configure(model.base_url, routes=routes, scoring=scoring, server={"port": 0, "workers": 1})
        for kind in kinds:
            site.policy(kind, deadline_ms=int(DEADLINE_S * 1000), **_POLICIES[kind])
        site.policy("plain", input=[{"pattern": {"deny": ["tide and time"]}}])
        _guards(site.policies)
        async with operated(site) as gateway:
            await gateway.ready()
            yield Stage(gateway, site, model, kinds)
            assert await gateway.ended(signal.SIGTERM) == 0


def _guards(policies: Path) -> None:
    (policies / "guards").mkdir()
    (policies / "guards/words.yaml").write_text(yaml.safe_dump({"validators": [_GUARD]}))
    (policies / "nemo").mkdir()
    rails = {"config": _REGEX, "input": {"flows": ["regex check input"]}}
    (policies / "nemo/config.yml").write_text(yaml.safe_dump({"models": [], "rails": rails}))


def _echoed(seen: Seen) -> Script:
    return answer(completion("Fine, and so is " + seen.json()["messages"][-1]["content"]))


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


# Faults


async def struck(stage: Stage, kind: Kind, fault: Fault, *, clients: int, each: int) -> Outcome:
    """Let `fault` happen to a worker when a quarter of the exchanges are over; a client's follow one another."""
    outcome, before = Outcome(kind, fault), len(stage.site.events("exchange.completed"))
    others, over = max(1, clients // 4), itertools.count(1)
    begun = asyncio.Event()

    def noted(status: int, code: str) -> None:
        _note(outcome, status, code)
        if next(over) >= clients * each // 4:
            begun.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(stage, kind, FORBIDDEN, each, noted))
        for _ in range(others):
            group.create_task(_client(stage, "plain", INNOCENT, each, partial(_other, outcome)))
        await begun.wait()
        async with _FAULTS[fault](stage, kind):
            await asyncio.sleep(2 * DEADLINE_S)
    await stage.healed(kind)
    records = stage.site.events("exchange.completed")[before:]
    ours = [r for r in records if r["policy"] == kind and r["outcome"] == "unavailable"]
    outcome.longest = max((r["overhead_ms"] / 1000 for r in ours), default=0.0)
    outcome.odd += [f"{r['error']} in the record" for r in ours if r["error"] != "policy_unavailable"]
    return outcome


async def _client(stage: Stage, route: str, text: str, each: int, note: Callable[[int, str], None]) -> None:
    for _ in range(each):
        note(*await stage.ask(route, text))


def _note(outcome: Outcome, status: int, code: str) -> None:
    match status, code:
        case 503, "policy_unavailable":
            outcome.unavailable += 1
        case 400, "content_filter":
            outcome.blocked += 1
        case 200, _:
            outcome.passed += 1
        case _:
            outcome.odd.append(f"{status} {code}")


def _other(outcome: Outcome, status: int, code: str) -> None:
    if status == 200:
        outcome.others += 1
    else:
        outcome.odd.append(f"another policy's exchange: {status} {code}")


@asynccontextmanager
async def _killed(stage: Stage, kind: Kind) -> AsyncIterator[None]:
    for pid in stage.processes(kind):
        os.kill(pid, signal.SIGKILL)
    yield


@asynccontextmanager
async def _hung(stage: Stage, kind: Kind) -> AsyncIterator[None]:
    """Nobody is left who could notice: the template, which would replace its server, stands still as well."""
    stopped = stage.processes(kind)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _raving(stage: Stage, kind: Kind) -> AsyncIterator[None]:
    """Somebody else answers on the worker's socket, until the next worker takes it back."""
    pids = stage.processes(kind)
    words = _command(pids[0]).split()
    path = Path(words[words.index("--socket") + 1])
    path.unlink()  # noqa: ASYNC240 - a moment
    ravings = itertools.cycle(range(6))
    server = await asyncio.get_running_loop().create_unix_server(lambda: Raver(ravings), str(path))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    yield
    server.close()


class Raver(asyncio.Protocol):
    """Greets like a worker; what it answers has the right frame and nothing else, or not even that."""

    def __init__(self, ravings: itertools.cycle[int]) -> None:
        self.ravings, self.decoder = ravings, Decoder(asked)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(encode(Hello(time.monotonic_ns())))

    def data_received(self, data: bytes) -> None:
        for message in self.decoder.feed(data):
            if isinstance(message, Call):
                self._rave(message.id)

    def _rave(self, number: int) -> None:
        opinion = {"pass": "perhaps", "text": 7, "rules": None, "fault": ""}
        answers: tuple[Any, ...] = (
            {},
            [],
            {"verdicts": [opinion], "spans": [["x"]]},
            {"verdicts": [], "spans": []},
            None,
        )
        which = next(self.ravings)
        if self.transport.is_closing():
            return
        if which < len(answers):
            self.transport.write(encode(Result(number, answers[which])))
        else:
            self.transport.write(b"\xff" * 64)


_FAULTS: Mapping[Fault, Any] = {"kill": _killed, "hang": _hung, "nonsense": _raving}
