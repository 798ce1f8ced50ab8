"""Reloads in the middle of traffic: versions of a policy set, broken ones between them, and exchanges that show which
version judged them.

A version leaves its number in four places that different parts of the gateway read: a pattern on the way in, personal
data, a NeMo folder, a pattern on the way out. An exchange that was judged by parts of two versions shows two numbers.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import yaml
from support.operated import PATIENCE_S, Site, operated

CLIENTS = 8
DIGITS = range(10)
EMAIL, SSN = "ada@example.org", "078-05-1120"
HALTS = 4  # words of which a NeMo folder blocks one
TEXT = " ".join([*(f"in{n}x" for n in DIGITS), EMAIL, SSN, *(f"out{n}x" for n in DIGITS)])


@dataclass(frozen=True, slots=True)
class Version:
    """Version `number` of the policy set. What a worker is started with changes more rarely than policies do."""

    number: int

    @property
    def digit(self) -> int:
        return self.number % 10

    @property
    def halt(self) -> int:
        return self.number // 12 % HALTS

    def write(self, site: Site) -> None:
        entity = "EMAIL_ADDRESS" if self.number % 2 else "US_SSN"
        others = ["EMAIL_ADDRESS", "US_SSN", *(["IP_ADDRESS"] if self.number // 5 % 2 else [])]
        site.policy(
            deadline_ms=60_000,
            input=[
                {"pattern": {"deny": [f"in{self.digit}x"], "action": "redact"}},
                {"pii": {"entities": [entity], "action": "redact"}},
                {"nemo": {"config": "nemo", "action": "block"}},
            ],
            output=[{"pattern": {"deny": [f"out{self.digit}x"], "action": "redact"}}],
        )
        site.policy("other", input=[{"pii": {"entities": others}}])
        _nemo(site, {"input": {"patterns": [f"halt{self.halt}x"]}})

    def expected(self) -> str:
        """What comes back for `TEXT` and a word that does not block."""
        hidden = EMAIL if self.number % 2 else SSN
        named = "[EMAIL_ADDRESS]" if self.number % 2 else "[US_SSN]"
        text = TEXT.replace(hidden, named)
        for side in ("in", "out"):
            text = text.replace(f"{side}{self.digit}x", "[REDACTED]")
        return text


def _nemo(site: Site, detection: dict[str, Any]) -> None:
    folder = site.policies / "nemo"
    folder.mkdir(exist_ok=True)
    rails = {"config": {"regex_detection": detection}, "input": {"flows": ["regex check input"]}}
    (folder / "config.yml").write_text(yaml.safe_dump({"models": [], "rails": rails}))


def broken(site: Site, number: int) -> str:
    """Break the files in one of several ways; file and line where the operator must be told it is."""
    default, other = site.policies / "default.yaml", site.policies / "other.yaml"
    match number % 6:
        case 0:
            default.write_text("name: default\ninput: [\n")
            return "default.yaml:3"
        case 1:
            default.write_text("name: default\noutput:\n  - pattern: {deny: [x], action: erase}\n")
            return "default.yaml:3"
        case 2:
            default.write_text("name: default\noutput:\n  - pattern:\n      deny:\n        - 'a(b'\n")
            return "default.yaml:5"
        case 3:
            other.write_text("name: other\ninput:\n\n  - nemo: {config: nimo}\n")
            return "other.yaml:4"
        case 4:
            other.write_text("name: other\n\ninput:\n  - pii: {entities: [EMAIL]}\n")
            return "other.yaml:4"
        case _:
            _nemo(site, {"imput": {"patterns": ["x"]}})
            return "nemo/config.yml:1"


def drafted(site: Site, number: int) -> Site:
    """A copy of the policies that are served, to change before it takes their place."""
    draft = Site(site.folder / "sets" / str(number))
    draft.folder.mkdir(parents=True)
    if site.policies.exists():
        shutil.copytree(site.policies, draft.policies)
    return draft


def deploy(site: Site, draft: Site) -> None:
    """Put a set in the place of the one before, all at once, as whoever deploys by links does."""
    link = site.folder / "next"
    link.symlink_to(draft.policies)
    link.replace(site.policies)


@dataclass(slots=True)
class Heard:
    """What one exchange came to: the answer's text, or the code of its error."""

    id: str
    halt: int
    text: str
    error: str
    seconds: float


