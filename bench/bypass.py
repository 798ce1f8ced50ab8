"""Sixty ways past a content filter, tried on this gateway and on its peers, each told the same rule as its docs say.

    python bench/bypass.py [--dir ~/.cache/tidegate-peers] [--install] [--write] [--only NAME]

Peers that are not in `--dir` are installed with `--install` and left out without. Each cell is first tried with an
innocent text: where that does not arrive either, the peer does not carry such a text, and nothing is counted.
With `--write` the results go to `bench/results/bypass.json` and into `docs/bypass.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench" / "bypass")]

from cells import CLASSES  # noqa: E402 - found beside this script
from matrix import oracle  # noqa: E402 - the matrix is a test's
from matrix.adapter import Said  # noqa: E402
from matrix.cell import AROUND, CANARY, RULE, Cell  # noqa: E402
from peers import PEERS, Peer, Place, environ  # noqa: E402
from support.answers import answer, stream  # noqa: E402
from support.script import Script, Seen  # noqa: E402
from support.scripted import Server, scripted  # noqa: E402
from support.serving import serving, written  # noqa: E402

INNOCENT = "sandcastles in the sun"
OWN = CANARY.removeprefix("CANARY-DENY-7f3a")
START_S = 120
ASK_S = 30.0


@dataclass(frozen=True)
class Twin(Cell):
    """A cell that says something innocent instead of the canary."""

    @property
    def text(self) -> str:  # type: ignore[override]  # cached there
        lead, tail = AROUND[self.at]
        return lead + INNOCENT + tail


@dataclass(slots=True)
class Gate:
    """A gateway that answers, and the upstream behind it."""

    client: httpx.AsyncClient
    path: str
    model: str
    body: dict[str, Any]
    upstream: Server

    async def ask(self, cell: Cell) -> tuple[list[str], list[str], bool]:
        """What the upstream was sent and what the client got, as texts, and whether the client was refused.

        A gateway that breaks off gave what it gave.
        """
        self.upstream.forget()
        self.upstream.default = lambda seen: _script(cell, seen)
        inward = cell.side == "in"
        shape = cell.shape if inward else cell.adapter.shapes["string"]
        text = cell.text if inward else "How high?"
        turn = cell.where if inward else "only"
        role = cell.role if inward else "user"
        body = cell.adapter.body(shape, role, text, turn, stream=cell.stream)
        status, raw = await self._post({**body, "model": self.model, **self.body})
        sent = [text for seen in self.upstream.seen if seen.body for text in oracle.texts(seen.json())]
        try:
            got = [*oracle.assembled(raw, stream=cell.stream), *raw.decode("utf-8", "replace").splitlines()]
        except ValueError:
            got = raw.decode("utf-8", "replace").splitlines()
        return sent, got, status >= 400

    async def _post(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """Raises `TimeoutError`."""
        status, got = 0, bytearray()
        try:
            async with self.client.stream("POST", self.path, json=body) as reply:
                status = reply.status_code
                async for chunk in reply.aiter_bytes():
                    got += chunk
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.HTTPError:
            pass
        return status, bytes(got)


def _script(cell: Cell, seen: Seen) -> Script:
    """The cell's answer in the form in which it was asked for, which may not be the form that the client asked for."""
    if not seen.body:  # a look at the list of models, say
        return answer({"object": "list", "data": [{"id": "m", "object": "model"}]})
    asked = seen.json().get("stream") is True
    said = Said(cell.channel, cell.pieces, cell.where) if cell.side == "out" else None
    said = said or Said(cell.adapter.channels["content"], ["Fine."], "0")
    shown = replace(cell, mode="stream" if asked else "whole")
    parts = oracle.sent(shown, said)
    return stream(parts) if asked else answer(b"".join(parts))


async def tried(gate: Gate, cell: Cell) -> str:
    """`leak`, `held`, `quoted` by the refusal, or `absent` where not even innocent text arrives in time."""
    try:
        return await _tried(gate, cell)
    except TimeoutError:
        return "absent"


async def _tried(gate: Gate, cell: Cell) -> str:
    twin = Twin(**{name: getattr(cell, name) for name in Cell.__dataclass_fields__})
    sent, got, refused = await gate.ask(twin)
    if refused or not any(INNOCENT in text for text in (sent if cell.side == "in" else got)):
        return "absent"
    sent, got, refused = await gate.ask(cell)
    # The rule's own text does not count: some quote it in every answer.
    if not oracle.telling(cell, sent if cell.side == "in" else got, OWN):
        return "held"
    return "quoted" if cell.side == "out" and refused else "leak"


# Starting


