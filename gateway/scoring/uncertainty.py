"""What the upstream's log-probabilities say of an answer: how sure its model was of the tokens it chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from kernels.token_stats import from_top_logprobs

LEAST = -100.0  # nats; OpenAI writes -9999 for what it does not tell

Token = tuple[float, ...]
"""The chosen token's log-probability, then those of the most probable tokens, as far as the upstream tells them."""


def confidence(tokens: Sequence[Token]) -> float | None:
    """The tokens' geometric mean probability, in [0, 1]; None where there are none."""
    if not tokens:
        return None
    return math.exp(min(sum(max(token[0], LEAST) for token in tokens) / len(tokens), 0.0))


def signals(tokens: Sequence[Token]) -> Mapping[str, float]:
    """Nats: `nll` and `nll_max` of the chosen tokens, `entropy` and `entropy_max` of what else could have come.

    Entropies only where alternatives are told; what is left of a distribution counts as one token more, so they are
    lower bounds.
    """
    if not tokens:
        return {}
    chosen = torch.tensor([max(token[0], LEAST) for token in tokens])
    widest = max(len(token) for token in tokens) - 1
    rows = [[*token[1:], *[-math.inf] * (widest + 1 - len(token))] for token in tokens]
    told = {"nll": float(-chosen.mean()), "nll_max": float(-chosen.min())}
    if not widest:
        return told
    stats = from_top_logprobs(torch.tensor(rows).clamp_max(0), chosen)
    return told | {"entropy": float(stats.entropy.mean()), "entropy_max": float(stats.entropy.max())}
