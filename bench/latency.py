"""What policies cost: time that an exchange takes longer, one at a time, and CPU; beside no policy, in the same run.

    python bench/latency.py [--exchanges 200] [--streams 5] [--peers DIR] [--write]

The same exchange is made in turn without a policy and under each of them, every time with a text that was never seen
before, so that what is compared met the same noise of the machine. With `--peers` (a folder that `bench/bypass.py
--install` made) LiteLLM, Portkey, NeMo's server and Guardrails' server do likewise, each with one regular expression
before and after the model. With `--write` the results go to `bench/results/latency.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench" / "bypass"), str(ROOT / "bench" / "latency")]

import yaml  # noqa: E402 - as below
from asking import Asker, family, personal, prose, spent  # noqa: E402 - found beside this script
from peers import PEERS, Peer, Place, environ  # noqa: E402 - another bench's
from support.serving import written  # noqa: E402 - a test's

Json = dict[str, Any]
PAIRED = "none"
PACKS = {"pattern": {"builtin": ["api_keys", "private_keys"], "action": "redact"}}
PII = {"pii": {"action": "redact"}}
HEAVY = [PACKS, PII, {"nemo": {"config": "nemo"}}, {"guardrails": {"spec": "guards/words.yaml"}}]
POLICIES: dict[str, Json] = {
    "none": {},
    "light": {"input": [PACKS, PII], "output": [PACKS, PII]},
    "pattern": {"input": [PACKS], "output": [PACKS]},
    "full": {"input": HEAVY, "output": HEAVY},
}
TOLD = {
    "direct": "no gateway at all",
    "relay": "no gateway: a relay that copies bytes",
    "none": "no policy",
    "pattern": "pattern",
    "light": "pattern + pii",
    "full": "pattern + pii + NeMo regex + Guardrails",
}
START_S = 180
CHUNKS, GAP_MS = 400, 2


@dataclass(slots=True)
class Sums:
    """What one kind of exchange came to under one policy."""

    seconds: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)  # by process

    def note(self, seconds: float, cpu: Mapping[str, float]) -> None:
        self.seconds.append(seconds)
        for name, one in cpu.items():
            self.cpu.setdefault(name, []).append(one)


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway that answers: `ask` by route or peer, and its processes by what they are."""

    asker: Asker
    model: str
    body: Mapping[str, Any] = field(default_factory=dict)
    processes: Mapping[str, list[int]] = field(default_factory=dict)

    def exchange(self, sums: Sums, body: Mapping[str, Any]) -> None:
        before = {name: spent(pids) for name, pids in self.processes.items()}
        answer = self.asker.ask({"model": self.model, **self.body, **body})
        assert answer.status == 200, (self.model, answer.status, answer.body[:300])
        sums.note(answer.seconds, {name: spent(pids) - before[name] for name, pids in self.processes.items()})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exchanges", type=int, default=200, help="of each kind, under each policy")
    parser.add_argument("--streams", type=int, default=3, help=f"of {CHUNKS} chunks, under each policy")
    parser.add_argument("--peers", type=Path, help="folder where the peers are installed")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-latency-")))
        upstream = f"http://127.0.0.1:{stack.enter_context(model())}"
        sites = stack.enter_context(gateway(folder, upstream))
        direct = Site(Asker(upstream, "/v1/chat/completions"), "m")
        kinds = exchanges({**sites, "direct": direct}, args.exchanges)
        result = {"machine": machine(), "exchanges": kinds, "chunks": {}}
        result["history"] = history(sites, max(10, args.exchanges // 10))
        if args.streams:
            result["chunks"] = streams({**sites, "relay": relay(stack, upstream)}, args.streams)
        for peer in PEERS if args.peers else ():
            result.setdefault("peers", {})[peer.name] = tried(peer, args.peers, upstream, direct, args.exchanges)
    show(result)
    if args.write:
        (ROOT / "bench/results/latency.json").write_text(json.dumps(result, indent=1) + "\n")


def machine() -> Json:
    load = round(os.getloadavg()[0], 1)
    return {"python": sys.version.split()[0], "cores": os.cpu_count(), "load": load, "at": time.strftime("%Y-%m-%d")}


# Starting things


@contextmanager
def model() -> Iterator[int]:
    command = [sys.executable, str(ROOT / "bench/latency/model.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def relay(stack: ExitStack, upstream: str) -> Site:
    """What copies bytes and no more: the machine's own price of a chunk, in the same minute."""
    command = [sys.executable, str(ROOT / "bench/latency/relay.py"), upstream.rpartition(":")[2]]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
    return Site(Asker(url, "/v1/chat/completions"), "m", processes={"http": [process.pid]})


@contextmanager
def gateway(folder: Path, upstream: str) -> Iterator[dict[str, Site]]:
    """`tidegate serve` with a route for each policy, one HTTP process."""
    settings = {
        "server": {"port": 0, "workers": 1},
        "policies": "../policies",
        "upstreams": [{"name": "up", "kind": "openai", "base_url": f"{upstream}/v1"}],
        "routes": [{"model": name, "upstreams": ["up"], "policy": name} for name in POLICIES],
        "scoring": None,
    }
    config = written(folder, settings, POLICIES)
    _guards(folder / "policies")
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--port", "0"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)
    try:
        url = _url(process)
        found = dict(_processes(process.pid))
        yield {name: Site(Asker(url, "/v1/chat/completions"), name, processes=found) for name in POLICIES}
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def _guards(folder: Path) -> None:
    rule = {"patterns": [r"\bTIDE-[0-9]{4}\b"]}
    flows = {side: {"flows": [f"regex check {side}"]} for side in ("input", "output")}
    config = {"models": [], "rails": {"config": {"regex_detection": {"input": rule, "output": rule}}, **flows}}
    (folder / "nemo").mkdir()
    (folder / "nemo/config.yml").write_text(yaml.safe_dump(config))
    guard = {"id": "guardrails/ban_list", "args": {"max_l_dist": 0, "banned_words": ["tide and time alike"]}}
    (folder / "guards").mkdir()
    (folder / "guards/words.yaml").write_text(yaml.safe_dump({"validators": [guard]}))


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if "ready at " in line:
            return line.split("ready at ")[1].split("/v1")[0]
        said.append(line)
    raise SystemExit(f"the gateway did not start: {''.join(said)}")


def _processes(pid: int) -> Iterator[tuple[str, list[int]]]:
    """The HTTP process, and each worker's template and server, by name."""
    found = list(family(pid))
    yield "http", [one for one, said in found if "gateway.front" in said]
    for name in ("pii", "nemo", "guardrails"):
        yield name, [one for one, said in found if f"engines.{name}" in said]


# Measuring


def exchanges(sites: Mapping[str, Site], times: int) -> Json:
    """By policy and size of the request: the answer has as many characters as `out` says."""
    kinds = {
        "400 B in, 400 B out": (prose, 400, 400),
        "4 kB in, 64 B out": (prose, 4096, 64),
        "4 kB with personal data in, 64 B out": (personal, 4096, 64),
        "4 kB in, 4 kB out": (prose, 4096, 4096),
    }
    seeds = count(1)
    out: Json = {}
    for name, (text, size, wanted) in kinds.items():
        sums = {policy: Sums() for policy in sites}
        for turn in range(times + 10):
            for policy, site in sites.items():
                body = {"messages": [{"role": "user", "content": text(next(seeds), size)}], "max_tokens": wanted}
                site.exchange(sums[policy] if turn >= 10 else Sums(), body)
        out[name] = {policy: compared(one, sums[PAIRED]) for policy, one in sums.items()}
    return out


def history(sites: Mapping[str, Site], times: int) -> Json:
    """A conversation of a hundred turns of 500 B, asked for the first time and again with one turn more."""
    out: Json = {}
    seeds = count(10_000_000)
    for policy, site in sites.items():
        sums = {"first": Sums(), "again": Sums()}
        for _ in range(times):
            texts = [prose(next(seeds), 500) for _ in range(101)]
            for name, said in (("first", texts[:100]), ("again", texts)):
                roles = ("user", "assistant")
                messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(said)]
                site.exchange(sums[name], {"messages": messages, "max_tokens": 64})
        out[policy] = {name: told(one) for name, one in sums.items()}
    return out


def streams(sites: Mapping[str, Site], times: int) -> Json:
    """CPU of a streamed chunk, one word each, `GAP_MS` apart."""
    sums = {policy: Sums() for policy in sites}
    for turn in range(times + 1):
        for policy, site in sites.items():
            told_ = {"chunks": str(CHUNKS), "gap_ms": str(GAP_MS)}
            said = [{"role": "user", "content": prose(90_000_000 + turn, 200)}]
            body = {"messages": said, "stream": True, "metadata": told_}
            site.exchange(sums[policy] if turn else Sums(), body)
    return {
        policy: {name: figures([1e6 * one / CHUNKS for one in ones], 1) for name, ones in sum_.cpu.items()}
        for policy, sum_ in sums.items()
    }


def tried(peer: Peer, folder: Path, upstream: str, direct: Site, times: int) -> Json:
    if not (folder / peer.package).exists():
        return {"absent": True}
    place = Place(folder, r"\bTIDE-[0-9]{4}\b", f"{upstream}/v1", _port())
    with _started(peer, place) as pid:
        asker = Asker(f"http://127.0.0.1:{place.port}", peer.path, peer.headers(place))
        site = Site(asker, peer.model, peer.body, {"all": [one for one, _ in family(pid)]})
        return {"version": peer.version, **_beside(site, direct, times)}


def _beside(site: Site, direct: Site, times: int) -> Json:
    out: Json = {}
    for name, size, wanted in (("400 B in, 400 B out", 400, 400), ("4 kB in, 64 B out", 4096, 64)):
        mine, bare = Sums(), Sums()
        for turn in range(times + 10):
            body = {"messages": [{"role": "user", "content": prose(50_000_000 + turn, size)}], "max_tokens": wanted}
            site.exchange(mine if turn >= 10 else Sums(), body)
            direct.exchange(bare if turn >= 10 else Sums(), body)
        out[name] = compared(mine, bare)
    return out


def _port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def _started(peer: Peer, place: Place) -> Iterator[int]:
    command = peer.start(place)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=place.folder, env=environ(peer, place), stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        _wait(lambda: _answers(place.port))
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _wait(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + START_S
    while not holds():
        assert time.monotonic() < until, "it did not start"
        time.sleep(0.2)


# Telling


def told(sums: Sums) -> Json:
    cpu = {name: figures([1e3 * one for one in ones], 3) for name, ones in sums.cpu.items()}
    return {"ms": figures([1e3 * one for one in sums.seconds], 3), "cpu_ms": cpu}


def compared(sums: Sums, bare: Sums) -> Json:
    """`sums`, and what each exchange took longer than the one beside it."""
    added = [1e3 * (a - b) for a, b in zip(sums.seconds, bare.seconds, strict=True)]
    return {**told(sums), "added_ms": figures(added, 3)}


def figures(values: Sequence[float], digits: int) -> Json:
    """Median, and the tenth and ninetieth of a hundred."""
    cuts = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    return {
        name: round(value, digits)
        for name, value in zip(("p10", "p50", "p90"), (cuts[0], cuts[4], cuts[8]), strict=True)
    }


def show(result: Json) -> None:
    print(json.dumps(result["machine"]))
    for kind, by in result["exchanges"].items():
        print(f"\n{kind}: ms longer than without a policy (p10 p50 p90), CPU in ms")
        for policy, one in by.items():
            cpu = ", ".join(f"{name} {said['p50']:.3f}" for name, said in one["cpu_ms"].items())
            print(f"  {TOLD[policy]:40} {_three(one['added_ms'])}   of {one['ms']['p50']:6.3f}   {cpu}")
    print("\na hundred turns: ms for the first time, and again with one turn more")
    for policy, one in result["history"].items():
        print(f"  {TOLD[policy]:40} {_three(one['first']['ms'])}   {_three(one['again']['ms'])}")
    print("\na streamed chunk: µs of CPU")
    for policy, one in result["chunks"].items():
        print(f"  {TOLD[policy]:40} " + ", ".join(f"{name} {said['p50']}" for name, said in one.items()))
    for peer, one in result.get("peers", {}).items():
        for kind, by in one.items():
            if isinstance(by, dict):
                print(f"{peer:18} {kind:22} {_three(by['added_ms'])}   CPU {by['cpu_ms']['all']['p50']:.3f}")


def _three(said: Mapping[str, float]) -> str:
    return " ".join(f"{said[name]:8.3f}" for name in ("p10", "p50", "p90"))


if __name__ == "__main__":
    main()
