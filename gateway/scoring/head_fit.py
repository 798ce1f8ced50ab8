"""Fits heads that judge texts: logistic, by L-BFGS in float64 on one thread, so that the same data give the same bytes.

A long text is bad where its worst part is. So the first fit takes every part of a bad text for bad, and the second only
the part that the first found worst. What a head says of texts that its fit did not see sets its scale and threshold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from gateway.scoring.head_grams import BUCKETS, parts
from gateway.scoring.head_text import AT_ONCE, Heads, Sparse, TextHead, sparse

FOLDS = 5
STEPS = 60  # of the solver; what more do moves no figure


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts as numbers: their parts' `encodings` [p, 3 d] and n-grams, and of which text a part is `owner` [p].

    Of every text whether it is `bad` [n], its `weight` [n], and its `group` [n]: texts of one group are near alike,
    and are never on both sides of a split.
    """

    encodings: Tensor
    said: Sparse
    owner: Tensor
    bad: Tensor
    weight: Tensor
    group: Tensor


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of texts [n] before they are read: as in `Corpus`."""

    bad: Sequence[bool]
    weight: Sequence[float]
    group: Sequence[int]


def corpus(heads: Heads, texts: Sequence[str], told: Told, seen: Callable[[int], None]) -> Corpus:
    """Texts as numbers, part by part. `seen` is called with how many parts more were read."""
    cut = [parts(text) for text in texts]
    flat = [part for some in cut for part in some]
    read = []
    for at in range(0, len(flat), AT_ONCE):
        read.append(heads.encoded(flat[at : at + AT_ONCE]))
        seen(len(read[-1]))
    return Corpus(
        torch.cat(read),
        sparse(flat),
        torch.repeat_interleave(torch.arange(len(cut)), torch.tensor([len(some) for some in cut])),
        torch.tensor(told.bad, dtype=torch.float64),
        torch.tensor(told.weight, dtype=torch.float64),
        torch.tensor(told.group),
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """`spread`: how far weights may go (variance of their prior); `lexical`: length of the n-grams' vector, where the
    encoding's is the root of three; `alarms`: the share of good texts that may lie above the threshold.
    """

    spread: float
    lexical: float
    alarms: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head, and what was said of every text by a fit that had nothing of its group: [n] probabilities."""

    head: TextHead
    held: Tensor


def fitted(corpus: Corpus, recipe: Recipe) -> Fitted:
    """The head of all texts, its scale and threshold from texts held out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order are other sums
    try:
        raw = _held(corpus, recipe)
        scale, shift = platt(raw, corpus.bad, corpus.weight)
        held = torch.sigmoid(scale * raw + shift)
        head = _trained(corpus, recipe, torch.ones(len(corpus.bad), dtype=torch.bool))
    finally:
        torch.set_num_threads(before)
    scaled = TextHead(head.encoding * scale, head.grams * scale, head.bias * scale + shift, 0.0)
    return Fitted(replace(scaled, threshold=threshold(held, corpus.bad, corpus.weight, recipe.alarms)), held)


def threshold(probabilities: Tensor, bad: Tensor, weight: Tensor, alarms: float) -> float:
    """The lowest, in thousandths, above which is at most this share of the good ones' weight."""
    good, order = probabilities[bad == 0].sort(descending=True)
    above = torch.cumsum(weight[bad == 0][order], 0) / weight[bad == 0].sum()
    return float(torch.ceil(good[min(int((above <= alarms).sum()), len(good) - 1)] * 1000) / 1000)


def platt(raw: Tensor, bad: Tensor, weight: Tensor) -> tuple[float, float]:
    """Scale and shift that make sigmoid(scale · raw + shift) a probability where half of the weight is bad."""
    even = weight * torch.where(bad == 1, 0.5 / weight[bad == 1].sum(), 0.5 / weight[bad == 0].sum())
    scale, shift = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for _ in range(100):  # Newton's steps
        said = torch.sigmoid(scale * raw + shift)
        gap, curve = even * (said - bad), even * said * (1 - said)
        slope = torch.stack([(gap * raw).sum(), gap.sum()])
        cross = (curve * raw).sum()
        bend = torch.stack([torch.stack([(curve * raw * raw).sum(), cross]), torch.stack([cross, curve.sum()])])
        step = torch.linalg.solve(bend + 1e-9 * torch.eye(2, dtype=torch.float64), slope)
        scale, shift = scale - step[0], shift - step[1]
        if step.abs().max() < 1e-9:
            break
    return float(scale), float(shift)


