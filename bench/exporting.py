"""What exporting costs those who are served: time of an exchange and CPU, beside a gateway that exports nothing.

    python bench/exporting.py [--exchanges 2000] [--pause-ms 1]

Four gateways are asked in turn, so that all meet the same noise of the machine: one that exports nothing, one whose
collector takes everything, one whose collector accepts connections and never answers, one whose collector is gone.
CPU is told apart for HTTP processes and for the exporter, which is a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench" / "latency")]

from asking import Asker, family, prose, spent  # noqa: E402 - found beside this script
from support.serving import Serving, serving, written  # noqa: E402 - a test's

TOLD = {
    "none": "exports nothing",
    "takes": "collector takes it",
    "silent": "collector is silent",
    "gone": "collector is gone",
}
RULES = {"pattern": {"builtin": ["api_keys", "private_keys"], "action": "redact"}}
WARM = 200


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _take(server: ThreadingHTTPServer) -> None:
    server.serve_forever()


@contextmanager
def taking() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taking)
    process = multiprocessing.get_context("fork").Process(target=_take, args=(server,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        process.kill()
        process.join()


@contextmanager
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def model() -> Iterator[str]:
    command = [sys.executable, str(ROOT / "bench" / "latency" / "model.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


@dataclass(slots=True)
class Gateway:
    """One that runs, and what was measured of it. `fronts` and `exporters` are processes."""

    name: str
    asker: Asker
    fronts: list[int]
    exporters: list[int]
    seconds: list[float] = field(default_factory=list)
    began: tuple[float, float] = (0.0, 0.0)

    def cpu(self) -> tuple[float, float]:
        return spent(self.fronts), spent(self.exporters)


def settings(base_url: str, collector: str) -> dict[str, Any]:
    export = {"export": [{"otlp": {"endpoint": collector, "state": "export"}}]} if collector else {}
    return {
        "server": {"port": 0},
        "upstreams": [{"name": "model", "kind": "openai", "base_url": base_url}],
        "routes": [{"model": "m", "upstreams": ["model"], "policy": "rules"}],
        "scoring": None,
        **export,
    }


def gateway(stack: ExitStack, folder: Path, name: str, base_url: str, collector: str) -> Gateway:
    config = written(folder / name, settings(base_url, collector), {"rules": {"input": [RULES], "output": [RULES]}})
    before = {pid for pid, _ in family(os.getpid())}
    served: Serving = stack.enter_context(serving(config, folder / name / "events.jsonl"))
    ours = [(pid, command) for pid, command in family(os.getpid()) if pid not in before]
    fronts = [pid for pid, command in ours if "gateway.front" in command]
    exporters = [pid for pid, command in ours if "gateway.worker" in command]
    return Gateway(name, Asker(served.url, "/v1/chat/completions"), fronts, exporters)


def ask(one: Gateway, n: int) -> float:
    body = {"model": "m", "messages": [{"role": "user", "content": prose(n, 400)}], "max_tokens": 400}
    answer = one.asker.ask(body)
    assert answer.status == 200, answer.body
    return answer.seconds


def measure(gateways: Sequence[Gateway], exchanges: int, pause_s: float) -> None:
    for n in range(WARM):
        for one in gateways:
            ask(one, n)
    for one in gateways:
        one.began = one.cpu()
    for n in range(exchanges):
        for at in range(len(gateways)):
            one = gateways[(n + at) % len(gateways)]
            one.seconds.append(ask(one, n))
            time.sleep(pause_s)
    time.sleep(2.0)  # the last are sent


def line(one: Gateway, beside: Gateway, exchanges: int) -> str:
    cuts, others = (statistics.quantiles(each.seconds, n=100) for each in (one, beside))
    front, exporter = ((now - then) / exchanges * 1e6 for now, then in zip(one.cpu(), one.began, strict=True))
    return (
        f"{TOLD[one.name]:<20} p50 {cuts[49] * 1e3:6.2f} ms ({(cuts[49] - others[49]) * 1e3:+.2f})"
        f"   p99 {cuts[98] * 1e3:6.2f} ms ({(cuts[98] - others[98]) * 1e3:+.2f})"
        f"   CPU an exchange: HTTP {front:5.0f} µs, exporter {exporter:5.0f} µs"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exchanges", type=int, default=2000)
    parser.add_argument("--pause-ms", type=float, default=1.0, help="between two exchanges")
    args = parser.parse_args()
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="tidegate-export-") as folder:
        base_url = stack.enter_context(model())
        urls = {"none": "", "takes": stack.enter_context(taking()), "silent": stack.enter_context(silent())}
        urls["gone"] = "http://127.0.0.1:9"
        gateways = [gateway(stack, Path(folder), name, base_url, url) for name, url in urls.items()]
        measure(gateways, args.exchanges, args.pause_ms / 1000)
        print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(f"{args.exchanges:,} exchanges each, one at a time")
        print(*(line(one, gateways[0], args.exchanges) for one in gateways), sep="\n")


if __name__ == "__main__":
    main()
