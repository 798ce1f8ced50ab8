"""The rule that tells a right kernel from a wrong one (as FlashAttention's tests have it).

A kernel in a low precision may be off from the fp32 answer by at most twice what torch itself is off in that
precision: the bound follows from the inputs, not from taste.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-6  # of the scale: where torch happens to be exact, summing in another order still is not


def assert_close(got: Tensor, torchs: Tensor, truth: Tensor, *, scale: float = 0.0) -> None:
    """Raise `AssertionError` unless max |got − truth| ≤ 2 · max |torchs − truth|; infinities must agree exactly.

    `torchs` is torch's result in the kernel's dtype, `truth` torch's in fp32 (or more) on upcast inputs. `scale` is the
    size of what was summed, where that cancels to less: 1 for products of unit vectors.
    """
    if got.shape != truth.shape:
        raise AssertionError(f"shape {list(got.shape)} where {list(truth.shape)} is right")
    got, torchs, truth = (t.detach().double().cpu() for t in (got, torchs, truth))
    finite = truth.isfinite()
    if not torch.equal(got[~finite], truth[~finite]):
        raise AssertionError("infinities are not where they belong")
    if not finite.any():
        return
    error = (got - truth)[finite].abs()
    allowed = 2 * (torchs - truth)[finite].abs().max() + FLOOR * truth[finite].abs().max().clamp_min(scale)
    if not error.max() <= allowed:  # written so that NaN fails
        far = int((error > allowed).sum())
        raise AssertionError(f"error {error.max():.3e} where {allowed:.3e} is allowed; {far} values too far")