def folds(group: Sequence[int] | Tensor, count: int = FOLDS) -> Tensor:
    """[n] fold numbers: whole groups, the largest first, each into the fold that has least."""
    _, at, sizes = torch.unique(torch.as_tensor(group), return_inverse=True, return_counts=True)
    room, fold = [0] * count, torch.zeros(len(sizes), dtype=torch.int64)
    for one in torch.argsort(sizes, descending=True, stable=True).tolist():
        emptiest = room.index(min(room))
        fold[one] = emptiest
        room[emptiest] += int(sizes[one])
    return fold[at]


# One fit…


def _held(corpus: Corpus, recipe: Recipe) -> Tensor:
    """[n] logits of every text by a head that was fitted without its fold."""
    fold, raw = folds(corpus.group), torch.zeros(len(corpus.bad), dtype=torch.float64)
    for one in sorted(set(fold.tolist())):
        head = _trained(corpus, recipe, fold != one)
        raw[fold == one] = _worst(corpus, _logits(corpus, head))[fold == one]
    return raw


def _trained(corpus: Corpus, recipe: Recipe, texts: Tensor) -> TextHead:
    """Two fits on those of the texts that are chosen: on all parts, then on good ones' parts and bad ones' worst."""
    inside, sizes = texts[corpus.owner], torch.bincount(corpus.owner).double()[corpus.owner]
    bad, weight = corpus.bad[corpus.owner], corpus.weight[corpus.owner]
    share = torch.where(bad == 1, sizes, sizes.sqrt())
    first = _fit(corpus, recipe, inside * weight / share, torch.zeros(_width(corpus), dtype=torch.float64))
    logits = corpus.encodings.double() @ first[: -BUCKETS - 1] + _said(corpus, first, recipe)
    chosen = inside & ((bad == 0) | (logits >= _worst(corpus, logits)[corpus.owner]))
    last = _fit(corpus, recipe, chosen * weight / torch.where(bad == 1, 1.0, share), first)
    return TextHead(last[: -BUCKETS - 1], last[-BUCKETS - 1 : -1] * recipe.lexical, float(last[-1]), 0.0)


def _width(corpus: Corpus) -> int:
    return corpus.encodings.shape[1] + BUCKETS + 1


def _said(corpus: Corpus, state: Tensor, recipe: Recipe) -> Tensor:
    return corpus.said.dot(state[-BUCKETS - 1 : -1]) * recipe.lexical


def _fit(corpus: Corpus, recipe: Recipe, weight: Tensor, start: Tensor) -> Tensor:
    """Minimise the sum of weighted log losses and the squared weights / (2 spread): [3 d + BUCKETS + 1]."""
    used = weight > 0
    x, n_grams = corpus.encodings[used].double(), _matrix(corpus.said, used, recipe.lexical)
    across, y, w = _transposed(n_grams), corpus.bad[corpus.owner[used]], weight[used]
    width, sign = x.shape[1], 1 - 2 * corpus.bad[corpus.owner[used]]
    state = start.clone()

    def loss() -> Tensor:
        z = x @ state[:width] + n_grams @ state[width:-1] + state[-1]
        gap = w * (torch.sigmoid(z) - y)
        state.grad = torch.cat([x.T @ gap, across @ gap, gap.sum()[None]])
        state.grad[:-1] += state[:-1] / recipe.spread
        return (w * functional.softplus(sign * z)).sum() + state[:-1].square().sum() / (2 * recipe.spread)

    solver = torch.optim.LBFGS([state], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe")
    solver.step(loss)  # type: ignore[no-untyped-call] # torch does not type it
    return state


def _matrix(said: Sparse, used: Tensor, scale: float) -> Tensor:
    """[used, BUCKETS] in compressed rows, of the n-grams of parts that are used."""
    entries = used[said.rows]
    row = (torch.cumsum(used, 0) - 1)[said.rows[entries]]
    return _compressed(row, said.ids[entries], said.values[entries] * scale, (int(used.sum()), BUCKETS))


def _transposed(matrix: Tensor) -> Tensor:
    counts = matrix.crow_indices().diff()
    row, column = torch.repeat_interleave(torch.arange(len(counts)), counts), matrix.col_indices()
    order = torch.argsort(column, stable=True)
    return _compressed(column[order], row[order], matrix.values()[order], (matrix.shape[1], matrix.shape[0]))


def _compressed(row: Tensor, column: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    ends = functional.pad(torch.bincount(row, minlength=size[0]).cumsum(0), (1, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls its compressed rows a beta, at their first use
        return torch.sparse_csr_tensor(ends, column, values, size)


def _logits(corpus: Corpus, head: TextHead) -> Tensor:
    return corpus.encodings.double() @ head.encoding + head.lexical(corpus.said) + head.bias


def _worst(corpus: Corpus, logits: Tensor) -> Tensor:
    """[p] of parts -> [n] of texts, the highest."""
    found = torch.full((len(corpus.bad),), -torch.inf, dtype=torch.float64)
    return found.scatter_reduce(0, corpus.owner, logits, "amax")
