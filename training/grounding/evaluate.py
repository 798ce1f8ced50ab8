"""What the grounding model is worth beside the frozen features, on sets it never saw and documents held back.

python -m training.grounding.evaluate FOLDER --run RUN            the table
python -m training.grounding.evaluate FOLDER --run RUN --write    and the shipped file
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gateway.scoring import grounding, head, weights
from gateway.scoring.encoder import Encoder
from gateway.scoring.grounding import LENGTH, Grounding, Trained
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Item, Scorer
from gateway.wire.sentences import sentences
from kernels.dispatch import ops
from training.grounding.model import depth
from training.grounding.sets import DOMAINS, held_back, pairs

FEATURES = ("unsupported", "mass", "numbers", "names")
RIDGE = 0.006
DICE = torch.Generator()


@dataclass(frozen=True, slots=True)
class Example:
    """`source` ends in *, where it is of a set that was trained on and of a document that was not."""

    source: str
    item: Item
    bad: bool


Examples = Iterator[Example]


def examples(folder: Path, limit: int) -> list[Example]:
    groups: dict[tuple[str, bool], list[Example]] = defaultdict(list)
    for read in (summedits, wice, dialogue, summaries, factcheck, made):
        for example in read(folder):
            groups[example.source, example.bad].append(example)
    return [e for _, group in sorted(groups.items()) for e in random.Random(0).sample(group, min(limit, len(group)))]  # noqa: S311 - a sample, no secret


def summedits(folder: Path) -> Examples:
    for file in sorted((folder / "summedits").glob("*.json")):
        rows, domain = json.loads(file.read_text()), file.stem.removeprefix("summedits_")
        documents = {doc: at for at, doc in enumerate(dict.fromkeys(row["doc"] for row in rows))}
        for row in rows:
            if domain not in DOMAINS or held_back(documents[row["doc"]]):
                source = "summedits, trained domains*" if domain in DOMAINS else f"summedits/{domain}"
                yield Example(source, Item("", (row["doc"],), row["summary"]), row["label"] == 0)


def wice(folder: Path) -> Examples:
    """Its development part only: the other has nothing but claims that are partly supported."""
    for row in _rows(folder / "wice", "*dev.jsonl"):
        context = " ".join(row["evidence"])
        if len(context) < 12_000:
            yield Example("wice dev", Item("", (context,), row["claim"]), row["label"] != "supported")


def dialogue(folder: Path) -> Examples:
    for row in _rows(folder / "halueval", "*dialogue*.jsonl"):
        for kind in ("right", "hallucinated"):
            item = Item(row["dialogue_history"], (row["knowledge"],), row[f"{kind}_response"])
            yield Example("halueval/dialogue", item, kind != "right")


def summaries(folder: Path) -> Examples:
    for at, row in enumerate(_rows(folder / "halueval", "summarization*.jsonl")):
        for kind in ("right", "hallucinated"):
            if held_back(at):
                item = Item("", (row["document"],), row[f"{kind}_summary"])
                yield Example("halueval/summarization*", item, kind != "right")


def factcheck(folder: Path) -> Examples:
    for row in _rows(folder / "factcheck_gpt"):
        if row["stance"] in {"completely-support", "refute", "irrelevant"}:
            bad = row["stance"] != "completely-support"
            yield Example("factcheck_gpt", Item("", (row["evidence"],), row["claim"]), bad)
            if row["stance"] != "irrelevant":
                yield Example("factcheck_gpt, refuted", Item("", (row["evidence"],), row["claim"]), bad)


def made(folder: Path) -> Examples:
    """Pairs as in training, of documents held back: plain support against nothing of it, and against swaps."""
    for pair in pairs(folder, seed=1):
        kind, held = pair.source.split("/")[-1], held_back(pair.document) and pair.source.startswith("halueval")
        item = Item("", (" ".join(pair.context),), pair.claim)
        if held and (not pair.unsupported or pair.spans is None):
            yield Example(f"plain/{kind}*", item, pair.unsupported)
        if held and (not pair.unsupported or pair.spans is not None):
            yield Example(f"swaps/{kind}*", item, pair.unsupported)


def _rows(folder: Path, glob: str = "*.jsonl") -> Iterator[dict[str, str]]:
    for file in sorted(folder.glob(glob)):
        yield from map(json.loads, file.read_text().splitlines())


# Numbers of an example…


def frozen(found: Sequence[Example], memory: Path) -> list[dict[str, float]]:
    """The frozen features of every example, kept in `memory`: they do not change with the run."""
    if memory.exists():
        known: list[dict[str, float]] = json.loads(memory.read_text())
        if len(known) == len(found):
            return known
    chosen = ops()
    scorer = Scorer(Reader(Encoder(weights.load(), chosen, torch.bfloat16)), chosen, head.load("hallucination"))
    rows = [_row(scorer, example) for example in found]
    memory.write_text(json.dumps(rows))
    return rows


def _row(scorer: Scorer, example: Example) -> dict[str, float]:
    (scored,) = scorer.score([example.item])
    weak = min((s.support for s in scored.sentences), default=0.0)
    told = {name: scored.signals.get(name, 0.0) for name in (*FEATURES, "words")}
    return {**told, "head": scored.hallucination or 0.0, "weakest": 1 - weak, "length": float(len(example.item.answer))}


def doubts(model: Grounding, found: Sequence[Example]) -> tuple[list[list[float]], float]:
    """The logits of every example's sentences, and milliseconds a sentence."""
    began, out = time.perf_counter(), list[list[float]]()
    for example in found:
        answer = example.item.answer
        claims = [answer[a:b].strip() for a, b in sentences(answer)] or [answer]
        out.append(model.doubts(example.item.context, claims))
    return out, (time.perf_counter() - began) * 1000 / max(1, sum(map(len, out)))


