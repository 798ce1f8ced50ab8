# ruff: noqa: ANN001, SIM905, PLC0415  # a script; the encoder is imported where there are texts to encode
"""Drift: power, false alarms and time of the two-sample test, who it names, and how soon a drop in accuracy is seen.

    python bench/drift.py [--corpus FOLDER] [--peers FOLDER] [--quick] [--out FILE]

Texts come from Debian's package `fortunes` (one file a topic), encoded by the scorer's encoder and kept in
~/.cache/tidegate-bench; without it vectors are made up, which says so. Peers run in environments of their own:
FOLDER/river, FOLDER/alibi, FOLDER/evidently, each with a bin/python; those that are not there are skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from gateway.monitor.quality import LIMIT
from gateway.monitor.sequential import Betting, Cusum, arl
from gateway.monitor.spec import ROWS
from gateway.monitor.twosample import mmd

WINDOW, ALPHA, SHARE = 1000, 0.01, 0.10
SUBJECTS = (
    "computers drugs education food kids law linux literature love men-women perl science startrek sports medicine pets"
).split()
CACHE = Path.home() / ".cache" / "tidegate-bench" / "fortunes.npz"


def corpus(folder: Path) -> tuple[np.ndarray, np.ndarray, str]:
    if CACHE.exists():
        found = np.load(CACHE)
        return found["vectors"], found["topics"], "fortunes"
    files = [f for f in sorted(folder.glob("*")) if f.suffix not in {".dat", ".u8"}] if folder.is_dir() else []
    if not files:
        return (*made_up(), "made up: no texts in " + str(folder))
    texts, topics = [], []
    for file in files:
        for text in file.read_text("utf-8", "replace").split("\n%\n"):
            if len(text.strip()) > 20:
                texts.append(text.strip()[:600])
                topics.append(file.name)
    vectors = encoded(texts)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    np.savez(CACHE, vectors=vectors, topics=np.array(topics))
    return vectors, np.array(topics), "fortunes"


def encoded(texts: list[str]) -> np.ndarray:
    from gateway.scoring.encoder import Encoder
    from gateway.scoring.similar import Similar
    from gateway.scoring.weights import load
    from kernels.dispatch import ops

    similar = Similar(Encoder(load("minilm", None), ops("cpu")))
    order = np.argsort([len(text) for text in texts])
    found = np.zeros((len(texts), 384), np.float16)
    for at in range(0, len(order), 32):
        some = order[at : at + 32]
        found[some] = similar.vectors([texts[n] for n in some]).numpy()
    return found


def made_up() -> tuple[np.ndarray, np.ndarray]:
    """Sixteen subjects of 1,000 rows: directions of their own in a common cone, as sentence encoders have them."""
    rng = np.random.default_rng(0)
    common, centres = rng.normal(size=384), rng.normal(size=(16, 384))
    topics = np.repeat(np.array(SUBJECTS), 1000)
    rows = 0.6 * common + 0.7 * np.repeat(centres, 1000, axis=0) + 1.5 * rng.normal(size=(16_000, 384))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16), topics


def windows(vectors: np.ndarray, topics: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """A reference without a subject, and a window of which `share`, at its end, is about it."""
    rng = np.random.default_rng(seed)
    subjects = [s for s in SUBJECTS if (topics == s).sum() >= SHARE * WINDOW]
    new = subjects[seed % len(subjects)]
    k = round(share * WINDOW)
    old, fresh = rng.permutation(np.flatnonzero(topics != new)), rng.permutation(np.flatnonzero(topics == new))
    rows = np.concatenate([old[ROWS : ROWS + WINDOW - k], fresh[:k]])
    return vectors[old[:ROWS]], vectors[rows], k


def ours(vectors: np.ndarray, topics: np.ndarray, share: float, trials: int) -> dict:
    seen, named, cpu, wall = [], [], [], []
    for seed in range(trials):
        reference, window, k = windows(vectors, topics, share, seed)
        at = time.process_time(), time.perf_counter()
        found = mmd(reference, window, np.random.default_rng(seed))
        cpu.append(time.process_time() - at[0])
        wall.append(time.perf_counter() - at[1])
        seen.append(found.p <= ALPHA)
        if k:
            named.append(float((np.argsort(-found.witness)[:k] >= WINDOW - k).mean()))
    told = {"windows": trials, "alarms": sum(seen), "rate": sum(seen) / trials}
    told |= {"ms_cpu": 1000 * statistics.median(cpu), "ms": 1000 * statistics.median(wall)}
    return told | ({"precision_at_k": statistics.mean(named)} if named else {})


def streams(count: int, before: int, accuracy: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random((count, before)) > 0.9, rng.random((count, 10_000)) > accuracy], axis=1)


def accuracy(count: int) -> dict:
    """Right answers fall from 0.90 after 2,000."""
    told: dict = {"cusum_false_alarms_per_10000": 10_000 / arl(Cusum(0.1, 0.15, LIMIT), 0.1, 1400)}
    for level in (0.85, 0.80, 0.75):
        for name, make in (("cusum", lambda: Cusum(0.1, 0.15, LIMIT)), ("betting", lambda: Betting(0.85, ALPHA))):
            if name == "betting" and level == 0.85:
                continue  # a drop of five points is not one of more than five
            told[f"{name} 0.90->{level:.2f}"] = delays(make, streams(count, 2000, level, seed=5))
    return told


def delays(make, found: np.ndarray, before: int = 2000) -> dict:
    seen, early = [], 0
    for stream in found:
        test, at = make(), None
        for n, failed in enumerate(stream):
            if test.add(failed=bool(failed)):
                if n >= before:
                    at = n - before + 1
                    break
                early += 1
                test = make()
        seen.append(at)
    return summary(seen, early)


def summary(seen: list[int | None], early: int) -> dict:
    there = [one for one in seen if one is not None]
    middle = statistics.median(there) if there else None
    return {"median": middle, "missed": len(seen) - len(there), "of": len(seen), "false_alarms": early}


def peers(folder: Path, vectors: np.ndarray, topics: np.ndarray, trials: int, count: int) -> dict:
    told: dict = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("evidently", "alibi"):
            for share in (0.0, SHARE):
                told[f"{name} {share:.0%}"] = asked(
                    folder / name, name, packed(scratch, vectors, topics, share, trials)
                )
        file = Path(scratch) / "streams.npz"
        np.savez(file, streams=streams(count, 2000, 0.85, seed=5), changes=np.full(count, 2000))
        for name in ("adwin", "page-hinkley"):
            found = asked(folder / "river", f"river:{name}", file)
            told[f"river {name}"] = found if "skipped" in found else summary(found["delays"], found["alarms"])
    return told


def packed(scratch: str, vectors: np.ndarray, topics: np.ndarray, share: float, trials: int) -> Path:
    arrays: dict = {"count": np.array(trials)}
    for seed in range(trials):
        arrays[f"r{seed}"], arrays[f"w{seed}"], _ = windows(vectors, topics, share, seed)
    file = Path(scratch) / "windows.npz"
    np.savez(file, **arrays)
    return file


def asked(environment: Path, what: str, file: Path) -> dict:
    python = environment / "bin" / "python"
    if not python.exists():
        return {"skipped": f"no {environment.name} environment"}
    peer = Path(__file__).parent / "drift" / "peer.py"
    done = subprocess.run([python, peer, what, file], capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode:
        return {"skipped": done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "failed"}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if "seen" not in found:
        return found
    return {"windows": len(found["seen"]), "rate": sum(found["seen"]) / len(found["seen"]), "ms": found["ms"]}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--corpus", type=Path, default=Path("/usr/share/games/fortunes"))
    options.add_argument("--peers", type=Path, default=Path.home() / ".cache" / "tidegate-peers")
    options.add_argument("--quick", action="store_true", help="a tenth of the windows")
    options.add_argument("--out", type=Path)
    said = options.parse_args()
    trials, count = (20, 10) if said.quick else (200, 100)
    vectors, topics, where = corpus(said.corpus)
    told: dict = {"vectors": where, "rows": len(vectors), "reference": ROWS, "window": WINDOW, "alpha": ALPHA}
    for share in (0.0, 0.05, SHARE):
        told[f"mmd {share:.0%}"] = ours(vectors, topics, share, trials)
        print(f"mmd, {share:.0%} new: {told[f'mmd {share:.0%}']}", flush=True)
    told["accuracy"] = accuracy(count)
    for name, found in told["accuracy"].items():
        print(f"{name}: {found}", flush=True)
    told["peers"] = peers(said.peers, vectors, topics, 20, 30)
    for name, found in told["peers"].items():
        print(f"{name}: {found}", flush=True)
    if said.out:
        said.out.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
