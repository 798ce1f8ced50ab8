"""How well the scorer tells supported answers from unsupported ones, on public labelled sets, as a Markdown table.

    python bench/groundedness.py FOLDER [--limit 300] [--write]

FOLDER holds `summedits/*.json`, `wice/*.jsonl`, `halueval/*.jsonl` and `factcheck_gpt/*.jsonl` as their authors publish
them. The head is fitted anew for every row, without that row's family of sets; `--write` then fits it on all families
but SummEdits and puts it into the package. Without FOLDER nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gateway.scoring import head
from gateway.scoring.encoder import Encoder
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Item, Scored, Scorer
from gateway.scoring.weights import load
from kernels.dispatch import ops

FEATURES = ("unsupported", "mass", "numbers", "names")
RIDGE = 0.3  # on standardised features: keeps correlated ones together, which carries over to other sets better
BATCH = 16
ARTEFACT = "halueval/qa"  # answer length alone tells its labels apart: shown, never trained on
UNSEEN = "summedits"  # minimal edits and paraphrases: it says nothing of unsupported content, and is not trained on


@dataclass(frozen=True, slots=True)
class Example:
    source: str
    item: Item
    grounded: bool

    @property
    def family(self) -> str:
        return self.source.split("/")[0]


@dataclass(frozen=True, slots=True)
class Table:
    """Examples as numbers: features [n, F], whether ungrounded [n], and what is compared with the head [n]."""

    sources: list[str]
    features: Tensor
    bad: Tensor
    others: dict[str, Tensor]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--limit", type=int, default=300, help="examples of a set and label")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if args.folder is None:
        print("no folder of labelled sets: nothing to measure")
        return 0
    table = tabled(list(sampled(args.folder, args.limit)))
    print("| set | n | head, held out | groundedness | 1 - relevance | length only |\n|---|---|---|---|---|---|")
    held = torch.zeros(len(table.sources))
    for source in sorted(set(table.sources)):
        rows = torch.tensor([s == source for s in table.sources])
        held[rows] = probabilities(fitted(table, without=source.split("/")[0]), table.features[rows])
        columns = [held[rows], *(value[rows] for value in table.others.values())]
        print(f"| {source} | {int(rows.sum())} |", " | ".join(interval(c, table.bad[rows]) for c in columns), "|")
    print("\nreliability of the held-out probability (all sets but SummEdits and the artefact, labels balanced):")
    print(*reliability(held, table), sep="\n")
    if args.write:
        final = fitted(table, without=UNSEEN)
        head.save(final, head.FOLDER / "hallucination.safetensors")
        print(final)
    return 0


# The sets…


def sampled(folder: Path, limit: int) -> Iterator[Example]:
    groups: dict[tuple[str, bool], list[Example]] = defaultdict(list)
    for read in (summedits, wice, halueval, factcheck):
        for example in read(folder):
            groups[example.source, example.grounded].append(example)
    chosen = [e for group in groups.values() for e in random.Random(0).sample(group, min(limit, len(group)))]
    return iter(sorted(chosen, key=lambda e: (e.source, e.item.context)))  # one context's answers together


def summedits(folder: Path) -> Iterator[Example]:
    for file in sorted((folder / "summedits").glob("*.json")):
        for row in json.loads(file.read_text()):
            item = Item("", (row["doc"],), row["summary"])
            yield Example(f"summedits/{file.stem.removeprefix('summedits_')}", item, row["label"] == 1)


def wice(folder: Path) -> Iterator[Example]:
    for row in lines(folder / "wice"):
        context = " ".join(row["evidence"])
        if len(context) < 6_000:  # the longest pages cost most and add nothing
            yield Example("wice", Item("", (context,), row["claim"]), row["label"] == "supported")


def halueval(folder: Path) -> Iterator[Example]:
    names = {
        "qa": ("knowledge", "question", "right_answer", "hallucinated_answer"),
        "dialogue": ("knowledge", "dialogue_history", "right_response", "hallucinated_response"),
        "summarization": ("document", "", "right_summary", "hallucinated_summary"),
    }
    for kind, (context, question, right, wrong) in names.items():
        for file in sorted((folder / "halueval").glob(f"*{kind}*.jsonl")):
            for row in map(json.loads, file.read_text().splitlines()):
                for answer, grounded in ((row[right], True), (row[wrong], False)):
                    yield Example(f"halueval/{kind}", Item(row.get(question, ""), (row[context],), answer), grounded)


def factcheck(folder: Path) -> Iterator[Example]:
    for row in lines(folder / "factcheck_gpt"):
        if row["stance"] in {"completely-support", "refute", "irrelevant"}:
            item = Item("", (row["evidence"],), row["claim"])
            yield Example("factcheck_gpt", item, row["stance"] == "completely-support")


def lines(folder: Path) -> Iterator[dict[str, str]]:
    for file in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, file.read_text().splitlines())


# Scores and the head…


def tabled(examples: Sequence[Example]) -> Table:
    plain = head.Head({}, 0.0)
    chosen = ops()
    scorer = Scorer(Reader(Encoder(load(), chosen)), chosen, plain)
    scored: list[tuple[Example, Scored]] = []
    for at in range(0, len(examples), BATCH):
        batch = examples[at : at + BATCH]
        scored += zip(batch, scorer.score([e.item for e in batch]), strict=True)
        print(f"{len(scored)}/{len(examples)}", end="\r", file=sys.stderr)
    told = [(e, s) for e, s in scored if s.groundedness is not None]

    def column(of: Callable[[Example, Scored], float]) -> Tensor:
        return torch.tensor([of(*pair) for pair in told])

    others = {
        "groundedness": column(lambda _, s: 1 - (s.groundedness or 0)),
        "relevance": column(lambda _, s: 1 - s.relevance),
        "length": column(lambda e, _: float(len(e.item.answer))),
    }
    features = torch.stack([column(lambda _, s, name=name: s.signals[name]) for name in FEATURES], 1)
    return Table([e.source for e, _ in told], features, column(lambda e, _: float(not e.grounded)), others)


def fitted(table: Table, without: str) -> head.Head:
    """Logistic, no weight negative, every family, set and label of equal weight; then scaled to probabilities."""
    weight = balanced(table, {without, UNSEEN})
    spread = table.features[weight > 0].std(0)
    x, w, b = table.features / spread, torch.zeros(len(FEATURES)), torch.zeros(1)
    for _ in range(1500):
        gap = weight * (torch.sigmoid(x @ w + b) - table.bad)
        w = (w - 0.5 * (x.T @ gap + 2 * RIDGE * w)).clamp_min(0)
        b = b - 0.5 * gap.sum()
    z, scale, shift = x @ w, torch.ones(1), b.clone()
    for _ in range(4000):
        gap = weight * (torch.sigmoid(scale * z + shift) - table.bad)
        scale, shift = scale - 0.5 * (gap * z).sum(), shift - 0.5 * gap.sum()
    return head.Head(dict(zip(FEATURES, (scale * w / spread).tolist(), strict=True)), float(shift))


def balanced(table: Table, without: set[str]) -> Tensor:
    kept = [s if s.split("/")[0] not in without and s != ARTEFACT else "" for s in table.sources]
    weight = torch.zeros(len(kept))
    families = {s.split("/")[0] for s in kept if s}
    for source in filter(None, set(kept)):
        siblings = len({s for s in kept if s.split("/")[0] == source.split("/")[0]})
        for bad in (0, 1):
            rows = torch.tensor([s == source for s in kept]) & (table.bad == bad)
            weight[rows] = 1 / (2 * int(rows.sum()) * siblings * len(families))
    return weight


def probabilities(fit: head.Head, features: Tensor) -> Tensor:
    return torch.tensor([fit(dict(zip(FEATURES, row, strict=True))) for row in features.tolist()])


# Figures…


def auroc(score: Tensor, bad: Tensor) -> float:
    """The chance that an ungrounded answer scores above a grounded one, ties counted half."""
    gaps = score[bad == 1][:, None] - score[bad == 0][None, :]
    return float((gaps > 0).float().mean() + (gaps == 0).float().mean() / 2)


def interval(score: Tensor, bad: Tensor, draws: int = 500) -> str:
    """AUROC and the bootstrap's 95 % interval."""
    dice = torch.Generator().manual_seed(0)
    picks = (torch.randint(len(bad), (len(bad),), generator=dice) for _ in range(draws))
    values = sorted(auroc(score[p], bad[p]) for p in picks)
    return f"{auroc(score, bad):.3f} [{values[draws // 40]:.3f}, {values[-draws // 40 - 1]:.3f}]"


def reliability(held: Tensor, table: Table) -> Iterator[str]:
    weight = balanced(table, {UNSEEN})
    for low in torch.arange(0, 1, 0.2).tolist():
        rows = (held >= low) & (held < low + 0.2) & (weight > 0)
        if rows.any():
            w = weight[rows] / weight[rows].sum()
            said, was = float((w * held[rows]).sum()), float((w * table.bad[rows]).sum())
            yield f"{low:.1f}-{low + 0.2:.1f}: said {said:.2f}, was {was:.2f} (n = {int(rows.sum())})"


if __name__ == "__main__":
    sys.exit(main())