def trained(run: Path, frozen_layers: int, length: int) -> Trained:
    """A run's last checkpoint, without what it left as it was."""
    found = load_file(run / "model.safetensors")
    own, shift = found["head/bias"].tolist()
    tensors = {key.replace("/", "."): t for key, t in found.items() if frozen_layers <= depth(key) < 99}
    return Trained(tensors, found["head/piece"], found["head/pair"], (own, shift), length)


# Fusion and figures…


@dataclass(frozen=True, slots=True)
class Table:
    """Examples as columns [n]; `bad` is 1 where an example is unsupported."""

    sources: list[str]
    bad: Tensor
    columns: dict[str, Tensor]

    def rows(self, source: str) -> tuple[Tensor, dict[str, Tensor]]:
        at = torch.tensor([own == source for own in self.sources])
        return self.bad[at], {name: values[at] for name, values in self.columns.items()}


def tabled(found: Sequence[Example], rows: Sequence[dict[str, float]], told: Sequence[Sequence[float]]) -> Table:
    """The fusion is fitted on what is held back of the sets trained on (*), and on nothing else."""

    def column(name: str) -> Tensor:
        return torch.tensor([row[name] for row in rows])

    sources, bad = [e.source for e in found], torch.tensor([float(e.bad) for e in found])
    plain, worst = torch.logit(column("unsupported").clamp(0.02, 0.98)), torch.tensor([max(d) for d in told])
    both = torch.stack([plain, worst], 1)
    columns = {
        "length": column("length"),
        "new words": column("words"),
        "frozen": column("unsupported"),
        "head": column("head"),
        "model": worst,
        "fused": fitted(both, bad, balanced(sources, bad))(both),
    }
    return Table(sources, bad, columns)


def fitted(x: Tensor, bad: Tensor, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Logistic, no weight negative; a row of `weight` 0 is left out."""
    share = (weight / weight.sum())[:, None]
    middle = (x * share).sum(0)
    spread = (((x - middle) ** 2 * share).sum(0)).sqrt().clamp_min(1e-6)
    z, w, b = (x - middle) / spread, torch.zeros(x.shape[1]), torch.zeros(1)
    for _ in range(1500):
        gap = share[:, 0] * (torch.sigmoid(z @ w + b) - bad)
        w, b = (w - 0.5 * (z.T @ gap + RIDGE * w)).clamp_min(0), b - 0.5 * gap.sum()
    print("fusion:", (w / spread).tolist(), float(b - (w * middle / spread).sum()))
    return lambda rows: ((rows - middle) / spread) @ w + b


def balanced(sources: Sequence[str], bad: Tensor) -> Tensor:
    """Every set held back, and either label of it, of equal weight; 0 for all others."""
    weight = torch.zeros(len(sources))
    for source in {s for s in sources if s.endswith("*")}:
        for label in (0, 1):
            rows = torch.tensor([s == source for s in sources]) & (bad == label)
            weight[rows] = 1 / max(1, int(rows.sum()))
    return weight


def report(table: Table) -> Iterator[str]:
    yield f"| set | n | {' | '.join(table.columns)} | fused - frozen |"
    yield "|---|---|" + "---|" * (len(table.columns) + 1)
    for source in sorted(set(table.sources)):
        bad, columns = table.rows(source)
        draws = [torch.randint(len(bad), (len(bad),), generator=DICE.manual_seed(at)) for at in range(400)]
        cells = [_cell(auroc(v, bad), [auroc(v[p], bad[p]) for p in draws]) for v in columns.values()]
        fused, frozen = columns["fused"], columns["frozen"]
        gains = [auroc(fused[p], bad[p]) - auroc(frozen[p], bad[p]) for p in draws]
        gain = _cell(auroc(fused, bad) - auroc(frozen, bad), gains, sign="+")
        yield f"| {source} | {len(bad)} | {' | '.join(cells)} | {gain} |"


def auroc(score: Tensor, bad: Tensor) -> float:
    """The chance that an unsupported example scores above a supported one, ties counted half."""
    gaps = score[bad == 1][:, None] - score[bad == 0][None, :]
    return float((gaps > 0).float().mean() + (gaps == 0).float().mean() / 2)


def _cell(value: float, draws: Sequence[float], sign: str = "") -> str:
    """`value`, and the bootstrap's 95 % interval."""
    low, high = sorted(draws)[len(draws) // 40], sorted(draws)[-len(draws) // 40 - 1]
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def main() -> int:
    args = _arguments()
    torch.set_num_threads(args.threads)
    found = examples(args.folder, args.limit)
    rows = frozen(found, args.memory)
    if args.run is None:
        return 0
    file = args.run / "grounding.safetensors"
    made = grounding.written(trained(args.run, args.frozen, args.length))
    save_file(made, file, metadata={"length": str(args.length)})
    told, each = doubts(Grounding(weights.load(), grounding.read(file), ops("cpu"), torch.bfloat16), found)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {each:.1f} ms a sentence")
    print(*report(tabled(found, rows, told)), sep="\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--run", type=Path, help="a training run's folder; without one only frozen features are computed"
    )
    parser.add_argument("--memory", type=Path, required=True, help="where frozen features are kept")
    parser.add_argument("--limit", type=int, default=150, help="examples of a set and label")
    parser.add_argument("--frozen", type=int, default=2)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
