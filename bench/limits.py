"""What limits cost one exchange: reserve, headers and settle, in memory and in Redis where there is one."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from pydantic import SecretStr

from gateway.config.schema import Store
from gateway.limits.gate import Account, Gate
from gateway.limits.rule import Need, Rule
from gateway.limits.table import Table, created

ROUNDS, EACH = 7, 10_000
RULES = {
    "requests and tokens a minute": Rule(10**9, 10**12),
    "all five": Rule(10**9, 10**12, 10**6, 10**17, 10**17),
}


async def cost(gate: Gate, rule: Rule, each: int) -> float:
    """Microseconds of CPU in this process for one exchange: the median of rounds."""
    account, need, rounds = Account("app", rule, 1024), Need(1200, 400_000), []
    for turn in range(ROUNDS):
        began = time.process_time()
        for n in range(each):
            lease = await gate.admit(account, f"{turn}-{n}", need)
            lease.enforce()
            lease.headers()
            lease.settle(300, 0.0001)
        rounds.append((time.process_time() - began) / each * 1e6)
    return statistics.median(rounds)


async def waited(gate: Gate, rule: Rule, each: int) -> float:
    """Milliseconds that one exchange waits: the median."""
    account, times = Account("app", rule, 1024), []
    for n in range(each):
        began = time.perf_counter()
        lease = await gate.admit(account, f"w-{n}", Need(1200, 400_000))
        times.append((time.perf_counter() - began) * 1e3)
        lease.settle(300, 0.0001)
    return statistics.median(times)


@contextmanager
def redis_server(program: str) -> Iterator[str]:
    """The address of a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
        try:
            while not socket.exists():
                time.sleep(0.05)
            yield f"unix://{socket}"
        finally:
            server.kill()
            server.wait()


async def in_redis(url: str) -> None:
    from gateway.limits.shared import shared  # noqa: PLC0415 - an extra
    from gateway.store import linked  # noqa: PLC0415

    spec = Store(kind="redis", url=SecretStr(url), timeout_ms=1000)
    async with linked(spec, lambda *_: None) as link, shared(link) as store:
        for name, rule in RULES.items():
            told = f"{await cost(Gate(store), rule, EACH // 20):7.1f} us CPU an exchange, of this process"
            print(f"redis,  {name:<30} {told}; waits {await waited(Gate(store), rule, 500):.2f} ms")


async def in_memory() -> None:
    table = Table(created(4))
    for name, rule in RULES.items():
        print(f"memory, {name:<30} {await cost(Gate(table), rule, EACH):7.1f} us CPU an exchange")
    table.close()


if __name__ == "__main__":
    asyncio.run(in_memory())
    if found := which("redis-server") or which("valkey-server"):
        with redis_server(found) as address:
            asyncio.run(in_redis(address))
