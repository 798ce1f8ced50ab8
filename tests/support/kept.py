"""Exchanges that are kept, made up: what was asked, answered, and said of it; and data sets of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.data.row import Feedback, Row
from gateway.data.store import Store

TOPICS = ("invoices", "shipping", "passwords", "refunds", "roses", "volcanoes", "violins", "glaciers")
RECORD: Mapping[str, Any] = MappingProxyType(
    {"endpoint": "/chat/completions", "verdict": "allow", "outcome": "completed", "policy": "default"}
)


def row(number: int, asked: str, answer: str, **more: Any) -> Row:
    texts = {
        "mode": "redacted",
        "truncated": False,
        "input": [{"role": "user", "channel": "content", "text": asked}],
        "output": [{"role": "assistant", "channel": "content", "text": answer, "choice": 0}] if answer else [],
    }
    told = {"record": dict(RECORD), "texts": texts, "reasons": {"complained"}, **more}
    return Row(f"req_{number}", "", "app", "m", "", 1_700_000_000 + number, **told)


def said(number: int, **more: Any) -> Feedback:
    return Feedback(f"req_{number}", "feedback", "user", "app", 1_700_000_000 + number, **more)


def asked(number: int) -> str:
    rng = random.Random(number)
    return f"Question {number} on {TOPICS[number % 8]}: " + " ".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=12))


def stored(folder: Path) -> Path:
    """Sixty exchanges: twenty corrected, twenty good, ten bad, ten that nobody spoke of; each tenth twice."""
    file = folder / "data.db"
    with Store.open(file) as store:
        for n in range(60):
            told = row(n, asked(n), f"Answer {n} " + asked(n + 1000))
            store.put([told, *([row(n + 100, asked(n), told.texts["output"][0]["text"])] if n % 10 == 0 else [])])
            match n % 6:
                case 0 | 1:
                    store.say(said(n, value=0.0, correction=f"Better {n} " + asked(n + 2000)))
                case 2 | 3:
                    store.say(said(n, value=1.0))
                case 4:
                    store.say(said(n, label="bad"))
    return file


def exported(file: Path, form: str, out: Path, *more: str) -> list[dict[str, Any]]:
    words = ["export", "--format", form, "--file", str(file), "--out", str(out), *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = [out / f"{part}.jsonl" for part in ("train", "validation", "test")]
    return [orjson.loads(line) for one in found if one.exists() for line in one.read_bytes().splitlines()]