@dataclass(slots=True)
class Run:
    """What a run came to. `wrong` lists what should not have been; nothing in it is good."""

    used: int = 0  # versions that judged anything
    versions: dict[str, Version] = field(default_factory=dict)  # by the policy's digest
    heard: list[Heard] = field(default_factory=list)
    reload_s: list[float] = field(default_factory=list)
    refuse_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def run(site: Site, base_url: str, *, reloads: int, exchanges: int, workers: int = 1) -> Run:
    """Serve `exchanges`, half of them streamed, while files change `reloads` times, every second time for the worse."""
    site.configure(base_url, server={"port": 0, "workers": workers, "drain_s": 30})
    shutil.rmtree(site.policies, ignore_errors=True)
    first = drafted(site, 0)
    Version(0).write(first)
    deploy(site, first)
    result = Run()
    async with operated(site) as gateway:
        await gateway.ready()
        result.versions[(await site.saw("server.started"))["policies"]["default"]] = Version(0)
        done = asyncio.Event()
        async with gateway.client() as client, asyncio.TaskGroup() as group:
            for n in range(CLIENTS):
                group.create_task(_traffic(client, result, done, n))
            await _reloads(site, result, reloads, exchanges)
            done.set()
        result.wrong += judged(result, site.events("exchange.completed"))
        result.wrong += [f"started {len(site.events('exchange.started'))} times"] * (
            len(site.events("exchange.started")) != len(result.heard)
        )
    return result


async def _reloads(site: Site, result: Run, reloads: int, exchanges: int) -> None:
    version = Version(0)
    for number in range(reloads):
        await _reached(result, exchanges * number // reloads)
        draft = drafted(site, number + 1)
        if number % 2:
            version = Version(version.number + 1)
            version.write(draft)
            deploy(site, draft)
            await _taken(site, result, version)
        else:
            place = broken(draft, number // 2)
            deploy(site, draft)
            await _refused(site, result, f"{site.policies}/{place}", number // 2 + 1)
    await _reached(result, exchanges)


async def _taken(site: Site, result: Run, version: Version) -> None:
    began = time.monotonic()
    event = await site.saw("config.reloaded", version.number)
    result.reload_s.append(time.monotonic() - began)
    result.versions[event["policies"]["default"]] = version


async def _refused(site: Site, result: Run, place: str, count: int) -> None:
    began = time.monotonic()
    event = await site.saw("config.refused", count)
    result.refuse_s.append(time.monotonic() - began)
    if not event["problems"][0].startswith(f"{place}: "):
        result.wrong.append(f"refused with {event['problems'][0]!r}, not at {place}")


async def _reached(result: Run, exchanges: int) -> None:
    async with asyncio.timeout(10 * PATIENCE_S):
        while len(result.heard) < exchanges:  # noqa: ASYNC110 - a number that grows has no event
            await asyncio.sleep(0.02)


async def _traffic(client: httpx.AsyncClient, result: Run, done: asyncio.Event, start: int) -> None:
    number = start
    while not done.is_set():
        result.heard.append(await _exchange(client, number))
        number += CLIENTS


async def _exchange(client: httpx.AsyncClient, number: int) -> Heard:
    halt = number % (2 * HALTS)  # every second word is one that no version blocks
    body = {
        "model": "m",
        "stream": bool(number // CLIENTS % 2),
        "messages": [{"role": "user", "content": f"{TEXT} halt{halt}x"}],
    }
    began = time.monotonic()
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        raw = await answer.aread()
    text, error = _read(answer, raw)
    return Heard(answer.headers["x-request-id"], halt, text, error, time.monotonic() - began)


def _read(answer: httpx.Response, raw: bytes) -> tuple[str, str]:
    if answer.status_code != 200:
        return "", str(orjson.loads(raw)["error"]["code"])
    if answer.headers["content-type"].startswith("application/json"):
        return orjson.loads(raw)["choices"][0]["message"]["content"], ""
    return "".join(_deltas(raw)), "" if raw.endswith(b"data: [DONE]\n\n") else "cut"


def _deltas(raw: bytes) -> Iterator[str]:
    for line in raw.splitlines():
        if line.startswith(b"data: {"):
            for choice in orjson.loads(line[6:])["choices"]:
                yield choice["delta"].get("content") or ""


def judged(result: Run, events: Sequence[dict[str, Any]]) -> list[str]:
    """What does not fit the one version that each exchange says it was judged by."""
    digests = {event["id"]: event["policy_digest"] for event in events}
    result.used = len(set(digests.values()))
    wrong = [] if len(digests) == len(result.heard) else [f"{len(result.heard)} answers, {len(digests)} records"]
    for heard in result.heard:
        version = result.versions.get(digests.get(heard.id, ""))
        if version is None:
            wrong.append(f"{heard.id}: judged by a policy that never stood")
        elif said := _misfit(heard, version):
            wrong.append(f"{heard.id}: version {version.number}: {said}")
    return wrong


def _misfit(heard: Heard, version: Version) -> str:
    if heard.halt == version.halt:
        return "" if heard.error == "content_filter" else f"not blocked but {heard.error or 'answered'}"
    if heard.error:
        return heard.error
    expected = f"{version.expected()} halt{heard.halt}x"
    return "" if heard.text == expected else f"answered {heard.text!r}"
