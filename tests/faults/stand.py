"""The gateway as it is served, with short deadlines, before an upstream that does as it is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from faults.entry import KEY
from faults.wire import Answer, said
from support.answers import answer, completion
from support.operated import Operated, Site, family, operated
from support.scripted import Server, refusing, scripted

FIRST_BYTE_S, IDLE_S, TOTAL_S = 0.4, 0.4, 1.2
DEADLINE_S = 3.0  # the longest that anything may take here: a client's body, and the guard's next look
SPARED = {"failures": 100_000, "volume": 100_000}  # an upstream that fails all day is asked all the same
GOOD = answer(completion("the tide canary", "m"))
SECRETS = ("canary", "sk-good", "sk-upstream")
"""Words of keys and texts: none may stand where anybody but client and model reads."""
DEBUG = {"PYTHONASYNCIODEBUG": "1", "LOG_LEVEL": "DEBUG", "UVICORN_LOG_LEVEL": "trace"}

_COUNT = re.compile(r"^tidegate_in_flight(?:\{[^}]*\})? (\S+)", re.MULTILINE)


@dataclass(slots=True)
class Stand:
    """A served gateway, its scripted upstream, and the process that clients talk to."""

    site: Site
    gateway: Operated
    model: Server
    client: httpx.AsyncClient
    pid: int = 0

    @property
    def port(self) -> int:
        return int(self.gateway.url.rpartition(":")[2])

    async def say(self, *parts: bytes, pause_s: float = 0.0) -> Answer:
        return await said(self.port, *parts, pause_s=pause_s)

    def files(self) -> int:
        """Descriptors that are open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory(self, kind: str = "VmRSS") -> int:
        """Bytes, now or at the most (`VmHWM`)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{kind}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]  # Linux says it

    def forget_peak(self) -> None:
        """Begin `VmHWM` anew: proc(5), clear_refs."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    async def going(self) -> int:
        """Exchanges under way, as the gateway counts them."""
        found = _COUNT.search((await self.client.get("/metrics")).text)
        assert found
        return int(float(found[1]))

    async def alone(self) -> None:
        """Close the connections that the gateway keeps to its upstream."""
        for transport in tuple(self.model.transports):
            transport.abort()
        await asyncio.sleep(0.05)

    async def leaks(self) -> list[str]:
        """Secrets that stand in a log, on the terminal, in the metrics."""
        told = (self.site.folder / "events.jsonl").read_text() + "".join(self.gateway.said)
        told += (await self.client.get("/metrics")).text
        return [secret for secret in SECRETS if secret in told]

    async def settled(self, files: int) -> None:
        """Wait until nothing is under way, and no more descriptors open than `files`."""
        async with asyncio.timeout(10):
            while self.files() > files or await self.going():  # noqa: ASYNC110  another process's doings
                await asyncio.sleep(0.02)

    async def well(self) -> None:
        """The next request is as good as ever."""
        self.model.always(GOOD)
        self.model.forget()
        asked = await self.client.post("/v1/chat/completions", json={"model": "m", "messages": [_USER]}, headers=_KEY)
        assert asked.status_code == 200, asked.text


_USER = {"role": "user", "content": "hello canary"}
_KEY = {"authorization": KEY.decode().partition(": ")[2]}


def settings(model: Server, dead: str) -> Mapping[str, Any]:
    times = {"connect_s": 1.0, "first_byte_s": FIRST_BYTE_S, "idle_s": IDLE_S, "total_s": TOTAL_S}
    up = {"kind": "openai", "timeouts": times, "breaker": SPARED, "api_key": "sk-upstream"}
    upstreams = [
        {"name": "up", "base_url": model.base_url, **up},
        {"name": "dead", "base_url": dead, **up},
        {"name": "nowhere", "base_url": "http://no-such-host.invalid/v1", **up},
        {"name": "tripping", "base_url": model.base_url, **up, "breaker": {"failures": 2, "rest_s": 0.3}},
    ]
    routes = [{"model": "m", "upstreams": ["up"], "policy": "default"}]
    routes += [{"model": name, "upstreams": [name], "policy": "default"} for name in ("dead", "nowhere", "tripping")]
    routes += [{"model": "second", "upstreams": ["dead", "up"], "policy": "default"}]
    return {
        "server": {"port": 0, "drain_s": 2, "max_body_mb": 0.25, "header_s": 1, "body_s": 1, "write_s": 1},
        "keys": [{"name": "tester", "sha256": sha256(b"sk-good").hexdigest()}],
        "upstreams": upstreams,
        "routes": routes,
    }


@asynccontextmanager
async def standing(folder: Path, **more: Any) -> AsyncIterator[Stand]:
    """A gateway in `folder`; `more` replaces sections of its file."""
    async with scripted(lambda _: GOOD) as model:
        with refusing() as dead:
            site = Site(folder)
            site.policy(
                input=[{"pattern": {"deny": ["forbidden"], "action": "block"}}],
                output=[{"pattern": {"deny": ["zebra"], "action": "block"}}],
            )
            site.configure(model.base_url, **{**settings(model, dead), **more})
            async with operated(site, env=DEBUG) as gateway:
                await gateway.ready()
                async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:
                    stand = Stand(site, gateway, model, client)
                    stand.pid = _front(gateway.process.pid)
                    yield stand


def _front(supervisor: int) -> int:
    """The process that serves HTTP."""
    return next(pid for pid in family(supervisor) if b"gateway.front" in Path(f"/proc/{pid}/cmdline").read_bytes())
