"""One run of training, the same for the same arguments, and gone on with where it was stopped.

python -m training.grounding.train FOLDER --out RUN                       a CPU, about an hour of one thread
python -m training.grounding.train FOLDER --out RUN --device cuda --length 256 --epochs 4 --pieces 32768
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from gateway.scoring import weights
from gateway.scoring.grounding import LENGTH
from training.grounding.batches import Batch, batches, samples
from training.grounding.model import CrossEncoder, depth
from training.grounding.sets import held_back, pairs

TOKENS = 0.5  # of the loss is about word pieces
WRONG = 3.0  # what a wrong piece counts, where a right one is 1: there are fewer


def main() -> int:
    args = _arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    base = weights.load()
    model = CrossEncoder(base.shape, base.tensors, args.frozen).to(args.device).train()
    data = [pair for pair in pairs(args.folder, args.seed) if not held_back(pair.document)][: args.pairs]
    read = samples(base.tokenizer, data, args.length)
    plan = [b for epoch in range(args.epochs) for b in batches(read, args.pieces, args.seed + epoch)]
    print(f"{len(data)} pairs, {len(plan)} steps, {sum(b.unsupported.sum().item() for b in plan[:200])}", flush=True)
    run(model, plan, args)
    return 0


def run(model: CrossEncoder, plan: list[Batch], args: argparse.Namespace) -> None:
    optimizer = torch.optim.AdamW(_groups(model, args.rate), betas=(0.9, 0.98), weight_decay=0.01)
    done = resumed(model, optimizer, args.out)
    began, seen, losses = time.monotonic(), 0, list[float]()
    for step, batch in islice(enumerate(plan, 1), done, args.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * _scheduled(step, len(plan))
        with torch.autocast(args.device, torch.bfloat16):
            loss = loss_of(model, _moved(batch, args.device))
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        seen += len(batch.ids)
        if step % args.every == 0 or step == len(plan):
            save(model, optimizer, step, args.out)
            rate = seen / (time.monotonic() - began)
            print(json.dumps({"step": step, "loss": sum(losses) / len(losses), "pairs_s": round(rate, 1)}), flush=True)
            losses.clear()


def loss_of(model: CrossEncoder, batch: Batch) -> Tensor:
    claims, pieces = model(batch)
    of_claims = functional.binary_cross_entropy_with_logits(claims, batch.unsupported)
    told = batch.said & (batch.wrong >= 0)
    weight = torch.where(batch.wrong == 1, WRONG, 1.0)[told]
    of_pieces = functional.binary_cross_entropy_with_logits(pieces[told], batch.wrong[told], weight, reduction="sum")
    return of_claims + TOKENS * of_pieces / weight.sum().clamp_min(1.0)


# Going on where it was stopped…


def save(model: CrossEncoder, optimizer: torch.optim.Optimizer, step: int, out: Path) -> None:
    """`model.safetensors` and `state.safetensors`, each replaced at once."""
    out.mkdir(parents=True, exist_ok=True)
    _replace({key: w.detach().cpu().contiguous() for key, w in model.weights.items()}, out / "model.safetensors", step)
    state = {
        f"{key}#{part}": optimizer.state[w][part].detach().cpu().contiguous()
        for key, w in model.weights.items()
        if w in optimizer.state
        for part in ("exp_avg", "exp_avg_sq", "step")
    }
    _replace(state, out / "state.safetensors", step)


def _replace(tensors: dict[str, Tensor], file: Path, step: int) -> None:
    fresh = file.with_suffix(".new")
    save_file({**tensors, "#done": torch.tensor(step)}, fresh)
    fresh.replace(file)


def resumed(model: CrossEncoder, optimizer: torch.optim.Optimizer, out: Path) -> int:
    """How many steps are done already; `model` and `optimizer` are as they were after them."""
    if not (out / "state.safetensors").exists():
        return 0
    found, state = load_file(out / "model.safetensors"), load_file(out / "state.safetensors")
    done = int(state.pop("#done"))
    if int(found.pop("#done")) != done:
        raise ValueError(f"{out}: its weights and its optimizer are of different steps; start again in another folder")
    for key, weight in model.weights.items():
        weight.data.copy_(found[key])
        if f"{key}#step" in state:
            parts = {part: state[f"{key}#{part}"].to(weight.device) for part in ("exp_avg", "exp_avg_sq")}
            optimizer.state[weight] = {**parts, "step": state[f"{key}#step"]}
    return done


def _groups(model: CrossEncoder, rate: float) -> list[dict[str, object]]:
    """Lower layers learn slower, by a fifth a layer; the head ten times as fast."""
    layers = model.shape.layers
    return [
        {"params": [w], "top": rate * (10.0 if depth(key) > layers else 0.8 ** (layers - 1 - depth(key)))}
        for key, w in model.weights.items()
        if w.requires_grad
    ]


def _scheduled(step: int, steps: int) -> float:
    """Up over a twentieth of the steps, then down to a twentieth of the rate, in straight lines."""
    warm = max(1, steps // 20)
    return step / warm if step < warm else 0.05 + 0.95 * (steps - step) / max(1, steps - warm)


def _moved(batch: Batch, device: str) -> Batch:
    return batch if device == "cpu" else Batch(*(getattr(batch, name).to(device) for name in Batch.__slots__))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of labelled sets: halueval/, summedits/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frozen", type=int, default=2, help="layers below this one stay as they are")
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--pieces", type=int, default=4096, help="in a batch")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--steps", type=int, help="stop after so many; go on by the same command without it")
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
