"""How many attacks a NeMo Guardrails folder blocks, and how many harmless texts with them, as a Markdown table.

python bench/jailbreak.py [--folder policies/nemo/jailbreak] --attacks FILE[:KEY] … --benign FILE[:KEY] …

A FILE is JSON, a list of texts or of mappings with the text at KEY, or CSV with a column KEY; `KEY=VALUE,…` after
another colon takes only rows that have these values: `train.csv:text:label=1`.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.policy.engines import nemo

AT_ONCE = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("policies/nemo/jailbreak"))
    parser.add_argument("--attacks", nargs="*", default=[])
    parser.add_argument("--benign", nargs="*", default=[])
    asyncio.run(report(parser.parse_args()))


async def report(asked: argparse.Namespace) -> None:
    spec = {"configs": {"folder": {"folder": str(asked.folder.resolve()), "stages": ["input"]}}}
    async with nemo.open(spec, nemo.prepare(spec)) as engine:
        print("| set | kind | texts | blocked | share | ms a text |\n|---|---|---|---|---|---|")
        for kind, sets in (("attacks", asked.attacks), ("harmless", asked.benign)):
            for said in sets:
                texts = list(read(said))
                began = time.perf_counter()
                blocked = await count(engine, texts)
                ms = 1000 * (time.perf_counter() - began) / len(texts)
                name = Path(said.partition(":")[0]).stem
                print(f"| {name} | {kind} | {len(texts)} | {blocked} | {blocked / len(texts):.4f} | {ms:.2f} |")


async def count(engine: nemo.Engine, texts: list[str]) -> int:
    passed: Counter[bool] = Counter()
    for start in range(0, len(texts), AT_ONCE):
        payload = {"config": "folder", "direction": "input", "texts": texts[start : start + AT_ONCE]}
        verdicts = (await engine.call("inspect", payload))["verdicts"]
        assert not any(verdict["fault"] for verdict in verdicts)
        passed.update(verdict["pass"] for verdict in verdicts)
    return passed[False]


def read(said: str) -> Iterator[str]:
    name, _, rest = said.partition(":")
    key, _, filters = rest.partition(":")
    wanted = dict(one.split("=", 1) for one in filters.split(",") if one)
    for row in rows(Path(name)):
        if isinstance(row, str):
            yield row
        elif all(str(row[column]) == value for column, value in wanted.items()):
            yield str(row[key])


def rows(path: Path) -> list[Any]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return list(json.loads(path.read_text("utf-8")))


if __name__ == "__main__":
    main()