@asynccontextmanager
async def ours(upstream: Server) -> AsyncIterator[Gate]:
    rails = [{"pattern": {"deny": [RULE], "action": "block"}}]
    settings = {
        "upstreams": [{"name": "up", "kind": "openai", "base_url": upstream.base_url}],
        "routes": [{"model": "m", "upstreams": ["up"], "policy": "canary"}],
        "scoring": None,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = await asyncio.to_thread(written, folder, settings, {"canary": {"input": rails, "output": rails}})
        context = serving(file, folder / "events.jsonl")
        gateway = await asyncio.to_thread(context.__enter__)
        try:
            async with httpx.AsyncClient(base_url=gateway.url, timeout=ASK_S, trust_env=False) as client:
                yield Gate(client, "/v1/chat/completions", "m", {}, upstream)
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)


@asynccontextmanager
async def theirs(peer: Peer, folder: Path, upstream: Server) -> AsyncIterator[Gate]:
    """Raises `RuntimeError` where it does not start."""
    place = Place(folder, RULE, upstream.base_url, _free())
    with _running(peer, place) as process:
        url = f"http://127.0.0.1:{place.port}"
        async with httpx.AsyncClient(
            base_url=url, timeout=ASK_S, trust_env=False, headers=peer.headers(place)
        ) as client:
            await _ready(client, process)
            yield Gate(client, peer.path, peer.model, dict(peer.body), upstream)


def _free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def _running(peer: Peer, place: Place) -> Iterator[subprocess.Popen[bytes]]:
    log = place.folder / f"{peer.package}.log"
    command = peer.start(place)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environ(peer, place),
            cwd=place.folder / "settings",
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def _ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    """Wait until it answers anything at all."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        try:
            await client.get("/")
        except httpx.TransportError:
            await asyncio.sleep(0.25)
        else:
            return
    raise RuntimeError(f"it did not answer within {START_S} s")


# Telling


async def measured(gate: Gate) -> dict[str, dict[str, str]]:
    """By class and cell."""
    return {name: {cell.ident: await tried(gate, cell) for cell in cells} for name, cells in CLASSES.items()}


async def results(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with scripted() as upstream:
        if not args.only or args.only == "Tidegate":
            async with ours(upstream) as gate:
                found["Tidegate"] = {"version": _version(), "cells": await measured(gate)}
        for peer in PEERS:
            if not args.only or args.only == peer.name:
                print(f"{peer.name} {peer.version} …", flush=True)
                found[peer.name] = {"version": peer.version, **await _of(peer, args, upstream)}
    return found


async def _of(peer: Peer, args: argparse.Namespace, upstream: Server) -> dict[str, Any]:
    if not (args.dir / peer.package).exists():
        if not args.install:
            return {"missing": "not installed; see --install"}
        try:
            await asyncio.to_thread(peer.install, args.dir)
        except (OSError, subprocess.SubprocessError) as error:
            return {"missing": f"could not be installed: {type(error).__name__}"}
    try:
        async with theirs(peer, args.dir, upstream) as gate:
            return {"cells": await measured(gate)}
    except RuntimeError as error:
        return {"missing": f"did not start: {error}"}


def _version() -> str:
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return git.stdout.strip() or "?"


def table(found: dict[str, Any]) -> str:
    """Leaks of the cells that each gateway carries."""
    ran = {name: peer for name, peer in found.items() if "cells" in peer}
    lines = [
        "| class | " + " | ".join(f"{name} {peer['version']}" for name, peer in ran.items()) + " |",
        "|---|" + "---:|" * len(ran),
    ]
    lines += [f"| {name} | " + " | ".join(_count(p["cells"][name]) for p in ran.values()) + " |" for name in CLASSES]
    sums = ({k: v for cells in peer["cells"].values() for k, v in cells.items()} for peer in ran.values())
    lines.append("| **all** | " + " | ".join(f"**{_count(cells)}**" for cells in sums) + " |")
    missing = [f"{name} {peer['version']}: {peer['missing']}." for name, peer in found.items() if "missing" in peer]
    return "\n".join([*lines, *([""] if missing else []), *missing])


def _count(cells: dict[str, str]) -> str:
    said = list(cells.values())
    carried = len(said) - said.count("absent")
    quoted = f" + {said.count('quoted')}" if "quoted" in said else ""
    return f"{said.count('leak')}{quoted} of {carried}" if carried else "–"


BEGIN, END = "<!-- peers -->\n", "<!-- /peers -->"


def write(found: dict[str, Any]) -> None:
    (ROOT / "bench/results/bypass.json").write_text(json.dumps(found, indent=1) + "\n")
    page = ROOT / "docs/bypass.md"
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}{table(found)}\n{END}{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path.home() / ".cache" / "tidegate-peers")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="", help="one gateway, by name")
    args = parser.parse_args()
    args.dir = args.dir.expanduser()
    assert sum(map(len, CLASSES.values())) == 60
    assert CANARY.startswith("CANARY")
    found = asyncio.run(results(args))
    print(table(found))
    if args.write:
        write(found)


if __name__ == "__main__":
    main()
